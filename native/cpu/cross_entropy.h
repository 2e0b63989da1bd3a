// Softmax cross-entropy over rows that come at once or in parts.
#pragma once
#include "kernels.h"

namespace graft::cpu {

class CrossEntropy {
 public:
  // The request's inputs `target` and `class_weight`; logits and their gradient are stored as `type`.
  CrossEntropy(const Request& r, DType type, int64_t rows, int64_t classes, size_t target, size_t class_weight);
  static bool takes(DType type, const Request& r, size_t target) {
    const DType given = r.inputs[target].dtype;
    return storable(type) && (given == DType::I32 || given == DType::F32);
  }
  size_t scratch_bytes() const;

  // In this order: what the mean divides by; every row, `gradient` may be the logits or null; the mean.
  void begin(const Args& a, void* scratch) const;
  void rows(const Args& a, void* scratch, int64_t first, int64_t count, const void* logits, void* gradient) const;
  void end(const Args& a, void* scratch) const;

 private:
  struct Memory;  // of a run
  Memory memory(void* scratch) const;
  double row_weight(const Args& a, int64_t row) const { return a.step->row_weight[row / rows_per_sample_]; }
  const float* class_weight(const Args& a) const { return weighted_ ? static_cast<const float*>(a.in[class_weight_]) : nullptr; }

  DType type_;
  int64_t rows_, classes_, rows_per_sample_, ignore_;
  size_t target_, class_weight_;
  bool soft_, weighted_;
  float smoothing_;
  int loss_index_;
};

}  // namespace graft::cpu
