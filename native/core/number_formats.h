// Two-byte floats as bit patterns.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

namespace graft {

inline float float_of_bits(uint32_t bits) {
  float f;
  std::memcpy(&f, &bits, 4);
  return f;
}

inline uint32_t bits_of_float(float f) {
  uint32_t bits;
  std::memcpy(&bits, &f, 4);
  return bits;
}

inline float bf16_to_float(uint16_t h) { return float_of_bits(uint32_t{h} << 16); }

// Rounds to nearest, ties to even; a NaN stays a quiet NaN.
inline uint16_t float_to_bf16(float f) {
  uint32_t b = bits_of_float(f);
  if ((b & 0x7FFFFFFFu) > 0x7F800000u) return static_cast<uint16_t>((b >> 16) | 0x40u);
  return static_cast<uint16_t>((b + 0x7FFFu + ((b >> 16) & 1u)) >> 16);
}

inline float f16_to_float(uint16_t h) {
  uint32_t sign = uint32_t{h & 0x8000u} << 16, exponent = (h >> 10) & 31u, fraction = h & 1023u;
  if (exponent == 31) return float_of_bits(sign | 0x7F800000u | (fraction << 13));
  if (exponent == 0) return std::copysign(static_cast<float>(fraction) * 0x1p-24f, float_of_bits(sign));
  return float_of_bits(sign | ((exponent + 112) << 23) | (fraction << 13));
}

// Rounds to nearest, ties to even; overflows to infinity.
inline uint16_t float_to_f16(float f) {
  uint32_t b = bits_of_float(f), sign = (b >> 16) & 0x8000u, magnitude = b & 0x7FFFFFFFu;
  if (magnitude > 0x7F800000u) return static_cast<uint16_t>(sign | 0x7E00u);
  if (magnitude >= 0x477FF000u) return static_cast<uint16_t>(sign | 0x7C00u);  // 65520 and above
  if (magnitude < 0x38800000u)  // below 2^-14: multiples of 2^-24
    return static_cast<uint16_t>(sign | static_cast<uint32_t>(std::nearbyint(float_of_bits(magnitude) * 0x1p24f)));
  uint32_t rounded = magnitude + 0xFFFu + ((magnitude >> 13) & 1u);
  return static_cast<uint16_t>(sign | ((rounded - 0x38000000u) >> 13));
}

}  // namespace graft
