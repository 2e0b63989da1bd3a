// attention forward on tensor cores in the flash manner: own tokens are queries, keys and values come in tiles of 64 by copies that run
// by themselves while the tile before is worked on. The running maximum and sum of a row are kept in registers, in powers of two.
#pragma once
#include "attention/tile.cuh"

namespace graft::cuda {

template <int kSize>
struct MmaForward {
  static constexpr int kKeys = 64, kTile = kKeys * HeadTile<kSize>::kStride;
  static constexpr size_t kSharedBytes = sizeof(Bf16) * (kOwnTokens * HeadTile<kSize>::kStride + 4 * kTile);
};

template <int kSize>
__global__ void __launch_bounds__(kAttentionThreads) mma_attention_forward(const __grid_constant__ Heads h, const Bf16* q, const Bf16* k, const Bf16* v, Bf16* out, float* logs) {
  using Tile = HeadTile<kSize>;
  using Shape = MmaForward<kSize>;
  constexpr int kKeys = Shape::kKeys;
  GRAFT_SHARED_DYNAMIC(Bf16, shared);
  Bf16* const stages = shared + kOwnTokens * Tile::kStride;  // of two tiles each: keys, values
  const HeadBlock at(h, h.q.tokens);
  const int keys = at.keys(h), t = static_cast<int>(threadIdx.x) % 4;
  const int mine[2] = {at.counted(h, keys, at.row), at.counted(h, keys, at.row + 8)};
  const int last = at.first + kOwnTokens < h.q.tokens ? at.first + kOwnTokens - 1 : static_cast<int>(h.q.tokens) - 1;
  const int tiles = (at.counted(h, keys, last) + kKeys - 1) / kKeys;
  const Bf16 *head_k = at.start(k, h, h.k), *head_v = at.start(v, h, h.v);
  auto fetch = [&](int i) {
    if (i < tiles) {
      Bf16* stage = stages + i % 2 * 2 * Shape::kTile;
      Tile::template fetch<kKeys>(stage, head_k, h.k.row, i * kKeys, keys, h.size);
      Tile::template fetch<kKeys>(stage + Shape::kTile, head_v, h.v.row, i * kKeys, keys, h.size);
    }
    commit_copies();
  };
  Tile::template fetch<kOwnTokens>(shared, at.start(q, h, h.q), h.q.row, at.first, static_cast<int>(h.q.tokens), h.size);
  fetch(0);
  const float scale = h.scale * kLog2OfE;
  float sum[kSize / 8][4] = {}, largest[2] = {-INFINITY, -INFINITY}, total[2] = {};  // total: of this lane's keys
#pragma unroll 1
  for (int i = 0; i < tiles; i++) {
    wait_copies<0>();
    __syncthreads();  // all have the tile, and are done with the one before it, whose place is the next to be filled
    fetch(i + 1);
    const Bf16* stage = stages + i % 2 * 2 * Shape::kTile;
    float p[kKeys / 8][4];
    Tile::template dots<kKeys>(p, Tile::own(shared), Tile::summed_elements(stage));
    float most[2] = {largest[0], largest[1]}, fade[2];
#pragma unroll
    for (int j = 0; j < kKeys / 8; j++)
#pragma unroll
      for (int e = 0; e < 4; e++) {
        p[j][e] = i * kKeys + 8 * j + 2 * t + e % 2 < mine[e / 2] ? scale * p[j][e] : -INFINITY;
        most[e / 2] = fmaxf(most[e / 2], p[j][e]);
      }
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const float now = quad_max(most[half]);
      most[half] = now == -INFINITY ? 0 : now;  // no key so far: -infinity less 0 is still worth 0
      fade[half] = exp2f(largest[half] - most[half]);
      largest[half] = now;
      total[half] *= fade[half];
    }
#pragma unroll
    for (int j = 0; j < kKeys / 8; j++)
#pragma unroll
      for (int e = 0; e < 4; e++) {
        p[j][e] = exp2f(p[j][e] - most[e / 2]);
        total[e / 2] += p[j][e];
      }
#pragma unroll
    for (int j = 0; j < kSize / 8; j++)
#pragma unroll
      for (int e = 0; e < 4; e++) sum[j][e] *= fade[e / 2];
    Tile::template add<kKeys>(sum, p, Tile::summed_tokens(stage + Shape::kTile));
  }
  wait_copies<0>();
  float factors[2];
#pragma unroll
  for (int half = 0; half < 2; half++) {
    total[half] = quad_sum(total[half]);
    factors[half] = mine[half] > 0 ? 1 / total[half] : 0;
    if (t == 0 && at.row + 8 * half < h.q.tokens)
      logs[at.log(h) + at.row + 8 * half] = mine[half] > 0 ? largest[half] / kLog2OfE + logf(total[half]) : 0;
  }
  Tile::store(sum, factors, {out, false}, h.o.at(at.sample, at.head, 0, h.size), h.o.row, at.row, h.q.tokens, h.size);
}

}  // namespace graft::cuda
