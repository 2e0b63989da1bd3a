// Instances of the product by wgmma: a along m and b along n, as the gradient of a linear layer's weight has them.
#include "matmul/wgmma_instances.cuh"

namespace graft::cuda {

WgmmaKernel wgmma_tn(int columns, DType result, Activation activation) {
  return plain<false, false>(columns, result, activation);
}

}  // namespace graft::cuda
