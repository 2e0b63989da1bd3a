// bce_with_logits, mse, mae: the mean over the elements of the rows that count, and the gradient in the same pass.
#include "losses.cuh"

namespace graft::cuda {

enum class Term { Bce, Square, Absolute };

constexpr int64_t kPart = 4096;  // elements of a row that a block takes

struct EveryRow {
  __device__ double operator()(int64_t, int&) const { return 1; }
};

__global__ void __launch_bounds__(kThreads)
    elementwise_loss(Term term, LossStep loss, const float* x, const float* target, float* dx, int64_t per_row, int64_t parts, const LossNumbers* numbers, double* sums) {
  const int64_t row = blockIdx.x / parts, begin = blockIdx.x % parts * kPart, end = begin + kPart < per_row ? begin + kPart : per_row;
  const float weight = loss.row_weight(row);
  const float factor = static_cast<float>(static_cast<double>(loss.step.loss_weight[loss.index]) * weight / numbers->divisor);
  double sum = 0;
  for (int64_t i = row * per_row + begin + threadIdx.x; i < row * per_row + end; i += blockDim.x) {
    float value = 0, slope = 0;
    if (weight != 0) {
      const float v = x[i], t = target[i];
      if (term == Term::Bce) {
        value = fmaxf(v, 0.f) - v * t + log1pf(expf(-fabsf(v)));
        slope = sigmoid(v) - t;
      } else if (term == Term::Square) {
        value = (v - t) * (v - t);
        slope = 2 * (v - t);
      } else {
        value = fabsf(v - t);
        slope = v > t ? 1 : v < t ? -1 : 0;
      }
      slope *= factor;
    }
    sum += value;
    if (dx) dx[i] = slope;
  }
  sum = block_sum(sum);
  if (threadIdx.x == 0) sums[blockIdx.x] = weight != 0 ? weight * sum : 0;
}

std::unique_ptr<Kernel> make_elementwise_loss(const Device& d, const Request& r) {
  if (r.inputs[0].dtype != DType::F32 || r.inputs[1].dtype != DType::F32 || mode_of(r, 0) == GradMode::Accumulate) return nullptr;
  const int64_t rows = r.batch, per_row = r.inputs[0].count() / rows, parts = ceil_div(per_row, kPart);
  const bool gradient = r.pass == Pass::Loss && wants(r, 0);
  const Term term = r.name() == "bce_with_logits" ? Term::Bce : r.name() == "mse" ? Term::Square : Term::Absolute;
  const int index = r.loss_index;
  return own(d, r.name(), aligned(sizeof(LossNumbers)) + aligned(8 * static_cast<size_t>(rows * parts)), [=, &d](const Args& a) {
    Cut scratch(a.scratch);
    LossNumbers* numbers = scratch.take<LossNumbers>(1);
    double* sums = scratch.take<double>(rows * parts);
    const LossStep loss{*a.step, index, 1};
    launch(loss_divisor<EveryRow>, {1, kThreads, 0, d.stream}, loss, rows, static_cast<double>(per_row), EveryRow{}, numbers);
    launch(elementwise_loss, {rows * parts, kThreads, 0, d.stream}, term, loss, in<float>(a, 0), in<float>(a, 1),
           gradient ? static_cast<float*>(a.din[0]) : nullptr, per_row, parts, static_cast<const LossNumbers*>(numbers), sums);
    launch(loss_finish<float>, {1, kThreads, 0, d.stream}, loss, rows * parts, static_cast<const double*>(sums), static_cast<const float*>(nullptr),
           static_cast<const LossNumbers*>(numbers), static_cast<float*>(a.out[0]));
  });
}

}  // namespace graft::cuda
