// The optimizer: the arena of trainables in chunks of one segment, a block each; one pass over them, four neighbours a thread. Of four
// masked elements no memory is touched, and a block whose elements are all masked ends after reading its mask. With clipping the
// gradients are read once before. Formulas stand in reference/optimizer.cpp.
#include "reduce.cuh"

namespace graft::cuda {

enum { kGradients = 0, kAnchor = 1, kMask = 5 };            // inputs
enum { kWeights = 0, kFirstMoment = 1, kSecondMoment = 2, kAverage = 3, kNarrow = 4 };  // outputs

constexpr int kRounds = 4, kChunk = kRounds * 4 * kThreads;  // elements

struct Chunk {
  int64_t offset, mask_bit;  // mask_bit -1: all live
  int32_t count, segment, group;
};

struct SegmentRange {
  int64_t first, last;  // its chunks
  int64_t born;
};

struct Update {
  const Chunk* chunks;
  const float *gradient, *anchor;  // anchor null: none
  const uint8_t* mask;
  float *weight, *first, *second, *average;  // average null: none
  Bf16* narrow;                              // null: no copy
  StepBlock step;
  const float* clip_factor;  // null: 1
  const float* corrections;  // per segment: 1 / (1 - b1^t), 1 / sqrt(1 - b2^t)
  double* norms;             // per chunk: squares of what moved, and of weights; null where nobody watches
  float momentum, rest1, beta2, rest2, eps, rest;
  bool nesterov, coupled;
  bool whole;  // all arrays are aligned to four elements
  // Which of the four elements from k on are live: bit i for element k + i.
  __device__ __forceinline__ unsigned live(const Chunk& c, int k) const {
    if (k >= c.count) return 0;
    const unsigned all = c.count - k >= 4 ? 15u : (1u << (c.count - k)) - 1;
    if (c.mask_bit < 0) return all;
    const int64_t bit = c.mask_bit + k;
    const unsigned shift = static_cast<unsigned>(bit % 8), count = static_cast<unsigned>(c.count - k >= 4 ? 4 : c.count - k);
    unsigned bits = mask[bit / 8];
    if (shift + count > 8) bits |= static_cast<unsigned>(mask[bit / 8 + 1]) << 8;
    return bits >> shift & all;
  }
};

// Four neighbours of an array, of which those that `live` names are stored.
template <class T>
__device__ __forceinline__ void put4(T* p, int64_t i, unsigned live, bool whole, const Four& x) {
  if (live == 15u) return store4(p, i, 4, whole, x);
#pragma unroll
  for (int k = 0; k < 4; k++)
    if (live >> k & 1) p[i + k] = stored<T>(x.v[k]);
}
__device__ __forceinline__ Four take4(const float* p, int64_t i, unsigned live, bool whole) {
  Four x = {{0, 0, 0, 0}};
  if (live == 15u) return load4(p, i, 4, whole);
#pragma unroll
  for (int k = 0; k < 4; k++)
    if (live >> k & 1) x.v[k] = p[i + k];
  return x;
}

// What a chunk's elements have in common.
struct Rates {
  float rate, decay, pull, clip, correction1, correction2;
};

template <bool kAdam>
__device__ __forceinline__ void update_four(const Update& u, const Rates& r, int64_t i, unsigned live, double& moved, double& squares) {
  const bool whole = u.whole && i % 4 == 0;
  const Four before = take4(u.weight, i, live, whole);
  Four w = before, g = take4(u.gradient, i, live, whole), m{}, v{}, origin{}, e{};
  if (u.anchor) origin = take4(u.anchor, i, live, whole);
  if (u.first) m = take4(u.first, i, live, whole);
  if (kAdam) v = take4(u.second, i, live, whole);
  if (u.average) e = take4(u.average, i, live, whole);
#pragma unroll
  for (int k = 0; k < 4; k++) {
    g.v[k] *= r.clip;
    if (u.anchor) g.v[k] += r.pull * (w.v[k] - origin.v[k]);
    if (kAdam) {
      if (u.coupled) g.v[k] += r.decay * w.v[k];
      else w.v[k] -= r.rate * r.decay * w.v[k];
      m.v[k] += u.rest1 * (g.v[k] - m.v[k]);
      v.v[k] = u.beta2 * v.v[k] + u.rest2 * g.v[k] * g.v[k];
      w.v[k] -= r.rate * (m.v[k] * r.correction1) / (sqrtf(v.v[k]) * r.correction2 + u.eps);
    } else {
      g.v[k] += r.decay * w.v[k];
      if (u.first) {
        m.v[k] = u.momentum * m.v[k] + g.v[k];
        g.v[k] = u.nesterov ? g.v[k] + u.momentum * m.v[k] : m.v[k];
      }
      w.v[k] -= r.rate * g.v[k];
    }
    e.v[k] += u.rest * (w.v[k] - e.v[k]);
  }
  put4(u.weight, i, live, whole, w);
  if (u.first) put4(u.first, i, live, whole, m);
  if (kAdam) put4(u.second, i, live, whole, v);
  if (u.average) put4(u.average, i, live, whole, e);
  if (u.narrow) put4(u.narrow, i, live, whole, w);
  if (!u.norms) return;
#pragma unroll
  for (int k = 0; k < 4; k++) {
    if (!(live >> k & 1)) continue;
    moved += static_cast<double>(w.v[k] - before.v[k]) * (w.v[k] - before.v[k]);
    squares += static_cast<double>(before.v[k]) * before.v[k];
  }
}

template <bool kAdam>
__global__ void __launch_bounds__(kThreads) update(const __grid_constant__ Update u) {
  if (left_out(u.step)) return;
  const Chunk c = u.chunks[blockIdx.x];
  unsigned live[kRounds], any = 0;
#pragma unroll
  for (int round = 0; round < kRounds; round++) {
    live[round] = u.live(c, 4 * static_cast<int>(round * kThreads + threadIdx.x));
    any |= live[round];
  }
  double moved = 0, squares = 0;
  if (any) {
    const Rates r = {u.step.rate[c.group], u.step.decay[c.group], u.anchor ? u.step.anchor[c.group] : 0.f, u.clip_factor ? *u.clip_factor : 1.f,
                     kAdam ? u.corrections[2 * c.segment] : 1.f, kAdam ? u.corrections[2 * c.segment + 1] : 1.f};
#pragma unroll
    for (int round = 0; round < kRounds; round++)
      if (live[round]) update_four<kAdam>(u, r, c.offset + 4 * static_cast<int>(round * kThreads + threadIdx.x), live[round], moved, squares);
  }
  if (!u.norms) return;
  moved = block_sum(moved);
  squares = block_sum(squares);
  if (threadIdx.x == 0) u.norms[2 * blockIdx.x] = moved, u.norms[2 * blockIdx.x + 1] = squares;
}

__global__ void __launch_bounds__(kThreads) square_sums(const __grid_constant__ Update u, double* squares) {
  const Chunk c = u.chunks[blockIdx.x];
  double sum = 0;
#pragma unroll
  for (int round = 0; round < kRounds; round++) {
    const int k = 4 * static_cast<int>(round * kThreads + threadIdx.x);
    const unsigned live = u.live(c, k);
    if (!live) continue;
    const Four g = take4(u.gradient, c.offset + k, live, u.whole && (c.offset + k) % 4 == 0);
#pragma unroll
    for (int e = 0; e < 4; e++) sum += static_cast<double>(g.v[e]) * g.v[e];
  }
  sum = block_sum(sum);
  if (threadIdx.x == 0) squares[blockIdx.x] = sum;
}

// One block.
__global__ void __launch_bounds__(kThreads) clip_factor(StepBlock step, const double* squares, int64_t chunks, float* factor) {
  double sum = 0;
  for (int64_t i = threadIdx.x; i < chunks; i += blockDim.x) sum += squares[i];
  sum = block_sum(sum);
  if (threadIdx.x != 0 || left_out(step)) return;
  const double norm = sqrt(sum);
  const float limit = step.header->clip_norm;
  *step.gradient_norm = static_cast<float>(norm);
  *factor = limit > 0 && limit < norm + 1e-6 ? static_cast<float>(limit / (norm + 1e-6)) : 1.f;
}

__global__ void __launch_bounds__(kThreads) bias_corrections(StepBlock step, const SegmentRange* segments, int64_t count, double beta1, double beta2, float* corrections) {
  const int64_t s = global_thread();
  if (s >= count) return;
  const double t = static_cast<double>(step.header->update - segments[s].born);
  corrections[2 * s] = static_cast<float>(1 / (1 - pow(beta1, t)));
  corrections[2 * s + 1] = static_cast<float>(1 / sqrt(1 - pow(beta2, t)));
}

// A block for each segment.
__global__ void __launch_bounds__(kThreads) watched_sums(StepBlock step, const SegmentRange* segments, const double* norms, double* sums) {
  if (left_out(step)) return;
  const SegmentRange s = segments[blockIdx.x];
  for (int k = 0; k < 2; k++) {
    double sum = 0;
    for (int64_t c = s.first + threadIdx.x; c < s.last; c += blockDim.x) sum += norms[2 * c + k];
    sum = block_sum(sum);
    if (threadIdx.x == 0) sums[2 * blockIdx.x + k] = sum;
  }
}

namespace {

class Optimizer : public Kernel {
 public:
  Optimizer(const Device& d, const OptimizerRequest& r) : device_(d), request_(r), chunks_(d, chunks_of(r)), segments_(d, ranges_of(r)) {
    for (const Segment& s : r.segments) masked_ = masked_ || s.mask_offset >= 0;
  }

  std::string name() const override {
    const char* names[] = {"sgd", "adam", "adamw"};
    return std::string("own:") + names[static_cast<int>(request_.kind)] + ":cuda";
  }
  size_t scratch_bytes() const override {
    const size_t chunks = static_cast<size_t>(chunks_.count());
    return aligned(4) + aligned(8 * static_cast<size_t>(segments_.count())) + aligned(8 * chunks) + aligned(16 * chunks);
  }

  void run(const Args& a) const override {
    Current current(device_.number);
    const int64_t chunks = chunks_.count(), segments = segments_.count();
    const bool adam = request_.kind != OptimizerKind::Sgd;
    Cut scratch(a.scratch);
    float *factor = scratch.take<float>(1), *corrections = scratch.take<float>(2 * segments);
    double *squares = scratch.take<double>(chunks), *norms = scratch.take<double>(2 * chunks);
    Update u = numbers(a);
    if (request_.clip) {
      launch(square_sums, {chunks, kThreads, 0, device_.stream}, u, squares);
      launch(clip_factor, {1, kThreads, 0, device_.stream}, *a.step, static_cast<const double*>(squares), chunks, factor);
      u.clip_factor = factor;
    }
    if (adam) {
      launch(bias_corrections, {ceil_div(segments, kThreads), kThreads, 0, device_.stream}, *a.step, segments_.address(), segments, request_.beta1,
             request_.beta2, corrections);
      u.corrections = corrections;
    }
    if (request_.watch) u.norms = norms;
    launch(adam ? update<true> : update<false>, {chunks, kThreads, 0, device_.stream}, u);
    if (request_.watch)
      launch(watched_sums, {segments, kThreads, 0, device_.stream}, *a.step, segments_.address(), static_cast<const double*>(norms), a.step->update_norms);
  }

 private:
  static std::vector<Chunk> chunks_of(const OptimizerRequest& r) {
    std::vector<Chunk> chunks;
    for (size_t s = 0; s < r.segments.size(); s++) {
      const Segment& segment = r.segments[s];
      for (int64_t at = 0; at < segment.count; at += kChunk)
        chunks.push_back({segment.offset + at, segment.mask_offset < 0 ? -1 : segment.mask_offset + at,
                          static_cast<int32_t>(std::min<int64_t>(kChunk, segment.count - at)), static_cast<int32_t>(s), segment.group});
    }
    return chunks;
  }
  static std::vector<SegmentRange> ranges_of(const OptimizerRequest& r) {
    std::vector<SegmentRange> ranges;
    int64_t first = 0;
    for (const Segment& s : r.segments) {
      const int64_t last = first + ceil_div(s.count, kChunk);
      ranges.push_back({first, last, s.born});
      first = last;
    }
    return ranges;
  }
  Update numbers(const Args& a) const {
    const bool adam = request_.kind != OptimizerKind::Sgd;
    Update u{};
    u.chunks = chunks_.address();
    u.gradient = static_cast<const float*>(a.in[kGradients]);
    u.anchor = request_.anchor ? static_cast<const float*>(a.in[kAnchor]) : nullptr;
    u.mask = masked_ ? static_cast<const uint8_t*>(a.in[kMask]) : nullptr;
    u.weight = static_cast<float*>(a.out[kWeights]);
    u.first = adam || request_.momentum != 0 ? static_cast<float*>(a.out[kFirstMoment]) : nullptr;
    u.second = adam ? static_cast<float*>(a.out[kSecondMoment]) : nullptr;
    u.average = request_.average != 0 ? static_cast<float*>(a.out[kAverage]) : nullptr;
    u.narrow = request_.narrow ? static_cast<Bf16*>(a.out[kNarrow]) : nullptr;
    u.rest = static_cast<float>(1 - request_.average);
    u.whole = aligned_for_four(u.gradient, u.anchor, u.weight, u.first, u.second, u.average, u.narrow);
    u.step = *a.step;
    u.momentum = static_cast<float>(request_.momentum);
    u.rest1 = static_cast<float>(1 - request_.beta1);
    u.beta2 = static_cast<float>(request_.beta2);
    u.rest2 = static_cast<float>(1 - request_.beta2);
    u.eps = static_cast<float>(request_.eps);
    u.nesterov = request_.nesterov;
    u.coupled = request_.kind == OptimizerKind::Adam;
    return u;
  }

  const Device& device_;
  OptimizerRequest request_;
  Table<Chunk> chunks_;
  Table<SegmentRange> segments_;
  bool masked_ = false;
};

}  // namespace

std::unique_ptr<Kernel> make_optimizer(const Device& d, const OptimizerRequest& r) { return std::make_unique<Optimizer>(d, r); }

}  // namespace graft::cuda
