// Instances of the product by wgmma: a along k and b along n, as the gradient of a linear layer's input has them.
#include "matmul/wgmma_instances.cuh"

namespace graft::cuda {

WgmmaKernel wgmma_nn(int columns, DType result, Activation activation) {
  return plain<true, false>(columns, result, activation);
}

}  // namespace graft::cuda
