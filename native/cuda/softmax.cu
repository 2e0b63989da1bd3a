// softmax over the last axis and its logarithm: a warp a row, a block where rows are long.
#include "reduce.cuh"

namespace graft::cuda {

template <class T, bool kWarp>
__global__ void __launch_bounds__(kThreads) softmax_forward(const T* x, T* y, int64_t rows, int64_t columns, bool log) {
  const Team<kWarp> team;
  const bool mine = team.row < rows;  // a warp without a row goes along
  const T* from = x + (mine ? team.row * columns : 0);
  float most = -INFINITY;
  for (int64_t i = team.rank; mine && i < columns; i += team.size) most = fmaxf(most, float_of(from[i]));
  most = team.max(most);
  float sum = 0;
  for (int64_t i = team.rank; mine && i < columns; i += team.size) sum += expf(float_of(from[i]) - most);
  sum = team.sum(sum);
  const float log_sum = logf(sum), inverse = 1 / sum;
  for (int64_t i = team.rank; mine && i < columns; i += team.size) {
    const float v = float_of(from[i]) - most;
    y[team.row * columns + i] = stored<T>(log ? v - log_sum : expf(v) * inverse);
  }
}

// dx = y (g - sum(g y)); of the logarithm: dx = g - exp(y) sum(g).
template <class T, bool kWarp>
__global__ void __launch_bounds__(kThreads) softmax_backward(Incoming<T> g, const T* y, Gradient<T> dx, int64_t rows, int64_t columns, bool log) {
  const Team<kWarp> team;
  const bool mine = team.row < rows;
  const int64_t start = team.row * columns;
  float sum = 0;
  for (int64_t i = team.rank; mine && i < columns; i += team.size) sum += log ? g(start + i) : g(start + i) * float_of(y[start + i]);
  sum = team.sum(sum);
  for (int64_t i = team.rank; mine && i < columns; i += team.size) {
    const float v = g(start + i), p = float_of(y[start + i]);
    dx.put(start + i, log ? v - expf(p) * sum : p * (v - sum));
  }
}

namespace {

template <class T>
std::unique_ptr<Kernel> softmax(const Device& d, const Request& r) {
  const int64_t columns = r.inputs[0].shape[-1], rows = r.inputs[0].count() / columns;
  const bool log = r.call().integer("log") != 0, warp = columns <= kWarpColumns;
  if (r.pass == Pass::Forward)
    return own(d, "softmax", 0, [=, &d](const Args& a) {
      launch(warp ? softmax_forward<T, true> : softmax_forward<T, false>, rows_shape(d, rows, columns), in<T>(a, 0), static_cast<T*>(a.out[0]), rows,
             columns, log);
    });
  return own(d, "softmax", 0, [=, &d](const Args& a) {
    const Gradient<T> dx = gradient_of<T>(r, a, 0);
    if (!dx.address) return;
    launch(warp ? softmax_backward<T, true> : softmax_backward<T, false>, rows_shape(d, rows, columns), incoming<T>(r, a),
           static_cast<const T*>(a.out[0]), dx, rows, columns, log);
  });
}

}  // namespace

std::unique_ptr<Kernel> make_softmax(const Device& d, const Request& r) {
  if (!same_storage(r) || r.epilogue.any()) return nullptr;
  return r.outputs[0].dtype == DType::BF16 ? softmax<Bf16>(d, r) : softmax<float>(d, r);
}

}  // namespace graft::cuda
