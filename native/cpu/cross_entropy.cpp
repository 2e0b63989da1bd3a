// softmax_cross_entropy.
#include "cross_entropy.h"

#include <limits>

namespace graft::cpu {

struct CrossEntropy::Memory {
  struct Numbers {
    double divisor;
    bool invalid;
  };
  Numbers* numbers;
  double* loss;
  float *factor, *correct;
  uint8_t* counts;
};

CrossEntropy::CrossEntropy(const Request& r, DType type, int64_t rows, int64_t classes, size_t target, size_t class_weight)
    : type_(type), rows_(rows), classes_(classes), rows_per_sample_(rows / r.batch), ignore_(r.call().integer("ignore_index")), target_(target),
      class_weight_(class_weight), soft_(r.inputs[target].dtype != DType::I32), weighted_(r.call().has(class_weight)),
      smoothing_(static_cast<float>(r.call().number("label_smoothing"))), loss_index_(r.loss_index) {}

size_t CrossEntropy::scratch_bytes() const {
  const size_t n = static_cast<size_t>(rows_);
  return aligned(sizeof(Memory::Numbers)) + aligned(8 * n) + 2 * aligned(4 * n) + aligned(n);
}

CrossEntropy::Memory CrossEntropy::memory(void* scratch) const {
  Cut cut(scratch);
  Memory m;
  m.numbers = cut.take<Memory::Numbers>(1);
  m.loss = cut.take<double>(rows_);
  m.factor = cut.take<float>(rows_);
  m.correct = cut.take<float>(rows_);
  m.counts = cut.take<uint8_t>(rows_);
  return m;
}

void CrossEntropy::begin(const Args& a, void* scratch) const {
  const Memory m = memory(scratch);
  const int32_t* labels = soft_ ? nullptr : static_cast<const int32_t*>(a.in[target_]);
  const float* weight = class_weight(a);
  double divisor = 0;
  bool invalid = false;
  for (int64_t r = 0; r < rows_; r++) {
    const double w = row_weight(a, r);
    const bool inside = soft_ || (labels[r] >= 0 && labels[r] < classes_), ignored = !soft_ && labels[r] == ignore_;
    m.counts[r] = w != 0 && inside && !ignored;
    if (m.counts[r]) divisor += w * (!soft_ && weight ? weight[labels[r]] : 1);
    else if (w != 0 && !ignored) invalid = true;
  }
  if (a.step->header->normalizer > 0) divisor = a.step->header->normalizer;
  for (int64_t r = 0; r < rows_; r++) m.factor[r] = static_cast<float>(static_cast<double>(a.step->loss_weight[loss_index_]) * row_weight(a, r) / divisor);
  *m.numbers = {divisor, invalid};
}

void CrossEntropy::rows(const Args& a, void* scratch, int64_t first, int64_t count, const void* logits, void* gradient) const {
  const Memory m = memory(scratch);
  LossCall call{};
  call.type = store_of(type_);
  call.rows = count;
  call.columns = classes_;
  call.logits = logits;
  call.gradient = gradient;
  call.labels = soft_ ? nullptr : static_cast<const int32_t*>(a.in[target_]) + first;
  call.targets = soft_ ? static_cast<const float*>(a.in[target_]) + first * classes_ : nullptr;
  call.class_weight = class_weight(a);
  call.counts = m.counts + first;
  call.row_factor = m.factor + first;
  call.smoothing = smoothing_;
  call.loss = m.loss + first;
  call.correct = m.correct + first;
  simd().cross_entropy(call);
}

void CrossEntropy::end(const Args& a, void* scratch) const {
  const Memory m = memory(scratch);
  double sum = 0, hits = 0;
  for (int64_t r = 0; r < rows_; r++) {
    if (!m.counts[r]) continue;
    sum += row_weight(a, r) * m.loss[r];
    hits += row_weight(a, r) * m.correct[r];
  }
  const float mean = m.numbers->invalid ? std::numeric_limits<float>::quiet_NaN() : static_cast<float>(sum / m.numbers->divisor);
  a.step->loss[loss_index_] = mean;
  a.step->correct[loss_index_] = static_cast<float>(hits);
  *static_cast<float*>(a.out[0]) = mean;
}

std::unique_ptr<Kernel> make_cross_entropy(const Request& r) {
  enum { Logits, Target, ClassWeight };
  const DType type = r.inputs[Logits].dtype;
  if (!CrossEntropy::takes(type, r, Target) || mode_of(r, Logits) == GradMode::Accumulate) return nullptr;
  const int64_t classes = r.inputs[Logits].shape[-1], rows = r.inputs[Logits].count() / classes;
  const CrossEntropy ce(r, type, rows, classes, Target, ClassWeight);
  const bool gradient = r.pass == Pass::Loss && wants(r, Logits);
  return own("softmax_cross_entropy", ce.scratch_bytes(), [=](const Args& a) {
    ce.begin(a, a.scratch);
    ce.rows(a, a.scratch, 0, rows, a.in[Logits], gradient ? a.din[Logits] : nullptr);
    ce.end(a, a.scratch);
  });
}

}  // namespace graft::cpu
