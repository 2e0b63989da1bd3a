#pragma once
#include "dispatch.h"
#include "onednn.h"

namespace graft::cpu {

// Gathers the gradient of the source: dx[i, j, c] = sum over the windows that hold (i, j) of dout[p, q, c] * w[r, s, c].
class DepthwiseData {
 public:
  explicit DepthwiseData(const Request& r);
  static bool serves(const Request& r);
  const Desc& layout() const { return layout_; }  // of the weight
  void run(const void* dout, const void* weight, void* dx) const;

 private:
  Window window_{};
  Desc layout_;
};

}  // namespace graft::cpu
