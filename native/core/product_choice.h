// Which kernels make matrix products on a column that has several kinds, as far as a plan or a device is told. What neither is told
// the environment says: GRAFT_MATMUL, GRAFT_TUNING, GRAFT_F32_PRODUCTS. The CPU and the reference have one kind and pay no regard.
#pragma once
#include <optional>
#include <string>

#include "error.h"
#include "nearest_name.h"

namespace graft {

// How factors of F32 may be multiplied: exactly, rounded to TF32 (10 bits), or as sums of bf16 parts, of which the products that count
// for 16 or for 24 bits are added up. A column takes any of these for a permission.
enum class F32Product { Exact, Tf32, Bf16x3, Bf16x6 };
inline const char* name_of(F32Product product) {
  static const char* const names[] = {"exact", "tf32", "bf16x3", "bf16x6"};
  return names[static_cast<int>(product)];
}

// Own: kernels of this library alone. Vendor: NVIDIA's where they take a product, an error where there are none. Auto: NVIDIA's where
// they are found, and own kernels that passed their checks on such a device.
enum class MatmulPolicy { Own, Vendor, Auto };
inline const char* name_of(MatmulPolicy policy) {
  static const char* const names[] = {"own", "vendor", "auto"};
  return names[static_cast<int>(policy)];
}

struct ProductChoice {
  std::optional<MatmulPolicy> matmul;
  std::optional<F32Product> f32;
  std::optional<std::string> tuning;  // path of the tuning file; empty: none

  // Takes the word for a key: matmul, f32_products or tuning. Throws INVALID_ARGUMENT that names `from` and what is expected.
  void set(const std::string& key, const std::string& word, const std::string& from) {
    if (key == "matmul") matmul = one_of(word, from, "own, vendor or auto", {MatmulPolicy::Own, MatmulPolicy::Vendor, MatmulPolicy::Auto});
    else if (key == "f32_products") f32 = one_of(word, from, "exact, tf32, bf16x3 or bf16x6", {F32Product::Exact, F32Product::Tf32, F32Product::Bf16x3, F32Product::Bf16x6});
    else if (key == "tuning") tuning = word;
    else throw Error(GRAFT_INVALID_ARGUMENT, text("products have no setting ", key, "; nearest is ", nearest_name(key, {"matmul", "f32_products", "tuning"})));
  }
  // What is said here, else what `other` says.
  ProductChoice over(const ProductChoice& other) const {
    return {matmul ? matmul : other.matmul, f32 ? f32 : other.f32, tuning ? tuning : other.tuning};
  }

  template <class Value>
  static Value one_of(const std::string& word, const std::string& from, const char* expected, std::initializer_list<Value> values) {
    for (Value v : values)
      if (word == name_of(v)) return v;
    throw Error(GRAFT_INVALID_ARGUMENT, text(from, ": expected ", expected, ", got ", word));
  }
};

}  // namespace graft
