// dropout: four elements of a sample share one block of random numbers (core/philox.h has the keying); backward draws them again.
#include "operands.cuh"
#include "philox.h"

namespace graft::cuda {

// core/philox.h's key() and block() for the device.
__device__ inline uint64_t philox_key(uint64_t seed, uint64_t operation) {
  uint64_t z = seed ^ operation;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

__device__ inline void philox_uniforms(uint64_t key, int64_t sample, int32_t visit, uint32_t block, float (&u)[4]) {
  uint32_t c[4] = {block, static_cast<uint32_t>(visit), static_cast<uint32_t>(sample), static_cast<uint32_t>(static_cast<uint64_t>(sample) >> 32)};
  uint32_t k0 = static_cast<uint32_t>(key), k1 = static_cast<uint32_t>(key >> 32);
  for (int round = 0; round < 10; round++) {
    const uint64_t p0 = uint64_t{0xD2511F53u} * c[0], p1 = uint64_t{0xCD9E8D57u} * c[2];
    c[0] = static_cast<uint32_t>(p1 >> 32) ^ c[1] ^ k0;
    c[2] = static_cast<uint32_t>(p0 >> 32) ^ c[3] ^ k1;
    c[1] = static_cast<uint32_t>(p1);
    c[3] = static_cast<uint32_t>(p0);
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  for (int i = 0; i < 4; i++) u[i] = static_cast<float>(c[i] >> 8) * 5.9604644775390625e-8f;  // 2^-24
}

template <class T>
struct Dropout {
  const T *x, *x2;
  Gradient<T> y;
  const StepHeader* header;
  const int64_t* row_id;
  uint64_t operation;
  int64_t per_sample;
  Divisor blocks_per_sample;
  float rate, keep;
  bool per_row;  // one number for the whole sample
  __device__ void operator()(int64_t block) const {
    const int64_t sample = block / blocks_per_sample, first = block % blocks_per_sample * 4;
    float u[4];
    philox_uniforms(philox_key(header->seed, operation), row_id[sample], header->visit, per_row ? 0u : static_cast<uint32_t>(first / 4), u);
#pragma unroll
    for (int k = 0; k < 4; k++) {
      if (first + k >= per_sample) continue;
      const int64_t i = sample * per_sample + first + k;
      const float v = x2 ? float_of(x[i]) + float_of(x2[i]) : float_of(x[i]);
      y.put(i, (per_row ? u[0] : u[k]) >= rate ? keep * v : 0);
    }
  }
};

template <class T>
struct CopyOrSum {
  const T *x, *x2;
  Gradient<T> y;
  __device__ void operator()(int64_t i) const { y.put(i, x2 ? float_of(x[i]) + float_of(x2[i]) : float_of(x[i])); }
};

namespace {

template <class T>
std::unique_ptr<Kernel> dropout(const Device& d, const Request& r) {
  const bool backward = r.pass == Pass::Backward, active = r.call().integer("active") != 0, per_row = r.call().integer("per_sample") != 0;
  const double rate = r.call().number("rate");
  const int64_t n = r.outputs[0].count(), per_sample = n / r.batch;
  const uint64_t operation = philox::hash(r.node);
  return own(d, active ? "dropout" : "copy", 0, [=, &d](const Args& a) {
    const T* x = static_cast<const T*>(backward ? a.dout : a.in[0]);
    const T* x2 = static_cast<const T*>(r.second_gradient ? a.dout2 : nullptr);
    const Gradient<T> y = backward ? gradient_of<T>(r, a, 0) : Gradient<T>{static_cast<T*>(a.out[0])};
    if (!y.address) return;
    if (!active) return over_all(d, n, CopyOrSum<T>{x, x2, y});
    const int64_t blocks = ceil_div(per_sample, 4);
    over_all(d, n / per_sample * blocks, Dropout<T>{x, x2, y, a.step->header, a.step->row_id, operation, per_sample, blocks, static_cast<float>(rate),
                                                    static_cast<float>(1 / (1 - rate)), per_row});
  });
}

}  // namespace

std::unique_ptr<Kernel> make_dropout(const Device& d, const Request& r) {
  if (!same_storage(r) || r.epilogue.any()) return nullptr;
  return r.outputs[0].dtype == DType::BF16 ? dropout<Bf16>(d, r) : dropout<float>(d, r);
}

}  // namespace graft::cuda
