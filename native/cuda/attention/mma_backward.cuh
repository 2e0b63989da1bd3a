// attention backward on tensor cores, the scores worked out again tile by tile: dq over tiles of keys, dk and dv over tiles of queries,
// each result made by one block, so that nothing is added up across blocks.
#pragma once
#include "attention/tile.cuh"

namespace graft::cuda {

template <int kSize>
struct MmaBackward {
  static constexpr int kOther = kSize == 128 ? 32 : 64;  // tokens of a tile: what registers allow
  static constexpr int kStep = kSize == 128 ? 16 : 32;   // of which dk and dv take so many at once
  static constexpr int kOwn = kOwnTokens * HeadTile<kSize>::kStride, kTile = kOther * HeadTile<kSize>::kStride;
  static constexpr size_t kSharedBytes = sizeof(Bf16) * (2 * kOwn + 4 * kTile) + sizeof(float) * 4 * kOther;
};

// deltas[query] = sum over keys of p * dp, which dk needs too, by a walk of its own over the keys; dq by a second, where it is wanted.
template <int kSize>
__global__ void __launch_bounds__(kAttentionThreads) mma_attention_queries(const __grid_constant__ Heads h, const Bf16* q, const Bf16* k, const Bf16* v, const Bf16* g,
                                                                           const float* logs, float* deltas, Gradient<Bf16> dq) {
  using Tile = HeadTile<kSize>;
  using Shape = MmaBackward<kSize>;
  constexpr int kKeys = Shape::kOther;
  GRAFT_SHARED_DYNAMIC(Bf16, shared);
  Bf16 *const own_g = shared + Shape::kOwn, *const stages = own_g + Shape::kOwn;  // of two tiles each: keys, values
  const HeadBlock at(h, h.q.tokens);
  const int keys = at.keys(h), t = static_cast<int>(threadIdx.x) % 4;
  const int mine[2] = {at.counted(h, keys, at.row), at.counted(h, keys, at.row + 8)};
  const int last = at.first + kOwnTokens < h.q.tokens ? at.first + kOwnTokens - 1 : static_cast<int>(h.q.tokens) - 1;
  const int tiles = (at.counted(h, keys, last) + kKeys - 1) / kKeys, walks = dq.address ? 2 * tiles : tiles;
  const Bf16 *head_k = at.start(k, h, h.k), *head_v = at.start(v, h, h.v);
  auto fetch = [&](int i) {
    if (i < walks) {
      Bf16* stage = stages + i % 2 * 2 * Shape::kTile;
      const int first = (i < tiles ? i : i - tiles) * kKeys;
      Tile::template fetch<kKeys>(stage, head_k, h.k.row, first, keys, h.size);
      Tile::template fetch<kKeys>(stage + Shape::kTile, head_v, h.v.row, first, keys, h.size);
    }
    commit_copies();
  };
  Tile::template fetch<kOwnTokens>(shared, at.start(q, h, h.q), h.q.row, at.first, static_cast<int>(h.q.tokens), h.size);
  Tile::template fetch<kOwnTokens>(own_g, at.start(g, h, h.o), h.o.row, at.first, static_cast<int>(h.q.tokens), h.size);
  fetch(0);
  const float scale = h.scale * kLog2OfE;
  float log[2], delta[2] = {}, sum[kSize / 8][4] = {};
#pragma unroll
  for (int half = 0; half < 2; half++) log[half] = at.row + 8 * half < h.q.tokens ? kLog2OfE * logs[at.log(h) + at.row + 8 * half] : 0;
#pragma unroll 1
  for (int i = 0; i < walks; i++) {
    wait_copies<0>();
    __syncthreads();  // all have the tile, and are done with the one before it, whose place is the next to be filled
    fetch(i + 1);
    if (i == tiles) delta[0] = quad_sum(delta[0]), delta[1] = quad_sum(delta[1]);
    const Bf16* stage = stages + i % 2 * 2 * Shape::kTile;
    const int first = (i < tiles ? i : i - tiles) * kKeys;
    float p[kKeys / 8][4], dp[kKeys / 8][4];
    Tile::template dots<kKeys>(p, Tile::own(shared), Tile::summed_elements(stage));
    Tile::template dots<kKeys>(dp, Tile::own(own_g), Tile::summed_elements(stage + Shape::kTile));
#pragma unroll
    for (int j = 0; j < kKeys / 8; j++)
#pragma unroll
      for (int e = 0; e < 4; e++) p[j][e] = first + 8 * j + 2 * t + e % 2 < mine[e / 2] ? exp2f(scale * p[j][e] - log[e / 2]) : 0;
    if (i < tiles) {
#pragma unroll
      for (int j = 0; j < kKeys / 8; j++)
#pragma unroll
        for (int e = 0; e < 4; e++) delta[e / 2] += p[j][e] * dp[j][e];
    } else {
#pragma unroll
      for (int j = 0; j < kKeys / 8; j++)
#pragma unroll
        for (int e = 0; e < 4; e++) p[j][e] *= dp[j][e] - delta[e / 2];
      Tile::template add<kKeys>(sum, p, Tile::summed_tokens(stage));
    }
  }
  wait_copies<0>();
  if (walks == tiles) delta[0] = quad_sum(delta[0]), delta[1] = quad_sum(delta[1]);
#pragma unroll
  for (int half = 0; half < 2; half++)
    if (t == 0 && at.row + 8 * half < h.q.tokens) deltas[at.log(h) + at.row + 8 * half] = delta[half];
  if (dq.address) Tile::store(sum, {h.scale, h.scale}, dq, h.q.at(at.sample, at.head, 0, h.size), h.q.row, at.row, h.q.tokens, h.size);
}

// Own tokens are keys. v and deltas are null where dk is not wanted.
template <int kSize>
__global__ void __launch_bounds__(kAttentionThreads, 2) mma_attention_keys(const __grid_constant__ Heads h, const Bf16* q, const Bf16* k, const Bf16* v, const Bf16* g,
                                                                        const float* logs, const float* deltas, Gradient<Bf16> dk, Gradient<Bf16> dv) {
  using Tile = HeadTile<kSize>;
  using Shape = MmaBackward<kSize>;
  constexpr int kQueries = Shape::kOther, kStep = Shape::kStep;
  GRAFT_SHARED_DYNAMIC(Bf16, shared);
  Bf16 *const own_v = shared + Shape::kOwn, *const stages = own_v + Shape::kOwn;  // of two tiles each: queries, gradients of the result
  float* const numbers = reinterpret_cast<float*>(stages + 4 * Shape::kTile);  // of two stages: logs, in powers of two, and deltas
  const HeadBlock at(h, h.k.tokens);
  const int keys = at.keys(h), queries = static_cast<int>(h.q.tokens), t = static_cast<int>(threadIdx.x) % 4;
  // From the first query on that counts one of the own keys.
  const int begin = h.causal ? at.first / kQueries : 0, end = at.first < keys ? (queries + kQueries - 1) / kQueries : 0;
  const Bf16 *head_q = at.start(q, h, h.q), *head_g = at.start(g, h, h.o);
  auto fetch = [&](int i) {
    if (i < end) {
      Bf16* stage = stages + i % 2 * 2 * Shape::kTile;
      Tile::template fetch<kQueries>(stage, head_q, h.q.row, i * kQueries, queries, h.size);
      Tile::template fetch<kQueries>(stage + Shape::kTile, head_g, h.o.row, i * kQueries, queries, h.size);
    }
    commit_copies();
  };
  Tile::template fetch<kOwnTokens>(shared, at.start(k, h, h.k), h.k.row, at.first, static_cast<int>(h.k.tokens), h.size);
  if (dk.address) Tile::template fetch<kOwnTokens>(own_v, at.start(v, h, h.v), h.v.row, at.first, static_cast<int>(h.k.tokens), h.size);
  // One thread has one query's: its log, infinite behind the last query, where p is 0 by that, and its delta.
  const int64_t log = at.log(h) + threadIdx.x;
  auto number = [&](int i, float& own_log, float& own_delta) {
    const bool there = static_cast<int>(threadIdx.x) < kQueries && i * kQueries + static_cast<int>(threadIdx.x) < queries;
    own_log = there ? kLog2OfE * logs[log + i * kQueries] : INFINITY;
    own_delta = there && dk.address ? deltas[log + i * kQueries] : 0;
  };
  auto put = [&](int i, float own_log, float own_delta) {
    if (threadIdx.x >= kQueries) return;
    float* to = numbers + i % 2 * 2 * kQueries + threadIdx.x;
    to[0] = own_log, to[kQueries] = own_delta;
  };
  fetch(begin);
  float next_log, next_delta;
  number(begin, next_log, next_delta);
  put(begin, next_log, next_delta);
  int least[2];  // the first query that counts the row's key
#pragma unroll
  for (int half = 0; half < 2; half++) least[half] = at.row + 8 * half >= keys ? INT32_MAX : h.causal ? at.row + 8 * half : 0;
  const float scale = h.scale * kLog2OfE;
  float sum_k[kSize / 8][4] = {}, sum_v[kSize / 8][4] = {};
#pragma unroll 1
  for (int i = begin; i < end; i++) {
    wait_copies<0>();
    __syncthreads();  // all have the tile, and are done with the one before it, whose place is the next to be filled
    fetch(i + 1);
    number(i + 1, next_log, next_delta);
#pragma unroll 1
    for (int step = 0; step < kQueries; step += kStep) {
      const Bf16 *tile_q = stages + i % 2 * 2 * Shape::kTile + step * Tile::kStride, *tile_g = tile_q + Shape::kTile;
      const float* own_logs = numbers + i % 2 * 2 * kQueries + step + 2 * t;
      const int first = i * kQueries + step + 2 * t;
      float p[kStep / 8][4];
      Tile::template dots<kStep>(p, Tile::own(shared), Tile::summed_elements(tile_q));
#pragma unroll
      for (int j = 0; j < kStep / 8; j++)
#pragma unroll
        for (int e = 0; e < 4; e++) p[j][e] = first + 8 * j + e % 2 >= least[e / 2] ? exp2f(scale * p[j][e] - own_logs[8 * j + e % 2]) : 0;
      if (dv.address) Tile::template add<kStep>(sum_v, p, Tile::summed_tokens(tile_g));
      if (!dk.address) continue;
      float dp[kStep / 8][4];
      Tile::template dots<kStep>(dp, Tile::own(own_v), Tile::summed_elements(tile_g));
#pragma unroll
      for (int j = 0; j < kStep / 8; j++)
#pragma unroll
        for (int e = 0; e < 4; e++) p[j][e] *= dp[j][e] - own_logs[kQueries + 8 * j + e % 2];
      Tile::template add<kStep>(sum_k, p, Tile::summed_tokens(tile_q));
    }
    put(i + 1, next_log, next_delta);
  }
  wait_copies<0>();
  if (dk.address) Tile::store(sum_k, {h.scale, h.scale}, dk, h.k.at(at.sample, at.head, 0, h.size), h.k.row, at.row, h.k.tokens, h.size);
  if (dv.address) Tile::store(sum_v, {1, 1}, dv, h.v.at(at.sample, at.head, 0, h.size), h.v.row, at.row, h.k.tokens, h.size);
}

}  // namespace graft::cuda
