// A row of logits as softmax cross-entropy goes over it: in pieces of 16 bytes of aligned memory, with the largest logit and the sums
// that its loss and gradient follow from carried along.
#pragma once
#include "losses.cuh"

namespace graft::cuda {

// What makes the shares: a label alone; a label and smoothing; soft targets or class weights.
enum class Shares { Label, Smoothed, Given };

struct CrossEntropy {
  int64_t first, rows, ignore;  // row 0 of targets and logits is the loss's row `first`
  int classes;
  const int32_t* labels;  // null: soft targets
  const float *targets, *weight;
  float hard, even;  // 1 - s, s / K
  // Whether a row's label counts; soft targets always do.
  __device__ bool counts(int64_t row) const { return !labels || (labels[row] != ignore && labels[row] >= 0 && labels[row] < classes); }
  __device__ float share(int64_t row, int k) const {
    const float q = labels ? (k == labels[row] ? 1.f : 0.f) : targets[row * classes + k];
    return (weight ? weight[k] : 1.f) * (hard * q + even);
  }
};

template <class T>
struct alignas(16) Piece {
  static constexpr int kCount = 16 / sizeof(T);
  T v[kCount];
};

// How a row falls into pieces of aligned memory: element k of the row is element (k + shift) % kCount of piece (k + shift) / kCount.
// Pieces `first` up to `end` are whole; one before and one behind them may be cut.
struct Division {
  int shift, first, end, count;
  __device__ Division(int misaligned, int per_piece, int columns)
      : shift(misaligned), first(misaligned ? 1 : 0), end((misaligned + columns) / per_piece), count((misaligned + columns + per_piece - 1) / per_piece) {}
  // The piece that this thread takes beside its whole ones, -1: none.
  __device__ int cut(unsigned rank) const {
    if (rank == 0 && first == 1) return 0;
    return rank == 1 && count > end && count > first ? count - 1 : -1;
  }
};

constexpr float kLog2E = 1.44269504f;

// What is known of a part of a row: its largest element and where it first stands, and the sums of exp(x - base), of shares and
// of share * (x - base). The base is the largest element, and 0 as long as that is -infinity.
struct Online {
  float max, sum, shares, crossed;
  int at;
  __device__ __forceinline__ static Online nothing() { return {-INFINITY, 0, 0, 0, 0x7FFFFFFF}; }
  __device__ __forceinline__ float base() const { return max == -INFINITY ? 0.f : max; }
  // To another largest element, no smaller than this one's.
  __device__ __forceinline__ void rise(float to) {
    const float before = base();
    if (max > -INFINITY) sum *= exp2f((max - to) * kLog2E);
    max = to;
    if (shares != 0) crossed += shares * (before - base());
  }
  __device__ __forceinline__ void join(Online o) {
    if (o.max > max || (o.max == max && o.at < at)) at = o.at;
    const float top = fmaxf(max, o.max);
    rise(top);
    o.rise(top);
    sum += o.sum;
    shares += o.shares;
    crossed += o.crossed;
  }
  __device__ __forceinline__ Online from_lane(unsigned lane) const {
    Online o;
    o.max = __shfl_sync(kAllLanes, max, static_cast<int>(lane));
    o.sum = __shfl_sync(kAllLanes, sum, static_cast<int>(lane));
    o.shares = __shfl_sync(kAllLanes, shares, static_cast<int>(lane));
    o.crossed = __shfl_sync(kAllLanes, crossed, static_cast<int>(lane));
    o.at = __shfl_sync(kAllLanes, at, static_cast<int>(lane));
    return o;
  }
};

// Of all threads that work on a row; every thread gets the same bits.
template <bool kWarp>
__device__ __forceinline__ Online joined(Online mine) {
  const unsigned lane = threadIdx.x % 32;
  for (unsigned by = 16; by > 0; by /= 2) mine.join(mine.from_lane(lane ^ by));
  if (kWarp) {
    __syncwarp();  // all have read what they need of the row before it is written
    return mine.from_lane(0);
  }
  GRAFT_SHARED(Online, parts, 32);
  const unsigned warp = threadIdx.x / 32;
  __syncthreads();  // an earlier call's result has been read
  if (lane == 0) parts[warp] = mine;
  __syncthreads();
  if (warp == 0) {
    Online all = lane < blockDim.x / 32 ? parts[lane] : Online::nothing();
    for (unsigned by = 16; by > 0; by /= 2) all.join(all.from_lane(lane ^ by));
    if (lane == 0) parts[0] = all;
  }
  __syncthreads();
  return parts[0];
}

// One row as one thread sees it.
template <class T, Shares kShares>
struct Row {
  static constexpr int kPer = Piece<T>::kCount;
  const CrossEntropy& ce;
  int64_t row;
  int label;
  Division d;
  const T* x;  // where piece 0 begins, which may lie before the row

  __device__ Row(const CrossEntropy& ce, const T* logits, int64_t row)
      : ce(ce), row(row), label(kShares != Shares::Given ? ce.labels[row] : 0),
        d(static_cast<int>(reinterpret_cast<uintptr_t>(logits + row * ce.classes) % 16 / sizeof(T)), kPer, ce.classes), x(logits + row * ce.classes - d.shift) {}

  __device__ bool inside(int piece, int i) const { return piece * kPer + i >= d.shift && piece * kPer + i < d.shift + ce.classes; }
  __device__ Piece<T> whole(int piece) const { return *reinterpret_cast<const Piece<T>*>(x + static_cast<int64_t>(piece) * kPer); }
  __device__ Piece<T> cut(int piece) const {
    Piece<T> p;
#pragma unroll
    for (int i = 0; i < kPer; i++) p.v[i] = inside(piece, i) ? x[static_cast<int64_t>(piece) * kPer + i] : stored<T>(-INFINITY);
    return p;
  }

  __device__ __forceinline__ void take(Online& o, const Piece<T>& p, int piece) const {
    const int k0 = piece * kPer - d.shift;
    float v[kPer];
#pragma unroll
    for (int i = 0; i < kPer; i++) v[i] = float_of(p.v[i]);
    float top = v[0];
#pragma unroll
    for (int i = 1; i < kPer; i++) top = fmaxf(top, v[i]);
    if (top > o.max) {
      o.rise(top);
#pragma unroll
      for (int i = kPer - 1; i >= 0; i--)
        if (v[i] == top) o.at = k0 + i;
    }
    const float base = o.base(), offset = -base * kLog2E;
    float sum = 0, crossed = 0, shares = 0;
#pragma unroll
    for (int i = 0; i < kPer; i++) {
      sum += exp2f(fmaf(v[i], kLog2E, offset));
      if (kShares == Shares::Label || !inside(piece, i)) continue;
      const float share = kShares == Shares::Smoothed ? 1.f : ce.share(row, k0 + i);  // smoothed: the even part, scaled at the end
      shares += share;
      if (share != 0) crossed += share * (v[i] - base);
    }
    o.sum += sum;
    o.shares += shares;
    o.crossed += crossed;
  }

  // gradient = up * exp(x - base) - factor * share; `to` is where piece 0 begins.
  __device__ __forceinline__ void put(T* to, bool aligned, const Piece<T>& p, int piece, float base, float up, float factor) const {
    const int k0 = piece * kPer - d.shift;
    const float offset = -base * kLog2E;
    float v[kPer];
#pragma unroll
    for (int i = 0; i < kPer; i++) {
      v[i] = up * exp2f(fmaf(float_of(p.v[i]), kLog2E, offset));
      if (kShares == Shares::Smoothed) v[i] -= factor * ce.even;
      if (kShares == Shares::Given && inside(piece, i)) v[i] -= factor * ce.share(row, k0 + i);
    }
    if (kShares != Shares::Given && label >= k0 && label < k0 + kPer) {
#pragma unroll
      for (int i = 0; i < kPer; i++)
        if (k0 + i == label) v[i] -= factor * ce.hard;
    }
    write(to, aligned, piece, v);
  }
  __device__ __forceinline__ void write(T* to, bool aligned, int piece, const float (&v)[kPer]) const {
    Piece<T> p;
#pragma unroll
    for (int i = 0; i < kPer; i++) p.v[i] = stored<T>(v[i]);
    T* place = to + static_cast<int64_t>(piece) * kPer;
    if (aligned && piece >= d.first && piece < d.end) {
      *reinterpret_cast<Piece<T>*>(place) = p;
      return;
    }
#pragma unroll
    for (int i = 0; i < kPer; i++)
      if (inside(piece, i)) place[i] = p.v[i];
  }
};

}  // namespace graft::cuda
