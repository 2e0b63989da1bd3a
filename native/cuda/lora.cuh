// What the kernels of lora_linear share: which update a row has, and where its parts lie (reference/lora_linear.cpp has the formulas).
#pragma once
#include "product.cuh"

namespace graft::cuda {

constexpr int kMostSlices = 8;

struct Branch {
  int64_t rows, out, adapters;
  Divisor in, rank, slices, width, rows_per_sample;
  int64_t starts[kMostSlices];  // of the slices, columns of the result
  float factor;
  const int32_t* adapter = nullptr;  // per sample; null: the one update for all rows
  const float* scales = nullptr;     // per adapter

  __host__ __device__ int64_t columns() const { return slices * rank; }  // of t
  // The row's update, -1 for none, -2 where the number names none.
  __device__ int64_t adapter_of(int64_t row) const {
    if (!adapter) return 0;
    const int64_t g = adapter[row / rows_per_sample];
    return g >= -1 && g < adapters ? g : -2;
  }
  __device__ float scale(int64_t g) const { return scales ? factor * scales[g] : factor; }
  __device__ int64_t slice_of(int64_t n) const {
    for (int64_t i = 0; i < slices; i++)
      if (n >= starts[i] && n < starts[i] + width) return i;
    return -1;
  }
  __device__ int64_t at_a(int64_t g, int64_t j, int64_t k) const { return (g * columns() + j) * in + k; }
  __device__ int64_t at_b(int64_t g, int64_t slice, int64_t n, int64_t j) const { return ((g * slices + slice) * width + n - starts[slice]) * rank + j; }
};

enum { kX, kWeight, kBias, kA, kB, kZ, kAdapter, kScales };

inline Branch branch_of(const Request& r) {
  const OpCall call = r.call();
  Branch u{};
  u.in = r.inputs[kWeight].shape[1];
  u.out = r.inputs[kWeight].shape[0];
  u.rank = r.inputs[kB].shape[-1];
  u.rows = r.inputs[kX].count() / u.in;
  u.slices = call.integer("slices");
  u.width = call.integer("width") ? call.integer("width") : u.out;
  u.adapters = call.has(kAdapter) ? r.inputs[kA].shape[0] : 1;
  u.rows_per_sample = call.has(kAdapter) ? u.rows / r.inputs[kAdapter].shape[0] : u.rows;
  u.factor = static_cast<float>(call.number("factor"));
  for (int64_t i = 0; i < u.slices; i++) u.starts[i] = call.integer(text("start", i).c_str());
  return u;
}

// d(scale) of each adapter, from t and u [rows, columns].
void add_scale_gradients(const Device& d, const Branch& u, const float* t, const float* through, const Gradient<float>& dscales);

}  // namespace graft::cuda
