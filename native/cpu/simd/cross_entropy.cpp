// Softmax cross-entropy, rows of n. In F32 with its gradient it reads the logits from memory once and
// writes the gradient once: the first pass stores exp(x - largest of its piece) and sums, the second multiplies by one factor
// per piece while the row is still in the second-level cache. Fetching the next row ahead by hand was slower by a quarter.
// In bf16 a stored exponential would be rounded a second time: the second pass takes it again, out of the row in the cache.
#include "exponentials.h"

namespace graft::cpu::GRAFT_ISA_NAMESPACE {
namespace {

constexpr int64_t kPieces = 1024;  // of a row, at most

// What classes count in a row's loss beside its label's own part: nothing; all the same, which is smoothing; each its own share.
enum class Shares { None, Even, Given };

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
  float shares = 0, weighted = 0;              // sums of share, of share * x
};

// The sums of share and of share * x of a piece whose first class is `begin`.
template <class Share>
inline void add_shares(RowSums& row, const float* x, int64_t begin, int64_t count, const Share& share) {
  float shares = 0, weighted = 0;
#pragma omp simd reduction(+ : shares, weighted)
  for (int64_t i = 0; i < count; i++) {
    float s = share(begin + i);
    shares += s;
    weighted += s != 0 ? s * x[i] : 0.f;
  }
  row.shares += shares;
  row.weighted += weighted;
}

// Even shares are one number, and their sum is known.
template <class Share>
inline void spread(RowSums& row, Shares shares, int64_t n, const Share& share) {
  if (shares != Shares::Even) return;
  row.shares = share(0) * static_cast<float>(n);
  row.weighted *= share(0);
}

// Piece by piece; where `e` is given, e = exp(x - tops[piece]). share(i) is what class i counts in the row's loss. The largest
// of the next piece is found in the loop that takes the exponentials of this one.
template <Shares shares, class Share>
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
    if constexpr (shares == Shares::Given) add_shares(row, p, begin, count, share);
    // A piece of -infinity alone has exponentials of 0, not of infinity minus infinity.
    const float shift = top == -__builtin_inff() ? 0.f : top;
    const int64_t ahead = least(piece, n - begin - count);  // 0 in the last piece
    const float* next = p + count;
    float sum = 0, plain = 0, m = -__builtin_inff();
    if (e) {
      exponentials<shares == Shares::Even>(p, shift, count, e + begin, sum, plain, next, ahead, m);
    } else {
#pragma omp simd reduction(+ : sum, plain)
      for (int64_t i = 0; i < count; i++) {
        sum += exp_below(p[i] - shift);
        plain += p[i];
      }
      m = largest_of(next, ahead);
    }
    if constexpr (shares == Shares::Even) row.weighted += plain;
    top = m;
    row.sum += sum * exp_below(tops[k] - row.largest);
  }
  spread(row, shares, n, share);
  return row;
}

// What a row's label alone adds to its class, and its logit before that is overwritten; the class that its largest logit is to be at.
struct Wanted {
  int64_t label, at;
  float own = 0, logit = 0;
  template <class T>
  Wanted(const LossCall& call, int64_t r, const T* x) : label(call.labels ? call.labels[r] : -1), at(label) {
    if (label >= 0) {
      own = (1 - call.smoothing) * (call.class_weight ? call.class_weight[label] : 1.f);
      logit = load(x + label);
      return;
    }
    const float* q = call.targets + r * call.columns;
    at = 0;
    for (int64_t i = 1; i < call.columns; i++) at = q[i] > q[at] ? i : at;
  }
  void judge(const LossCall& call, int64_t r, const RowSums& row) const {
    const double log_sum = static_cast<double>(row.largest) + __builtin_log(static_cast<double>(row.sum));
    double loss = row.shares * log_sum - row.weighted;
    if (own != 0) loss += own * (log_sum - logit);
    call.loss[r] = loss;
    call.correct[r] = row.best == at ? 1 : 0;
  }
};

template <Shares shares, class Share>
void loss_row(const LossCall& call, int64_t r, const float* x, float* g, const Share& share) {
  const int64_t n = call.columns, piece = most<int64_t>(1024, (n + kPieces - 1) / kPieces);
  const float factor = call.row_factor[r];
  const Wanted wanted(call, r, x);
  float tops[kPieces];
  const RowSums row = first_pass<shares>(x, g, tops, n, piece, share);
  wanted.judge(call, r, row);
  if (!g) return;
  // All factors before the pass: a division and an exponential before each piece would hold up its stream.
  const int64_t pieces = (n + piece - 1) / piece;
  const float whole = (row.shares + wanted.own) * factor / row.sum;
#pragma omp simd
  for (int64_t k = 0; k < pieces; k++) tops[k] = exp_below(tops[k] - row.largest) * whole;
  for (int64_t begin = 0, k = 0; begin < n; begin += piece, k++) {
    const int64_t count = least(piece, n - begin);
    const float scale = tops[k];
    float* q = g + begin;
    if constexpr (shares != Shares::None) {
#pragma omp simd
      for (int64_t i = 0; i < count; i++) q[i] = q[i] * scale - factor * share(begin + i);
    } else {
#pragma omp simd
      for (int64_t i = 0; i < count; i++) q[i] *= scale;
    }
  }
  if (wanted.own != 0) g[wanted.label] -= factor * wanted.own;
}

template <Shares shares, class Share>
void loss_row(const LossCall& call, int64_t r, const bf16* x, bf16* g, const Share& share) {
  constexpr int64_t kPiece = 1024;
  const int64_t n = call.columns;
  const Wanted wanted(call, r, x);
  RowSums row;
  float v[kPiece];
  for (int64_t begin = 0; begin < n; begin += kPiece) {
    const int64_t count = least(kPiece, n - begin);
    const bf16* p = x + begin;
    float top = -__builtin_inff();
#pragma omp simd reduction(max : top)
    for (int64_t i = 0; i < count; i++) {
      v[i] = load(p + i);
      top = v[i] > top ? v[i] : top;
    }
    if (top > row.largest) {
      row.sum *= exp_below(row.largest - top);
      row.largest = top;
      int64_t i = 0;
      while (i < count - 1 && v[i] != top) i++;
      row.best = begin + i;
    }
    if constexpr (shares == Shares::Given) add_shares(row, v, begin, count, share);
    const float shift = row.largest == -__builtin_inff() ? 0.f : row.largest;
    float sum = 0, plain = 0;
#pragma omp simd reduction(+ : sum, plain)
    for (int64_t i = 0; i < count; i++) {
      sum += exp_below(v[i] - shift);
      plain += v[i];
    }
    row.sum += sum;
    if constexpr (shares == Shares::Even) row.weighted += plain;
  }
  spread(row, shares, n, share);
  wanted.judge(call, r, row);
  if (!g) return;
  const float factor = call.row_factor[r], whole = (row.shares + wanted.own) * factor / row.sum, top = row.largest;
#pragma omp simd
  for (int64_t i = 0; i < n; i++) store(g + i, exp_below(load(x + i) - top) * whole - (shares != Shares::None ? factor * share(i) : 0.f));
  if (wanted.own != 0)
    store(g + wanted.label, exp_below(wanted.logit - top) * whole - factor * ((shares != Shares::None ? share(wanted.label) : 0.f) + wanted.own));
}

template <class T, Shares shares, class Share>
void loss_rows(const LossCall& call, const Share& share) {
  const int64_t n = call.columns;
  over_items(call.rows, n, [&](int64_t r) {
    T* g = call.gradient ? static_cast<T*>(call.gradient) + r * n : nullptr;
    if (call.counts[r]) return loss_row<shares>(call, r, static_cast<const T*>(call.logits) + r * n, g, share(r));
    call.loss[r] = 0;
    call.correct[r] = 0;
    if (g) __builtin_memset(g, 0, n * sizeof(T));
  });
}

// What class i counts in the row's loss beside its label's own part.
template <class T>
void with_shares(const LossCall& call) {
  const float smoothing = call.smoothing, even = smoothing / static_cast<float>(call.columns);
  const float *weight = call.class_weight, *targets = call.targets;
  const int64_t n = call.columns;
  if (!call.labels && weight)
    loss_rows<T, Shares::Given>(call, [=](int64_t r) { return [=](int64_t i) { return weight[i] * ((1 - smoothing) * targets[r * n + i] + even); }; });
  else if (!call.labels)
    loss_rows<T, Shares::Given>(call, [=](int64_t r) { return [=](int64_t i) { return (1 - smoothing) * targets[r * n + i] + even; }; });
  else if (smoothing == 0)
    loss_rows<T, Shares::None>(call, [](int64_t) { return [](int64_t) { return 0.f; }; });
  else if (weight)
    loss_rows<T, Shares::Given>(call, [=](int64_t) { return [=](int64_t i) { return even * weight[i]; }; });
  else
    loss_rows<T, Shares::Even>(call, [=](int64_t) { return [=](int64_t) { return even; }; });
}

void cross_entropy(const LossCall& call) {
  with_type(call.type, [&](auto e) { with_shares<decltype(e)>(call); });
}

}  // namespace

void add_cross_entropy(Simd& table) { table.cross_entropy = cross_entropy; }

}  // namespace graft::cpu::GRAFT_ISA_NAMESPACE
