// What the losses share: the mean's divisor before, the mean after. Rows of weight 0 (padding) take no part.
#pragma once
#include "reduce.cuh"

namespace graft::cuda {

// Of one run, in scratch.
struct LossNumbers {
  double divisor;
  int invalid;  // a target that is no class: the loss is NaN
};

struct LossStep {
  StepBlock step;
  int index;  // of the loss
  Divisor rows_per_sample;
  __device__ float row_weight(int64_t row) const { return step.row_weight[row / rows_per_sample]; }
};

// share(row, invalid) is what a row that counts adds to the divisor before its weight. One block.
template <class Share>
__global__ void __launch_bounds__(kThreads) loss_divisor(const __grid_constant__ LossStep loss, int64_t rows, double per_row, const __grid_constant__ Share share, LossNumbers* numbers) {
  double sum = 0;
  int invalid = 0;
  for (int64_t r = threadIdx.x; r < rows; r += blockDim.x) {
    const float weight = loss.row_weight(r);
    if (weight != 0) sum += static_cast<double>(weight) * share(r, invalid);
  }
  sum = block_sum(sum);
  invalid = block_sum(invalid);
  if (threadIdx.x != 0) return;
  const float given = loss.step.header->normalizer;
  numbers->divisor = (given > 0 ? given : sum) * per_row;
  numbers->invalid = invalid;
}

// The sums over `count` parts, in their order by threads. One block.
template <class T>
__global__ void __launch_bounds__(kThreads) loss_finish(const __grid_constant__ LossStep loss, int64_t count, const double* sums, const float* correct, const LossNumbers* numbers, T* out) {
  double sum = 0;
  float hits = 0;
  for (int64_t i = threadIdx.x; i < count; i += blockDim.x) {
    sum += sums[i];
    if (correct) hits += correct[i];
  }
  sum = block_sum(sum);
  hits = block_sum(hits);
  if (threadIdx.x != 0) return;
  const float mean = numbers->invalid ? NAN : static_cast<float>(sum / numbers->divisor);
  loss.step.loss[loss.index] = mean;
  loss.step.correct[loss.index] = hits;
  *out = mean;
}

}  // namespace graft::cuda
