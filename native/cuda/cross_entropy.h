// Softmax cross-entropy over rows that come at once or in parts.
#pragma once
#include "kernels.h"

namespace graft::cuda {

struct CrossEntropyShape {
  // The request's inputs `target` and `class_weight`.
  CrossEntropyShape(const Request& r, int64_t rows, int64_t classes, size_t target, size_t class_weight);
  int64_t rows, classes, batch, ignore;
  double smoothing;
  bool soft, weighted;
  int index;  // of the loss
  size_t scratch_bytes() const;
};

// Addresses of a run, all on the device; step is the host's table of addresses there.
struct CrossEntropyRun {
  const void *target, *class_weight;
  void *out, *scratch;
  const StepBlock* step;
};

// To be called in this order; each only enqueues.
class CrossEntropyRows {
 public:
  virtual ~CrossEntropyRows() = default;
  virtual void begin(const CrossEntropyRun& run) const = 0;  // what the mean divides by
  // Every row once, whatever the parts. `gradient` may be the logits or null.
  virtual void rows(const CrossEntropyRun& run, int64_t first, int64_t count, const void* logits, void* gradient) const = 0;
  virtual void end(const CrossEntropyRun& run) const = 0;  // the mean, and the hits
};

// Logits and their gradient stored as `type`; null where there is no kernel for these types.
std::shared_ptr<const CrossEntropyRows> make_cross_entropy_rows(const Device& d, const CrossEntropyShape& s, DType type, DType target);

}  // namespace graft::cuda
