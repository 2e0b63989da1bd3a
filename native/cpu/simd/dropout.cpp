// Dropout with the numbers of core/philox.h: y = x * factor where uniform >= rate, else 0. The generator is written out here
// for 64 counters at a time; its header's functions must not be compiled for several instruction sets.
#include "value.h"

namespace graft::cpu::GRAFT_ISA_NAMESPACE {
namespace {

constexpr int64_t kCounters = 64, kAtOnce = 4 * kCounters;

// lanes[l][k]: number l of counter first + k.
inline void philox(uint64_t key, int64_t sample, int32_t visit, uint32_t first, uint32_t lanes[4][kCounters]) {
#pragma omp simd
  for (int64_t k = 0; k < kCounters; k++) {
    uint32_t c0 = first + static_cast<uint32_t>(k), c1 = static_cast<uint32_t>(visit);
    uint32_t c2 = static_cast<uint32_t>(sample), c3 = static_cast<uint32_t>(static_cast<uint64_t>(sample) >> 32);
    uint32_t k0 = static_cast<uint32_t>(key), k1 = static_cast<uint32_t>(key >> 32);
#pragma GCC unroll 10
    for (int round = 0; round < 10; round++) {
      uint64_t p0 = uint64_t{0xD2511F53u} * c0, p1 = uint64_t{0xCD9E8D57u} * c2;
      c0 = static_cast<uint32_t>(p1 >> 32) ^ c1 ^ k0;
      c2 = static_cast<uint32_t>(p0 >> 32) ^ c3 ^ k1;
      c1 = static_cast<uint32_t>(p1);
      c3 = static_cast<uint32_t>(p0);
      k0 += 0x9E3779B9u;
      k1 += 0xBB67AE85u;
    }
    lanes[0][k] = c0;
    lanes[1][k] = c1;
    lanes[2][k] = c2;
    lanes[3][k] = c3;
  }
}

inline bool survives(uint32_t bits, float rate) { return static_cast<float>(bits >> 8) * 0x1p-24f >= rate; }

void dropout(Store type, const void* x, const void* x2, void* y, int64_t samples, int64_t per_sample, const int64_t* ids, uint64_t key, int32_t visit,
             float rate, float factor, bool whole) {
  int64_t pieces = (per_sample + kBlock - 1) / kBlock;
  with_type(type, [&](auto e) {
    using T = decltype(e);
    over_items(samples * pieces, least(per_sample, kBlock), [&](int64_t item) {
      const int64_t sample = item / pieces, begin = item % pieces * kBlock, end = least(per_sample, begin + kBlock);
      const T* p = static_cast<const T*>(x) + sample * per_sample;
      const T* p2 = x2 ? static_cast<const T*>(x2) + sample * per_sample : nullptr;
      T* q = static_cast<T*>(y) + sample * per_sample;
      uint32_t lanes[4][kCounters];
      if (whole) {
        philox(key, ids[sample], visit, 0, lanes);
        const float all = survives(lanes[0][0], rate) ? factor : 0.f;
        for (int64_t i = begin; i < end; i++) {
          float v = load(p + i) + (p2 ? load(p2 + i) : 0.f);
          store(q + i, all ? v * all : 0.f);
        }
        return;
      }
      for (int64_t at = begin; at < end; at += kAtOnce) {
        philox(key, ids[sample], visit, static_cast<uint32_t>(at / 4), lanes);
        const int64_t count = least(kAtOnce, end - at);
        for (int64_t i = 0; i < count; i++) {
          float v = load(p + at + i) + (p2 ? load(p2 + at + i) : 0.f);
          store(q + at + i, survives(lanes[i & 3][i >> 2], rate) ? v * factor : 0.f);
        }
      }
    });
  });
}

}  // namespace

void add_dropout(Simd& table) { table.dropout = dropout; }

}  // namespace graft::cpu::GRAFT_ISA_NAMESPACE
