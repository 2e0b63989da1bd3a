// lora_linear: t = z a^T first, then y = x w^T + bias with the update added as each result is stored, so y is written once.
#include "lora.cuh"
#include "reduce.cuh"

namespace graft::cuda {

// t of rows whose adapters differ: a block a row, a warp a column of t.
template <class T>
__global__ void __launch_bounds__(kThreads) grouped_down(const __grid_constant__ Branch u, const T* z, const T* a, float* t) {
  const int64_t row = blockIdx.x, g = u.adapter_of(row);
  for (int64_t j = threadIdx.x / 32; j < u.columns(); j += blockDim.x / 32) {
    float sum = 0;
    for (int64_t k = threadIdx.x % 32; g >= 0 && k < u.in; k += 32) sum += float_of(z[row * u.in + k]) * float_of(a[u.at_a(g, j, k)]);
    sum = warp_sum(sum);
    if (threadIdx.x % 32 == 0) t[row * u.columns() + j] = sum;
  }
}

template <class T>
struct StoreUpdated {
  Branch u;
  const float *t, *bias;
  const T* b;
  Result<T> y;
  __device__ int64_t start(int64_t) const { return 0; }
  __device__ void put(int64_t, int64_t row, int64_t n, float sum) const {
    const int64_t g = u.adapter_of(row), slice = u.slice_of(n);
    if (bias) sum += bias[n];
    if (g >= 0 && slice >= 0) {
      const float* left = t + row * u.columns() + slice * u.rank;
      const T* right = b + u.at_b(g, slice, n, 0);
      float update = 0;
#pragma unroll 1
      for (int j = 0; j < static_cast<int>(u.rank); j++) update += left[j] * float_of(right[j]);
      sum += u.scale(g) * update;
    }
    y.put(row * u.out + n, g == -2 ? NAN : sum);
  }
};

namespace {

template <class T>
std::unique_ptr<Kernel> forward(const Device& d, const Request& r) {
  const Branch branch = branch_of(r);
  const bool biased = r.call().has(kBias), separate = r.call().has(kZ), grouped = r.call().has(kAdapter), scaled = r.call().has(kScales);
  const int64_t columns = branch.slices * branch.rank;
  return own(d, "simt:lora_linear", 0, [=, &d](const Args& args) {
    Branch u = branch;
    if (grouped) u.adapter = in<int32_t>(args, kAdapter);
    if (scaled) u.scales = in<float>(args, kScales);
    const T* z = in<T>(args, separate ? kZ : kX);
    float* t = static_cast<float*>(args.out[1]);
    if (grouped) launch(grouped_down<T>, {u.rows, 128, 0, d.stream}, u, z, in<T>(args, kA), t);
    else product(d, 1, u.rows, columns, u.in, 1, left<T>(z, u.in, 1), right<T>(args.in[kA], 1, u.in), Store<float>{t, columns, 1});
    const StoreUpdated<T> y{u, t, biased ? in<float>(args, kBias) : nullptr, in<T>(args, kB), result<T>(r, args)};
    product(d, 1, u.rows, u.out, u.in, 1, left<T>(args.in[kX], u.in, 1), right<T>(args.in[kWeight], 1, u.in), y);
  });
}

}  // namespace

std::unique_ptr<Kernel> make_lora_backward(const Device& d, const Request& r);
std::unique_ptr<Kernel> make_lora_products(const Device& d, const Request& r);

std::unique_ptr<Kernel> make_lora_linear(const Device& d, const Request& r) {
  const DType type = r.inputs[kX].dtype;
  if (!storable(type) || r.outputs[0].dtype != type) return nullptr;
  for (size_t i : {kWeight, kA, kB, kZ})
    if (r.call().has(i) && r.inputs[i].dtype != type) return nullptr;
  if (auto kernel = make_lora_products(d, r)) return kernel;
  if (r.pass == Pass::Backward) return make_lora_backward(d, r);
  return type == DType::BF16 ? forward<Bf16>(d, r) : forward<float>(d, r);
}

}  // namespace graft::cuda
