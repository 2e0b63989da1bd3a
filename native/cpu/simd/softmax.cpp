// Softmax and softmax cross-entropy, rows of n. The cross-entropy with its gradient reads the logits from memory once and
// writes the gradient once: the first pass stores exp(x - largest of its piece) and sums, the second multiplies by one factor
// per piece while the row is still in the second-level cache. Fetching the next row ahead by hand was slower by a quarter.
#include "exponentials.h"

namespace graft::cpu::GRAFT_ISA_NAMESPACE {
namespace {

constexpr int64_t kPieces = 1024;  // of a row, at most

inline float largest_of(const float* x, int64_t n) {
  float m = -__builtin_inff();
#pragma omp simd reduction(max : m)
  for (int64_t i = 0; i < n; i++) m = x[i] > m ? x[i] : m;
  return m;
}

// What a row's first pass finds.
struct RowSums {
  float largest = -__builtin_inff(), sum = 0;  // sum of exp(x - largest)
  int64_t best = 0;                            // first position of the largest
  float shares = 0, weighted = 0;              // sums of share, of share * x, for the class terms that all positions have
};

// Piece by piece; where `e` is given, e = exp(x - tops[piece]). share(i) is what class i counts in the row's loss. The largest
// of the next piece is found in the loop that takes the exponentials of this one.
template <bool shared, class Share>
RowSums first_pass(const float* x, float* e, float* tops, int64_t n, int64_t piece, const Share& share) {
  RowSums row;
  float top = largest_of(x, least(piece, n));
  for (int64_t begin = 0, k = 0; begin < n; begin += piece, k++) {
    const int64_t count = least(piece, n - begin);
    const float* p = x + begin;
    tops[k] = top;
    if (top > row.largest) {
      row.sum *= exp_below(row.largest - top);
      row.largest = top;
      int64_t i = 0;
      while (i < count - 1 && p[i] != top) i++;
      row.best = begin + i;
    }
    if constexpr (shared) {
      float shares = 0, weighted = 0;
#pragma omp simd reduction(+ : shares, weighted)
      for (int64_t i = 0; i < count; i++) {
        float s = share(begin + i);
        shares += s;
        weighted += s != 0 ? s * p[i] : 0.f;
      }
      row.shares += shares;
      row.weighted += weighted;
    }
    // A piece of -infinity alone has exponentials of 0, not of infinity minus infinity.
    const float shift = top == -__builtin_inff() ? 0.f : top;
    const int64_t ahead = least(piece, n - begin - count);  // 0 in the last piece
    const float* next = p + count;
    float sum = 0, m = -__builtin_inff();
    if (e) {
      exponentials(p, shift, count, e + begin, sum, next, ahead, m);
    } else {
#pragma omp simd reduction(+ : sum)
      for (int64_t i = 0; i < count; i++) sum += exp_below(p[i] - shift);
      m = largest_of(next, ahead);
    }
    top = m;
    row.sum += sum * exp_below(tops[k] - row.largest);
  }
  return row;
}

template <bool shared, class Share>
void loss_row(const LossCall& call, int64_t r, int64_t piece, const Share& share) {
  const int64_t n = call.columns;
  const float* x = call.logits + r * n;
  float* g = call.gradient ? call.gradient + r * n : nullptr;
  const float factor = call.row_factor[r];
  call.loss[r] = 0;
  call.correct[r] = 0;
  if (!call.counts[r]) {
    if (g) __builtin_memset(g, 0, n * sizeof(float));
    return;
  }
  const int64_t label = call.labels ? call.labels[r] : -1;
  // What the label alone adds to its class, and its logit before it is overwritten.
  float own = 0, logit = 0;
  if (label >= 0) {
    own = (1 - call.smoothing) * (call.class_weight ? call.class_weight[label] : 1.f);
    logit = x[label];
  }
  int64_t wanted = label;
  if (label < 0) {
    const float* q = call.targets + r * n;
    wanted = 0;
    for (int64_t i = 1; i < n; i++) wanted = q[i] > q[wanted] ? i : wanted;
  }
  float tops[kPieces];
  RowSums row = first_pass<shared>(x, g, tops, n, piece, share);
  const double log_sum = static_cast<double>(row.largest) + __builtin_log(static_cast<double>(row.sum));
  const float shares = row.shares + own;
  double loss = row.shares * log_sum - row.weighted;
  if (own != 0) loss += own * (log_sum - logit);
  call.loss[r] = loss;
  call.correct[r] = row.best == wanted ? 1 : 0;
  if (!g) return;
  // All factors before the pass: a division and an exponential before each piece would hold up its stream.
  const int64_t pieces = (n + piece - 1) / piece;
  const float whole = shares * factor / row.sum;
#pragma omp simd
  for (int64_t k = 0; k < pieces; k++) tops[k] = exp_below(tops[k] - row.largest) * whole;
  for (int64_t begin = 0, k = 0; begin < n; begin += piece, k++) {
    const int64_t count = least(piece, n - begin);
    const float scale = tops[k];
    float* q = g + begin;
    if constexpr (shared) {
#pragma omp simd
      for (int64_t i = 0; i < count; i++) q[i] = q[i] * scale - factor * share(begin + i);
    } else {
#pragma omp simd
      for (int64_t i = 0; i < count; i++) q[i] *= scale;
    }
  }
  if (own != 0) g[label] -= factor * own;
}

void cross_entropy(const LossCall& call) {
  const int64_t n = call.columns, piece = most<int64_t>(1024, (n + kPieces - 1) / kPieces);
  const float smoothing = call.smoothing, even = smoothing / static_cast<float>(n);
  const float* weight = call.class_weight;
  over_items(call.rows, n, [&](int64_t r) {
    if (!call.labels) {
      const float* q = call.targets + r * n;
      if (weight) loss_row<true>(call, r, piece, [=](int64_t i) { return weight[i] * ((1 - smoothing) * q[i] + even); });
      else loss_row<true>(call, r, piece, [=](int64_t i) { return (1 - smoothing) * q[i] + even; });
    } else if (smoothing == 0) loss_row<false>(call, r, piece, [](int64_t) { return 0.f; });
    else if (weight) loss_row<true>(call, r, piece, [=](int64_t i) { return even * weight[i]; });
    else loss_row<true>(call, r, piece, [=](int64_t) { return even; });
  });
}

void softmax(Store type, bool log, const void* x, void* y, int64_t rows, int64_t n) {
  with_type(type, [&](auto e) {
    using T = decltype(e);
    over_items(rows, n, [&](int64_t r) {
      const T* p = static_cast<const T*>(x) + r * n;
      T* q = static_cast<T*>(y) + r * n;
      float top = -__builtin_inff(), sum = 0;
#pragma omp simd reduction(max : top)
      for (int64_t i = 0; i < n; i++) top = load(p + i) > top ? load(p + i) : top;
#pragma omp simd reduction(+ : sum)
      for (int64_t i = 0; i < n; i++) sum += exp_below(load(p + i) - top);
      if (log) {
        const float shift = top + __builtin_logf(sum);
#pragma omp simd
        for (int64_t i = 0; i < n; i++) store(q + i, load(p + i) - shift);
      } else {
        const float factor = 1 / sum;
#pragma omp simd
        for (int64_t i = 0; i < n; i++) store(q + i, exp_below(load(p + i) - top) * factor);
      }
    });
  });
}

// dx = y (g - sum(g y)); of the logarithm: dx = g - exp(y) sum(g).
void softmax_data(Store type, bool log, const void* dout, const void* dout2, const void* y, void* dx, int64_t rows, int64_t n) {
  with_type(type, [&](auto e) {
    using T = decltype(e);
    over_items(rows, n, [&](int64_t r) {
      const int64_t at = r * n;
      const T* a = static_cast<const T*>(dout) + at;
      const T* b = dout2 ? static_cast<const T*>(dout2) + at : nullptr;
      const T* p = static_cast<const T*>(y) + at;
      T* q = static_cast<T*>(dx) + at;
      auto gradient = [&](int64_t i) { return b ? load(a + i) + load(b + i) : load(a + i); };
      float sum = 0;
#pragma omp simd reduction(+ : sum)
      for (int64_t i = 0; i < n; i++) sum += log ? gradient(i) : gradient(i) * load(p + i);
      if (log) {
#pragma omp simd
        for (int64_t i = 0; i < n; i++) store(q + i, gradient(i) - exp_below(load(p + i)) * sum);
      } else {
#pragma omp simd
        for (int64_t i = 0; i < n; i++) store(q + i, load(p + i) * (gradient(i) - sum));
      }
    });
  });
}

}  // namespace

void add_softmax(Simd& table) {
  table.softmax = softmax;
  table.softmax_data = softmax_data;
  table.cross_entropy = cross_entropy;
}

}  // namespace graft::cpu::GRAFT_ISA_NAMESPACE
