// layer_norm over the last axis: a warp a row, a block where rows are long. The parameters' gradients are sums over rows.
#include "reduce.cuh"

namespace graft::cuda {

template <class T, bool kWarp>
__global__ void __launch_bounds__(kThreads)
    layer_norm_forward(const T* x, const float* weight, const float* bias, Result<T> y, float* means, float* rstds, int64_t rows, int64_t columns, float eps) {
  const Team<kWarp> team;
  const bool mine = team.row < rows;
  const int64_t start = team.row * columns;
  float mean = 0, var = 0;
  for (int64_t i = team.rank; mine && i < columns; i += team.size) mean += float_of(x[start + i]);
  mean = team.sum(mean) / static_cast<float>(columns);
  for (int64_t i = team.rank; mine && i < columns; i += team.size) {
    const float from_mean = float_of(x[start + i]) - mean;
    var += from_mean * from_mean;
  }
  var = team.sum(var) / static_cast<float>(columns);
  const float rstd = 1 / sqrtf(var + eps);
  if (mine && team.rank == 0) means[team.row] = mean, rstds[team.row] = rstd;
  for (int64_t i = team.rank; mine && i < columns; i += team.size)
    y.put(start + i, (float_of(x[start + i]) - mean) * rstd * (weight ? weight[i] : 1) + (bias ? bias[i] : 0));
}

// dx may lie on dout: each element of a row is read a last time by the thread that writes it.
template <class T, bool kWarp>
__global__ void __launch_bounds__(kThreads)
    layer_norm_data(Incoming<T> g, const T* x, const float* weight, const float* means, const float* rstds, Gradient<T> dx, int64_t rows, int64_t columns) {
  const Team<kWarp> team;
  const bool mine = team.row < rows;
  const int64_t start = team.row * columns;
  const float mean = mine ? means[team.row] : 0, rstd = mine ? rstds[team.row] : 0;
  float sum_g = 0, sum_gx = 0;  // of the gradient of the normalised row
  for (int64_t i = team.rank; mine && i < columns; i += team.size) {
    const float v = g(start + i) * (weight ? weight[i] : 1);
    sum_g += v;
    sum_gx += v * (float_of(x[start + i]) - mean) * rstd;
  }
  sum_g = team.sum(sum_g) / static_cast<float>(columns);
  sum_gx = team.sum(sum_gx) / static_cast<float>(columns);
  for (int64_t i = team.rank; mine && i < columns; i += team.size) {
    const float v = g(start + i) * (weight ? weight[i] : 1);
    dx.put(start + i, rstd * (v - (sum_g + (float_of(x[start + i]) - mean) * rstd * sum_gx)));
  }
}

// x null: the bias alone has a gradient.
template <class T>
struct NormTerms {
  Incoming<T> g;
  const T* x;
  const float *means, *rstds;
  int64_t columns;
  __device__ void operator()(int64_t, int64_t row, int64_t c, float (&v)[2]) const {
    v[0] = g(row * columns + c);
    v[1] = x ? v[0] * (float_of(x[row * columns + c]) - means[row]) * rstds[row] : 0;
  }
};

struct PutNormGradients {
  Gradient<float> dweight, dbias;
  __device__ void operator()(int64_t i, const double (&sums)[2]) const {
    if (dweight.address) dweight.put(i, static_cast<float>(sums[1]));
    if (dbias.address) dbias.put(i, static_cast<float>(sums[0]));
  }
};

namespace {

enum { kX, kWeight, kBias };

template <class T>
std::unique_ptr<Kernel> layer_norm(const Device& d, const Request& r) {
  const int64_t columns = r.inputs[kX].shape[-1], rows = r.inputs[kX].count() / columns;
  const bool weighted = r.call().has(kWeight), biased = r.call().has(kBias), warp = columns <= kWarpColumns;
  if (r.pass == Pass::Forward) {
    const float eps = static_cast<float>(r.call().number("eps"));
    return own(d, "layer_norm", 0, [=, &d](const Args& a) {
      launch(warp ? layer_norm_forward<T, true> : layer_norm_forward<T, false>, rows_shape(d, rows, columns), in<T>(a, kX),
             weighted ? in<float>(a, kWeight) : nullptr, biased ? in<float>(a, kBias) : nullptr, result<T>(r, a), static_cast<float*>(a.out[1]),
             static_cast<float*>(a.out[2]), rows, columns, eps);
    });
  }
  const SumShape s(1, rows, columns);
  const bool sums = wants(r, kWeight) || wants(r, kBias);
  return own(d, "layer_norm", sums ? s.scratch(2) : 0, [=, &d](const Args& a) {
    const Incoming<T> g = incoming<T>(r, a);
    const float *means = static_cast<const float*>(a.out[1]), *rstds = static_cast<const float*>(a.out[2]);
    const PutNormGradients put{gradient_of<float>(r, a, kWeight), gradient_of<float>(r, a, kBias)};
    if (sums) {
      const NormTerms<T> terms{g, put.dweight.address ? in<T>(a, kX) : nullptr, means, rstds, columns};
      middle_sums<2>(d, s, static_cast<float*>(a.scratch), terms, put);
    }
    const Gradient<T> dx = gradient_of<T>(r, a, kX);
    if (dx.address)
      launch(warp ? layer_norm_data<T, true> : layer_norm_data<T, false>, rows_shape(d, rows, columns), g, in<T>(a, kX),
             weighted ? in<float>(a, kWeight) : nullptr, means, rstds, dx, rows, columns);
  });
}

}  // namespace

std::unique_ptr<Kernel> make_layer_norm(const Device& d, const Request& r) {
  if (!storable(r.inputs[kX].dtype) || r.outputs[0].dtype != r.inputs[kX].dtype || (r.epilogue.any() && r.pass != Pass::Forward)) return nullptr;
  return r.outputs[0].dtype == DType::BF16 ? layer_norm<Bf16>(d, r) : layer_norm<float>(d, r);
}

}  // namespace graft::cuda
