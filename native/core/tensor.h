// Types and shapes: values only, no memory.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>

#include "graft.h"

namespace graft {

enum class DType : int32_t {
  F32 = GRAFT_F32, BF16 = GRAFT_BF16, F64 = GRAFT_F64, I32 = GRAFT_I32, U8 = GRAFT_U8, I64 = GRAFT_I64, F16 = GRAFT_F16
};

inline size_t size_of(DType t) {
  switch (t) {
    case DType::F64: case DType::I64: return 8;
    case DType::F32: case DType::I32: return 4;
    case DType::BF16: case DType::F16: return 2;
    case DType::U8: return 1;
  }
  return 0;
}

inline const char* name_of(DType t) {
  switch (t) {
    case DType::F32: return "f32";
    case DType::BF16: return "bf16";
    case DType::F64: return "f64";
    case DType::I32: return "i32";
    case DType::U8: return "u8";
    case DType::I64: return "i64";
    case DType::F16: return "f16";
  }
  return "?";
}

inline bool is_float(DType t) { return t == DType::F32 || t == DType::BF16 || t == DType::F64 || t == DType::F16; }
inline bool storable(DType t) { return t == DType::F32 || t == DType::BF16; }  // types that fast kernels take

inline constexpr int kMaxRank = 8;
inline constexpr int64_t kMostElements = int64_t{1} << 40;  // of one tensor

struct Shape {
  int rank = 0;
  std::array<int64_t, kMaxRank> dims{};

  Shape() = default;
  Shape(std::initializer_list<int64_t> list) {
    for (int64_t d : list) dims[rank++] = d;
  }
  int64_t operator[](int i) const { return dims[i < 0 ? rank + i : i]; }
  int64_t& operator[](int i) { return dims[i < 0 ? rank + i : i]; }
  int64_t count() const {
    int64_t n = 1;
    for (int i = 0; i < rank; i++) n *= dims[i];
    return n;
  }
  bool operator==(const Shape& o) const {
    if (rank != o.rank) return false;
    for (int i = 0; i < rank; i++)
      if (dims[i] != o.dims[i]) return false;
    return true;
  }
  bool operator!=(const Shape& o) const { return !(*this == o); }
  // "[2, 3]"
  std::string str() const {
    std::string s = "[";
    for (int i = 0; i < rank; i++) s += (i ? ", " : "") + std::to_string(dims[i]);
    return s + "]";
  }
};

struct TensorType {
  DType dtype = DType::F32;
  Shape shape;
  size_t bytes() const { return size_of(dtype) * static_cast<size_t>(shape.count()); }
  int64_t count() const { return shape.count(); }
};

}  // namespace graft
