// Philox4x32-10, counter-based random numbers (Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3,
// SC'11). The same keying as dev.graft.engine.Philox, held together by one golden table:
//   key64   = splitmix64 finalizer(seed ^ fnv1a64(utf8 name of the operation)), key = (low 32 bits, high 32 bits)
//   counter = (element >> 2, visit, low 32 bits of the sample id, high 32 bits), lane = element & 3
//   uniform = (bits >> 8) * 2^-24
#pragma once
#include <array>
#include <cstdint>
#include <string>

namespace graft::philox {

// The part of the key that the name gives; a prepared kernel keeps it and adds the seed per run.
inline uint64_t hash(const std::string& operation) {
  uint64_t h = 0xCBF29CE484222325u;
  for (unsigned char c : operation) h = (h ^ c) * 0x100000001B3u;
  return h;
}

inline uint64_t key(uint64_t seed, uint64_t operation_hash) {
  uint64_t z = seed ^ operation_hash;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

inline uint64_t key(uint64_t seed, const std::string& operation) { return key(seed, hash(operation)); }

// Elements 4 * block to 4 * block + 3.
inline std::array<uint32_t, 4> block(uint64_t key, int64_t sample, int32_t visit, uint32_t block) {
  uint32_t c0 = block, c1 = static_cast<uint32_t>(visit);
  uint32_t c2 = static_cast<uint32_t>(sample), c3 = static_cast<uint32_t>(static_cast<uint64_t>(sample) >> 32);
  uint32_t k0 = static_cast<uint32_t>(key), k1 = static_cast<uint32_t>(key >> 32);
  for (int round = 0; round < 10; round++) {
    uint64_t p0 = uint64_t{0xD2511F53u} * c0, p1 = uint64_t{0xCD9E8D57u} * c2;
    c0 = static_cast<uint32_t>(p1 >> 32) ^ c1 ^ k0;
    c2 = static_cast<uint32_t>(p0 >> 32) ^ c3 ^ k1;
    c1 = static_cast<uint32_t>(p1);
    c3 = static_cast<uint32_t>(p0);
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return {c0, c1, c2, c3};
}

inline uint32_t bits(uint64_t key, int64_t sample, int32_t visit, int64_t element) {
  return block(key, sample, visit, static_cast<uint32_t>(static_cast<uint64_t>(element) >> 2))[element & 3];
}

// In [0, 1).
inline float uniform(uint32_t bits) { return static_cast<float>(bits >> 8) * 0x1p-24f; }

inline float uniform(uint64_t key, int64_t sample, int32_t visit, int64_t element) {
  return uniform(bits(key, sample, visit, element));
}

}  // namespace graft::philox
