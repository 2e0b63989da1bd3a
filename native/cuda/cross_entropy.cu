// softmax_cross_entropy: loss, hit and gradient of a row by one block, in one pass over the logits where a row fits into shared memory:
// each logit is read once and its gradient written once, in place if asked. Longer rows are read three times.
//   loss of a row = sum over k of share[k] (log_sum - x[k]), gradient[k] = factor (p[k] sum(share) - share[k])
// with share[k] = class weight[k] ((1 - s) target[k] + s / K) as in reference/losses.cpp.
#include "losses.cuh"

namespace graft::cuda {

enum { kLogits, kTarget, kClassWeight };

struct CrossEntropy {
  int64_t rows, classes, ignore;  // classes: below 2^31
  const int32_t* labels;  // null: soft targets
  const float *targets, *weight;
  float smoothing;
  // Whether a row's label counts; soft targets always do.
  __device__ bool counts(int64_t row) const { return !labels || (labels[row] != ignore && labels[row] >= 0 && labels[row] < classes); }
  __device__ float share(int64_t row, int64_t k) const {
    const float hard = labels ? (k == labels[row] ? 1.f : 0.f) : targets[row * classes + k];
    return (weight ? weight[k] : 1.f) * ((1 - smoothing) * hard + smoothing / static_cast<float>(classes));
  }
};

struct ClassShare {
  CrossEntropy ce;
  __device__ double operator()(int64_t row, int& invalid) const {
    if (ce.counts(row)) return ce.labels && ce.weight ? ce.weight[ce.labels[row]] : 1;
    if (ce.labels[row] != ce.ignore) invalid = 1;
    return 0;
  }
};

// The largest value and the first place where it stands.
struct Best {
  float value;
  int at;
  __device__ void join(float v, int i) {
    if (v > value || (v == value && i < at)) value = v, at = i;
  }
};

__device__ inline Best block_best(Best b) {
  GRAFT_SHARED(float, values, 32);
  GRAFT_SHARED(int, places, 32);
  const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
  for (int by = 16; by > 0; by /= 2) b.join(__shfl_xor_sync(kAllLanes, b.value, by), __shfl_xor_sync(kAllLanes, b.at, by));
  __syncthreads();
  if (lane == 0) values[warp] = b.value, places[warp] = b.at;
  __syncthreads();
  for (unsigned w = 0; w < warps; w++) b.join(values[w], places[w]);
  return b;
}

// kHeld: the row lies in dynamic shared memory, `classes` F32 long.
template <class T, bool kHeld>
__global__ void __launch_bounds__(512) cross_entropy(const __grid_constant__ CrossEntropy ce, const __grid_constant__ LossStep loss, const T* logits, T* gradient, const LossNumbers* numbers, double* sums, float* correct) {
  GRAFT_SHARED_DYNAMIC(float, held);
  const int64_t row = blockIdx.x, start = row * ce.classes;
  const float weight = loss.row_weight(row);
  if (weight == 0 || !ce.counts(row)) {
    for (int64_t k = threadIdx.x; gradient && k < ce.classes; k += blockDim.x) gradient[start + k] = stored<T>(0);
    if (threadIdx.x == 0) sums[row] = 0, correct[row] = 0;
    return;
  }
  const int classes = static_cast<int>(ce.classes);
  Best best{-INFINITY, classes}, target{-INFINITY, classes};
  for (int k = static_cast<int>(threadIdx.x); k < classes; k += blockDim.x) {
    const float x = float_of(logits[start + k]);
    if (kHeld) held[k] = x;
    best.join(x, k);
    if (!ce.labels) target.join(ce.targets[start + k], k);
  }
  best = block_best(best);  // a barrier: the row is held
  if (!ce.labels) target = block_best(target);
  float exponentials = 0, shares = 0, crossed = 0;  // crossed: sum of share * (x - max)
  for (int k = static_cast<int>(threadIdx.x); k < classes; k += blockDim.x) {
    const float x = (kHeld ? held[k] : float_of(logits[start + k])) - best.value, share = ce.share(row, k), e = expf(x);
    exponentials += e;
    shares += share;
    if (share != 0) crossed += share * x;
    if (kHeld) held[k] = e;
  }
  exponentials = block_sum(exponentials);
  shares = block_sum(shares);
  crossed = block_sum(crossed);
  if (threadIdx.x == 0) {
    sums[row] = static_cast<double>(weight) * (static_cast<double>(shares) * log(static_cast<double>(exponentials)) - crossed);
    correct[row] = best.at == (ce.labels ? ce.labels[row] : target.at) ? weight : 0;
  }
  if (!gradient) return;
  const float factor = static_cast<float>(static_cast<double>(loss.step.loss_weight[loss.index]) * weight / numbers->divisor);
  const float scale = shares / exponentials;
  for (int k = static_cast<int>(threadIdx.x); k < classes; k += blockDim.x) {
    const float e = kHeld ? held[k] : expf(float_of(logits[start + k]) - best.value);
    gradient[start + k] = stored<T>(factor * (e * scale - ce.share(row, k)));
  }
}

namespace {

template <class T>
std::unique_ptr<Kernel> typed(const Device& d, const Request& r) {
  CrossEntropy ce{};
  ce.classes = r.inputs[kLogits].shape[-1];
  ce.rows = r.inputs[kLogits].count() / ce.classes;
  ce.ignore = r.call().integer("ignore_index");
  ce.smoothing = static_cast<float>(r.call().number("label_smoothing"));
  const bool soft = r.inputs[kTarget].dtype != DType::I32, weighted = r.call().has(kClassWeight), gradient = r.pass == Pass::Loss && wants(r, kLogits);
  const int64_t rows_per_sample = ce.rows / r.batch;
  const int index = r.loss_index, threads = ce.classes <= 128 ? 32 : ce.classes <= 1024 ? 128 : ce.classes <= 8192 ? 256 : 512;
  const size_t row_bytes = 4 * static_cast<size_t>(ce.classes), reserved = 4096;  // the block's own sums
  const bool held = row_bytes + reserved <= d.most_shared;
  if (held && row_bytes + reserved > (48 << 10)) {
    Current current(d.number);
    check(cudaFuncSetAttribute(cross_entropy<T, true>, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(d.most_shared - reserved)),
          "asking for more shared memory");
  }
  const size_t scratch = aligned(sizeof(LossNumbers)) + aligned(8 * static_cast<size_t>(ce.rows)) + aligned(4 * static_cast<size_t>(ce.rows));
  return own(d, "softmax_cross_entropy", scratch, [=, &d](const Args& a) {
    Cut cut(a.scratch);
    LossNumbers* numbers = cut.take<LossNumbers>(1);
    double* sums = cut.take<double>(ce.rows);
    float* correct = cut.take<float>(ce.rows);
    CrossEntropy c = ce;
    c.labels = soft ? nullptr : in<int32_t>(a, kTarget);
    c.targets = soft ? in<float>(a, kTarget) : nullptr;
    c.weight = weighted ? in<float>(a, kClassWeight) : nullptr;
    const LossStep loss{*a.step, index, rows_per_sample};
    launch(loss_divisor<ClassShare>, {1, kThreads, 0, d.stream}, loss, c.rows, 1.0, ClassShare{c}, numbers);
    launch(held ? cross_entropy<T, true> : cross_entropy<T, false>, {c.rows, threads, held ? row_bytes : 0, d.stream}, c, loss, in<T>(a, kLogits),
           gradient ? static_cast<T*>(a.din[kLogits]) : nullptr, static_cast<const LossNumbers*>(numbers), sums, correct);
    launch(loss_finish<float>, {1, kThreads, 0, d.stream}, loss, c.rows, static_cast<const double*>(sums), static_cast<const float*>(correct),
           static_cast<const LossNumbers*>(numbers), static_cast<float*>(a.out[0]));
  });
}

}  // namespace

std::unique_ptr<Kernel> make_cross_entropy(const Device& d, const Request& r) {
  const DType logits = r.inputs[kLogits].dtype, target = r.inputs[kTarget].dtype;
  if (!storable(logits) || r.outputs[0].dtype != DType::F32 || mode_of(r, kLogits) == GradMode::Accumulate) return nullptr;
  if (target != DType::I32 && target != DType::F32) return nullptr;
  return logits == DType::BF16 ? typed<Bf16>(d, r) : typed<float>(d, r);
}

}  // namespace graft::cuda
