// Tiles of one head for mma.m16n8k16: tokens are lines of kSize numbers, what a smaller head has not is 0. A line is 16 bytes longer
// than its numbers, so that the eight lines of a fragment's matrix lie in different banks. A block takes 64 own tokens, a warp 16 of
// them, and walks over tiles of the other side; with g = lane / 4 and t = lane % 4 a lane has of every eight columns of a result
// those at 2t and 2t + 1, in rows g and g + 8.
#pragma once
#include "attention/heads.cuh"
#include "tensor_core.cuh"

namespace graft::cuda {

constexpr int kAttentionThreads = 128, kOwnTokens = 64;
constexpr float kLog2OfE = 1.4426950408889634f;

// The head and the own tokens of a block, and the rows of its lanes. The last tokens, which with causal see the most keys, come first.
struct HeadBlock {
  int sample, head, first, row;  // row: g of the block's tokens; the other is row + 8
  __device__ HeadBlock(const Heads& h, int64_t tokens) {
    const unsigned groups = (static_cast<unsigned>(tokens) + kOwnTokens - 1) / kOwnTokens, outer = blockIdx.x / groups, heads = static_cast<unsigned>(h.heads);
    first = static_cast<int>(groups - 1 - blockIdx.x % groups) * kOwnTokens;
    sample = static_cast<int>(outer / heads), head = static_cast<int>(outer % heads);
    row = first + static_cast<int>(threadIdx.x) / 32 * 16 + static_cast<int>(threadIdx.x) % 32 / 4;
  }
  __device__ const Bf16* start(const Bf16* p, const Heads& h, const Part& part) const { return p + part.at(sample, head, 0, h.size); }
  __device__ int64_t log(const Heads& h) const { return (static_cast<int64_t>(sample) * h.heads + head) * h.q.tokens; }
  // Of the sample.
  __device__ int keys(const Heads& h) const {
    const int most = static_cast<int>(h.k.tokens), n = h.keys ? h.keys[sample] : most;
    return n < 0 ? 0 : n < most ? n : most;
  }
  // How many keys a query counts of `keys`; 0 where it is none of h's.
  __device__ static int counted(const Heads& h, int keys, int query) { return query >= h.q.tokens ? 0 : h.causal && query + 1 < keys ? query + 1 : keys; }
};

template <int kSize>
struct HeadTile {
  static constexpr int kStride = kSize + 8;

  // Tokens from `first` on; those from `end` on are 0. head: token 0.
  template <int kTokens>
  __device__ static void fetch(Bf16* tile, const Bf16* head, int64_t row, int first, int end, int size) {
    constexpr int kChunks = kSize / 8;
    static_assert(kTokens * kChunks % kAttentionThreads == 0, "every thread copies as often");
#pragma unroll
    for (int i = 0; i < kTokens * kChunks / kAttentionThreads; i++) {
      const int e = static_cast<int>(threadIdx.x) + i * kAttentionThreads, y = e / kChunks, z = e % kChunks * 8;
      const bool there = first + y < end && z < size;
      copy_later(tile + y * kStride + z, there ? head + (first + y) * row + z : head, there ? 16 : 0);
    }
  }

  // The addresses that this lane gives for four 8 x 8 matrices: 16 tokens of the warp's own by 16 elements, as a left factor; 16 tokens
  // by 16 elements as a right factor summed over elements; the same, transposed as it is loaded, as one summed over tokens.
  __device__ static const Bf16* own(const Bf16* tile) { return summed_tokens(tile + static_cast<int>(threadIdx.x) / 32 * 16 * kStride); }
  __device__ static const Bf16* summed_elements(const Bf16* tile) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    return tile + (lane % 8 + lane / 16 * 8) * kStride + lane / 8 % 2 * 8;
  }
  __device__ static const Bf16* summed_tokens(const Bf16* tile) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    return tile + lane % 16 * kStride + lane / 16 * 8;
  }

  // s = own . other', 16 of the warp's tokens by kTokens.
  template <int kTokens>
  __device__ static void dots(float (&s)[kTokens / 8][4], const Bf16* own, const Bf16* other) {
#pragma unroll
    for (int j = 0; j < kTokens / 8; j++)
#pragma unroll
      for (int e = 0; e < 4; e++) s[j][e] = 0;
#pragma unroll
    for (int l = 0; l < kSize; l += 16) {
      uint32_t a[4];
      load_matrices(a, own + l);
#pragma unroll
      for (int j = 0; j < kTokens / 16; j++) {
        uint32_t b[4];
        load_matrices(b, other + 16 * j * kStride + l);
        multiply(s[2 * j], a, b[0], b[1]);
        multiply(s[2 * j + 1], a, b[2], b[3]);
      }
    }
  }

  // sum += weights . other, the weights rounded to bf16.
  template <int kTokens>
  __device__ static void add(float (&sum)[kSize / 8][4], const float (&weights)[kTokens / 8][4], const Bf16* other) {
#pragma unroll
    for (int l = 0; l < kTokens / 16; l++) {
      const float(&low)[4] = weights[2 * l], (&high)[4] = weights[2 * l + 1];
      const uint32_t a[4] = {pair_of(low[0], low[1]), pair_of(low[2], low[3]), pair_of(high[0], high[1]), pair_of(high[2], high[3])};
#pragma unroll
      for (int j = 0; j < kSize / 16; j++) {
        uint32_t b[4];
        load_matrices_transposed(b, other + 16 * l * kStride + 16 * j);
        multiply(sum[2 * j], a, b[0], b[1]);
        multiply(sum[2 * j + 1], a, b[2], b[3]);
      }
    }
  }

  // factors[i] * sum of rows g (i = 0) and g + 8 to a head whose token 0 begins at `head`.
  __device__ static void store(const float (&sum)[kSize / 8][4], const float (&factors)[2], const Gradient<Bf16>& to, int64_t head, int64_t row, int token, int64_t tokens, int size) {
    const int t = static_cast<int>(threadIdx.x) % 4;
#pragma unroll
    for (int half = 0; half < 2; half++) {
      if (token + 8 * half >= tokens) continue;
      const int64_t at = head + (token + 8 * half) * row + 2 * t;
#pragma unroll
      for (int j = 0; j < kSize / 8; j++) {
        if (8 * j >= size) continue;
        uint32_t* pair = reinterpret_cast<uint32_t*>(to.address + at + 8 * j);
        float low = factors[half] * sum[j][2 * half], high = factors[half] * sum[j][2 * half + 1];
        if (to.accumulate) low += __uint_as_float(*pair << 16), high += __uint_as_float(*pair & 0xFFFF0000u);
        *pair = pair_of(low, high);
      }
    }
  }
};

// Of a row: over the four lanes that share it.
__device__ __forceinline__ float quad_max(float v) {
  v = fmaxf(v, __shfl_xor_sync(0xFFFFFFFFu, v, 1));
  return fmaxf(v, __shfl_xor_sync(0xFFFFFFFFu, v, 2));
}
__device__ __forceinline__ float quad_sum(float v) {
  v += __shfl_xor_sync(0xFFFFFFFFu, v, 1);
  return v + __shfl_xor_sync(0xFFFFFFFFu, v, 2);
}

}  // namespace graft::cuda
