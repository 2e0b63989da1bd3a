// One pass over the arena of trainables, by blocks of one segment each. Formulas as torch.optim:
//   SGD    g += decay * w; m = momentum * m + g; w -= rate * (nesterov ? g + momentum * m : m)
//   Adam   g += decay * w (AdamW: w *= 1 - rate * decay); m += (1 - beta1) (g - m); v = beta2 v + (1 - beta2) g^2
//          w -= rate / correction1 * m / (sqrt(v) / sqrt(correction2) + eps)
// with g = clip_factor * gradient (+ anchor_strength * (w - w0)).
#include "value.h"

namespace graft::cpu::GRAFT_ISA_NAMESPACE {
namespace {

// Bits [bit, bit + 64) of the mask; bits beyond its last byte are never asked for by live elements.
inline uint64_t mask_word(const uint8_t* mask, int64_t bit, int64_t count) {
  uint64_t word = 0;
  int64_t bytes = ((bit & 7) + count + 7) / 8;
  const uint8_t* p = mask + bit / 8;
  __builtin_memcpy(&word, p, least<int64_t>(8, bytes));
  word >>= bit & 7;
  if (bytes > 8) word |= static_cast<uint64_t>(p[8]) << (64 - (bit & 7));
  return count < 64 ? word & ((uint64_t{1} << count) - 1) : word;
}

// update(i) for the live elements of a block, in runs that vectorise: whole where nothing is masked, else by 64 elements, of
// which none, all or single ones are live.
template <class F>
inline void over_live(const UpdateCall& call, const UpdateBlock& block, const F& f) {
  const int64_t end = block.offset + block.count;
  if (block.mask_bit < 0) return f(block.offset, end);
  for (int64_t at = block.offset; at < end; at += 64) {
    int64_t count = least<int64_t>(64, end - at);
    uint64_t live = mask_word(call.mask, block.mask_bit + (at - block.offset), count);
    if (live == 0) continue;
    if (live == (count < 64 ? (uint64_t{1} << count) - 1 : ~uint64_t{0})) {
      f(at, at + count);
      continue;
    }
    for (; live; live &= live - 1) {
      int64_t i = at + __builtin_ctzll(live);
      f(i, i + 1);
    }
  }
}

template <class F>
inline void over_blocks(const UpdateCall& call, const F& f) {
#pragma omp parallel for schedule(static) if (call.block_count > 1)
  for (int64_t b = 0; b < call.block_count; b++) f(b, call.blocks[b]);
}

void square_sums(const UpdateCall& call, double* per_block) {
  over_blocks(call, [&](int64_t b, const UpdateBlock& block) {
    double total = 0;
    const float* gradient = call.gradient;
    over_live(call, block, [&total, gradient](int64_t begin, int64_t end) {
      for (int64_t at = begin; at < end; at += 1024) {
        float sum = 0;
        int64_t stop = least(end, at + 1024);
#pragma omp simd reduction(+ : sum)
        for (int64_t i = at; i < stop; i++) sum += gradient[i] * gradient[i];
        total += sum;
      }
    });
    per_block[b] = total;
  });
}

// What follows the weights [begin, end), while they are in the first cache.
inline void follow(const UpdateCall& call, int64_t begin, int64_t end) {
  const float* weight = call.weight;
  if (float* average = call.average) {
    const float rest = call.rest;
#pragma omp simd
    for (int64_t i = begin; i < end; i++) average[i] += rest * (weight[i] - average[i]);
  }
  if (bf16* narrow = static_cast<bf16*>(call.narrow)) {
#pragma omp simd
    for (int64_t i = begin; i < end; i++) store(narrow + i, weight[i]);
  }
}

// What an update adds to the gradient and watches, as template parameters: loops without branches. rule(block) gives a block's step
// w -> next.
template <bool anchored, bool watched, class Rule>
void update(const UpdateCall& call, const Rule& rule) {
  over_blocks(call, [&](int64_t b, const UpdateBlock& block) {
    const auto step = rule(block);
    const float strength = anchored ? call.anchor_strength[block.group] : 0, clip = call.clip_factor;
    const float *gradient = call.gradient, *anchor = call.anchor;
    float* weight = call.weight;
    double moved = 0, size = 0;
    over_live(call, block, [&](int64_t begin, int64_t end) {
      // Short enough for float sums, long enough to stream.
      for (int64_t at = begin; at < end; at += 1024) {
        int64_t stop = least(end, at + 1024);
        float squares = 0, weights = 0;
#pragma omp simd reduction(+ : squares, weights)
        for (int64_t i = at; i < stop; i++) {
          float w = weight[i];
          float g = gradient[i] * clip;
          if constexpr (anchored) g += strength * (w - anchor[i]);
          float next = step(i, w, g);
          if constexpr (watched) {
            squares += (next - w) * (next - w);
            weights += w * w;
          }
          weight[i] = next;
        }
        moved += squares;
        size += weights;
        if (call.average || call.narrow) follow(call, at, stop);
      }
    });
    if constexpr (watched) {
      call.norms[2 * b] = moved;
      call.norms[2 * b + 1] = size;
    }
  });
}

template <class Rule>
void choose(const UpdateCall& call, const Rule& rule) {
  if (call.anchor) call.norms ? update<true, true>(call, rule) : update<true, false>(call, rule);
  else call.norms ? update<false, true>(call, rule) : update<false, false>(call, rule);
}

void sgd(const UpdateCall& call) {
  float* m = call.first;
  const float momentum = call.momentum;
  const float *rates = call.rate, *decays = call.decay;
  if (!m)
    return choose(call, [=](const UpdateBlock& block) {
      const float rate = rates[block.group], decay = decays[block.group];
      return [=](int64_t, float w, float g) { return w - rate * (g + decay * w); };
    });
  if (call.nesterov)
    return choose(call, [=](const UpdateBlock& block) {
      const float rate = rates[block.group], decay = decays[block.group];
      return [=](int64_t i, float w, float g) {
        g += decay * w;
        float v = momentum * m[i] + g;
        m[i] = v;
        return w - rate * (g + momentum * v);
      };
    });
  choose(call, [=](const UpdateBlock& block) {
    const float rate = rates[block.group], decay = decays[block.group];
    return [=](int64_t i, float w, float g) {
      float v = momentum * m[i] + (g + decay * w);
      m[i] = v;
      return w - rate * v;
    };
  });
}

void adam(const UpdateCall& call) {
  float *m = call.first, *v = call.second;
  const float b1 = call.rest1, b2 = call.rest2, beta2 = call.beta2, eps = call.eps;
  const float *rates = call.rate, *decays = call.decay, *corrections = call.corrections;
  const bool coupled = call.coupled;
  choose(call, [=](const UpdateBlock& block) {
    const float decay = decays[block.group], root2 = corrections[2 * block.segment + 1];
    const float rate = rates[block.group] * corrections[2 * block.segment];
    // One of the two is neutral: decay in the gradient (Adam) or on the weight (AdamW).
    const float added = coupled ? decay : 0, kept = coupled ? 1 : 1 - rates[block.group] * decay;
    return [=](int64_t i, float w, float g) {
      g += added * w;
      float first = m[i] + b1 * (g - m[i]);
      float second = beta2 * v[i] + b2 * g * g;
      m[i] = first;
      v[i] = second;
      return w * kept - rate * first / (__builtin_sqrtf(second) * root2 + eps);
    };
  });
}

}  // namespace

void add_optimizer(Simd& table) {
  table.square_sums = square_sums;
  table.sgd = sgd;
  table.adam = adam;
}

}  // namespace graft::cpu::GRAFT_ISA_NAMESPACE
