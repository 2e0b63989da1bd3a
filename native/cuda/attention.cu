// attention in the flash manner: scores live in registers and shared memory, only the log of each row's sum is kept for backward.
// A block takes eight rows of one head, a warp each, and walks over the other side in tiles of 32 that lie in shared memory: a lane
// works out one score, then the lanes share out the head's elements. Forward and dq walk over keys, dk and dv over queries.
// Formulas stand in reference/attention.cpp.
#include "attention/heads.cuh"
#include "matmul/choice.h"
#include "reduce.cuh"

namespace graft::cuda {

constexpr int kRows = 8, kTileKeys = 32, kMostHead = 256, kEachLane = kMostHead / 32;

// The block's rows of one head: blockIdx.x = (sample * heads + head) * groups + group.
struct Rows {
  int64_t sample, head, first, row;
  int warp, lane;
  __device__ Rows(const Heads& h, int64_t tokens) {
    const int64_t groups = (tokens + kRows - 1) / kRows;
    sample = blockIdx.x / groups / h.heads;
    head = blockIdx.x / groups % h.heads;
    first = blockIdx.x % groups * kRows;
    warp = static_cast<int>(threadIdx.x) / 32;
    lane = static_cast<int>(threadIdx.x) % 32;
    row = first + warp;
  }
};

// Shared memory of a block: two tiles of the other side (rows padded by one, so that lanes reading a column hit different banks), two
// kinds of own rows, and what the lanes of a warp worked out.
struct Memory {
  float *left, *right, *own, *own2, *score, *score2;
  int step;
  __device__ Memory(float* all, int size) : step(size + 1) {
    left = all;
    right = left + kTileKeys * step;
    own = right + kTileKeys * step;
    own2 = own + kRows * size;
    score = own2 + kRows * size;
    score2 = score + kRows * kTileKeys;
  }
  static size_t bytes(int size) { return 4 * static_cast<size_t>(2 * kTileKeys * (size + 1) + 2 * kRows * size + 2 * kRows * kTileKeys); }
};

// Tokens first .. first + count of one head into shared rows `step` apart; those behind the last are 0.
template <class T>
__device__ void bring(const T* from, const Part& part, const Rows& at, int64_t first, int count, int size, float* to, int step) {
  for (int e = static_cast<int>(threadIdx.x); e < count * size; e += blockDim.x) {
    const int i = e / size, d = e % size;
    to[i * step + d] = first + i < part.tokens ? float_of(from[part.at(at.sample, at.head, first + i, size) + d]) : 0;
  }
}

__device__ __forceinline__ float dot(const float* a, const float* b, int n) {
  float sum = 0;
  for (int d = 0; d < n; d++) sum += a[d] * b[d];
  return sum;
}

// What a lane has of a row of the head: elements lane, lane + 32, ...
struct Piece {
  float v[kEachLane] = {};
  __device__ void scale(float by) {
    for (float& e : v) e *= by;
  }
  // += sum over the tile's rows of weight[i] * row i.
  __device__ void add(const float* weight, const float* tile, int step, int lane, int size) {
#pragma unroll
    for (int c = 0; c < kEachLane; c++) {
      const int d = lane + 32 * c;
      if (d < size)
        for (int i = 0; i < kTileKeys; i++) v[c] += weight[i] * tile[i * step + d];
    }
  }
};

template <class T>
__global__ void __launch_bounds__(kThreads) attention_forward(Heads h, const T* q, const T* k, const T* v, T* out, float* logs) {
  GRAFT_SHARED_DYNAMIC(float, shared);
  const Memory m(shared, h.size);
  const Rows at(h, h.q.tokens);
  const int64_t mine = at.row < h.q.tokens ? h.counted(at.sample, at.row) : 0;
  const int64_t last = at.first + kRows - 1 < h.q.tokens ? at.first + kRows - 1 : h.q.tokens - 1, most = h.counted(at.sample, last);
  bring(q, h.q, at, at.first, kRows, h.size, m.own, h.size);
  Piece sum;
  float largest = -INFINITY, total = 0;  // total: of this lane's keys
  for (int64_t first = 0; first < most; first += kTileKeys) {
    __syncthreads();
    bring(k, h.k, at, first, kTileKeys, h.size, m.left, m.step);
    bring(v, h.v, at, first, kTileKeys, h.size, m.right, m.step);
    __syncthreads();
    const bool counts = first + at.lane < mine;
    const float score = counts ? h.scale * dot(m.own + at.warp * h.size, m.left + at.lane * m.step, h.size) : -INFINITY;
    const float before = largest;
    largest = fmaxf(largest, warp_max(score));
    const float p = counts ? expf(score - largest) : 0, fade = before == -INFINITY ? 0 : expf(before - largest);
    m.score[at.warp * kTileKeys + at.lane] = p;
    __syncwarp();
    total = total * fade + p;
    sum.scale(fade);
    sum.add(m.score + at.warp * kTileKeys, m.right, m.step, at.lane, h.size);
  }
  total = warp_sum(total);
  if (at.row >= h.q.tokens) return;
  const int64_t to = h.o.at(at.sample, at.head, at.row, h.size);
#pragma unroll
  for (int c = 0; c < kEachLane; c++)
    if (at.lane + 32 * c < h.size) out[to + at.lane + 32 * c] = stored<T>(mine > 0 ? sum.v[c] / total : 0);
  if (at.lane == 0) logs[(at.sample * h.heads + at.head) * h.q.tokens + at.row] = mine > 0 ? largest + logf(total) : 0;
}

// deltas[query] = sum over keys of p * dp, which dk needs too; dq where it is wanted.
template <class T>
__global__ void __launch_bounds__(kThreads)
    attention_queries(Heads h, const T* q, const T* k, const T* v, const T* g, const float* logs, float* deltas, Gradient<T> dq) {
  GRAFT_SHARED_DYNAMIC(float, shared);
  const Memory m(shared, h.size);
  const Rows at(h, h.q.tokens);
  const bool there = at.row < h.q.tokens;
  const int64_t mine = there ? h.counted(at.sample, at.row) : 0, index = (at.sample * h.heads + at.head) * h.q.tokens + at.row;
  const int64_t end = at.first + kRows - 1 < h.q.tokens ? at.first + kRows - 1 : h.q.tokens - 1, most = h.counted(at.sample, end);
  bring(q, h.q, at, at.first, kRows, h.size, m.own, h.size);
  bring(g, h.o, at, at.first, kRows, h.size, m.own2, h.size);
  const float log = there ? logs[index] : 0;
  const float *own = m.own + at.warp * h.size, *own_g = m.own2 + at.warp * h.size;
  float delta = 0;
  Piece sum;
  for (int pass = 0; pass < (dq.address ? 2 : 1); pass++) {
    for (int64_t first = 0; first < most; first += kTileKeys) {
      __syncthreads();
      bring(k, h.k, at, first, kTileKeys, h.size, m.left, m.step);
      bring(v, h.v, at, first, kTileKeys, h.size, m.right, m.step);
      __syncthreads();
      const bool counts = first + at.lane < mine;
      const float p = counts ? expf(h.scale * dot(own, m.left + at.lane * m.step, h.size) - log) : 0;
      const float dp = counts ? dot(own_g, m.right + at.lane * m.step, h.size) : 0;
      if (pass == 0) {
        delta += p * dp;
      } else {
        m.score[at.warp * kTileKeys + at.lane] = h.scale * p * (dp - delta);
        __syncwarp();
        sum.add(m.score + at.warp * kTileKeys, m.left, m.step, at.lane, h.size);
      }
    }
    if (pass == 0) delta = warp_sum(delta);
  }
  if (!there) return;
  if (at.lane == 0) deltas[index] = delta;
  if (!dq.address) return;
  const int64_t to = h.q.at(at.sample, at.head, at.row, h.size);
#pragma unroll
  for (int c = 0; c < kEachLane; c++)
    if (at.lane + 32 * c < h.size) dq.put(to + at.lane + 32 * c, sum.v[c]);
}

// v and deltas are null where dk is not wanted.
template <class T>
__global__ void __launch_bounds__(kThreads) attention_keys(Heads h, const T* q, const T* k, const T* v, const T* g, const float* logs, const float* deltas,
                                                           Gradient<T> dk, Gradient<T> dv) {
  GRAFT_SHARED_DYNAMIC(float, shared);
  const Memory m(shared, h.size);
  const Rows at(h, h.k.tokens);
  bring(k, h.k, at, at.first, kRows, h.size, m.own, h.size);
  if (dk.address) bring(v, h.v, at, at.first, kRows, h.size, m.own2, h.size);
  const float *own = m.own + at.warp * h.size, *own_v = m.own2 + at.warp * h.size;
  float *p_row = m.score + at.warp * kTileKeys, *ds_row = m.score2 + at.warp * kTileKeys;
  Piece sum_k, sum_v;
  for (int64_t first = h.causal ? at.first / kTileKeys * kTileKeys : 0; first < h.q.tokens; first += kTileKeys) {
    __syncthreads();
    bring(q, h.q, at, first, kTileKeys, h.size, m.left, m.step);
    bring(g, h.o, at, first, kTileKeys, h.size, m.right, m.step);
    __syncthreads();
    const int64_t i = first + at.lane, index = (at.sample * h.heads + at.head) * h.q.tokens + i;
    const bool counts = i < h.q.tokens && at.row < h.counted(at.sample, i);
    const float p = counts ? expf(h.scale * dot(own, m.left + at.lane * m.step, h.size) - logs[index]) : 0;
    p_row[at.lane] = p;
    if (dk.address) ds_row[at.lane] = counts ? h.scale * p * (dot(own_v, m.right + at.lane * m.step, h.size) - deltas[index]) : 0;
    __syncwarp();
    if (dk.address) sum_k.add(ds_row, m.left, m.step, at.lane, h.size);
    if (dv.address) sum_v.add(p_row, m.right, m.step, at.lane, h.size);
  }
  if (at.row >= h.k.tokens) return;
  const int64_t to_k = h.k.at(at.sample, at.head, at.row, h.size), to_v = h.v.at(at.sample, at.head, at.row, h.size);
#pragma unroll
  for (int c = 0; c < kEachLane; c++) {
    const int d = at.lane + 32 * c;
    if (dk.address && d < h.size) dk.put(to_k + d, sum_k.v[c]);
    if (dv.address && d < h.size) dv.put(to_v + d, sum_v.v[c]);
  }
}

namespace {

template <class T>
std::unique_ptr<Kernel> attention(const Device& d, const Request& r) {
  const Heads shape = heads_of(r);
  const bool packed = !r.call().has(kKey), padded = r.call().has(kKeys);
  const size_t shared = Memory::bytes(shape.size);
  const int64_t queries = shape.batch * shape.heads * ceil_div(shape.q.tokens, kRows), keys = shape.batch * shape.heads * ceil_div(shape.k.tokens, kRows);
  allow_shared(d, attention_forward<T>, shared);
  allow_shared(d, attention_queries<T>, shared);
  allow_shared(d, attention_keys<T>, shared);
  if (r.pass == Pass::Forward)
    return own(d, "attention", 0, [=, &d](const Args& a) {
      Heads h = shape;
      if (padded) h.keys = in<int32_t>(a, kKeys);
      const T *q = in<T>(a, kQuery), *k = packed ? q : in<T>(a, kKey), *v = packed ? q : in<T>(a, kValue);
      launch(attention_forward<T>, {queries, kThreads, shared, d.stream}, h, q, k, v, static_cast<T*>(a.out[0]), static_cast<float*>(a.out[1]));
    });
  const size_t deltas_bytes = aligned(4 * static_cast<size_t>(shape.batch * shape.heads * shape.q.tokens));
  return own(d, "attention", deltas_bytes, [=, &d](const Args& a) {
    Heads h = shape;
    if (padded) h.keys = in<int32_t>(a, kKeys);
    const T *q = in<T>(a, kQuery), *k = packed ? q : in<T>(a, kKey), *v = packed ? q : in<T>(a, kValue), *g = static_cast<const T*>(a.dout);
    const Gradient<T> dq = gradient_of<T>(r, a, kQuery), dk = packed ? dq : gradient_of<T>(r, a, kKey), dv = packed ? dq : gradient_of<T>(r, a, kValue);
    const float* logs = static_cast<const float*>(a.out[1]);
    float* deltas = static_cast<float*>(a.scratch);
    if (dq.address || dk.address) launch(attention_queries<T>, {queries, kThreads, shared, d.stream}, h, q, k, v, g, logs, deltas, dq);
    if (dk.address || dv.address)
      launch(attention_keys<T>, {keys, kThreads, shared, d.stream}, h, q, k, v, g, logs, static_cast<const float*>(deltas), dk, dv);
  });
}

}  // namespace

std::unique_ptr<Kernel> make_attention(const Device& d, const Request& r) {
  const DType type = r.inputs[kQuery].dtype;
  if (!storable(type) || r.outputs[0].dtype != type || r.second_gradient || r.epilogue.any()) return nullptr;
  for (size_t i : {kKey, kValue})
    if (r.call().has(i) && r.inputs[i].dtype != type) return nullptr;
  const Heads h = heads_of(r);
  if (h.size > kMostHead || Memory::bytes(h.size) > d.most_shared) return nullptr;
  const auto make_simt = [&] { return type == DType::BF16 ? attention<Bf16>(d, r) : attention<float>(d, r); };
  std::unique_ptr<Kernel> simt = make_simt(), mma = make_mma_attention(d, r, simt);  // which keeps simt where it fits
  if (!mma) return simt;
  if (admits_own(d, "attention")) return mma;
  print_once("attention in bf16 is done by own:attention; graft.matmul=own lets in own:mma:attention, which no device like this one has checked");
  return make_simt();
}

}  // namespace graft::cuda
