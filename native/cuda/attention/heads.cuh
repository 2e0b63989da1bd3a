// What the kernels of attention share: where heads lie, and which keys a query counts (reference/attention.cpp has the formulas).
#pragma once
#include <cmath>

#include "operands.cuh"

namespace graft::cuda {

// Where the elements of one head lie.
struct Part {
  int64_t start, row, tokens;
  __device__ int64_t at(int64_t sample, int64_t head, int64_t token, int64_t size) const { return start + (sample * tokens + token) * row + head * size; }
};

struct Heads {
  int64_t batch, heads;
  int size;
  Part q, k, v, o;
  float scale;
  bool causal;
  const int32_t* keys = nullptr;  // per sample; null: all
  // How many keys query i of a sample counts.
  __device__ int64_t counted(int64_t sample, int64_t i) const {
    int64_t n = k.tokens;
    if (keys) n = keys[sample] < 0 ? 0 : keys[sample] < n ? keys[sample] : n;
    return causal && i + 1 < n ? i + 1 : n;
  }
};

enum { kQuery, kKey, kValue, kKeys };

inline Heads heads_of(const Request& r) {
  const bool packed = !r.call().has(kKey);
  const Shape& o = r.outputs[0].shape;
  const int64_t width = o[2], row = packed ? 3 * width : width, keys = packed ? o[1] : r.inputs[kKey].shape[1];
  Heads h{};
  h.batch = o[0];
  h.heads = r.call().integer("heads");
  h.size = static_cast<int>(width / h.heads);
  h.q = {0, row, o[1]};
  h.k = {packed ? width : 0, row, keys};
  h.v = {packed ? 2 * width : 0, row, keys};
  h.o = {0, width, o[1]};
  const double scale = r.call().number("scale");
  h.scale = static_cast<float>(scale > 0 ? scale : 1 / std::sqrt(static_cast<double>(h.size)));
  h.causal = r.call().integer("causal") != 0;
  return h;
}

template <class Kernel>
void allow_shared(const Device& d, Kernel kernel, size_t bytes) {
  if (bytes > (48 << 10)) check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(d.most_shared)), "asking for more shared memory");
}

// In bf16 on tensor cores, for heads of up to 128 elements, a multiple of eight; `other` runs where operands are not aligned to 16 bytes.
// Null where the kernel does not fit; `other` is left alone then.
std::unique_ptr<Kernel> make_mma_attention(const Device& d, const Request& r, std::unique_ptr<Kernel>& other);

}  // namespace graft::cuda
