// Instances of the product by wgmma: both factors along k, as a linear layer's forward pass has them.
#include "matmul/wgmma_instances.cuh"

namespace graft::cuda {

WgmmaKernel wgmma_nt(int columns, DType result, Activation activation) {
  if (result == DType::BF16) {
    if (activation == Activation::GeluExact) return by_columns<true, true, Bf16, Activation::GeluExact>(columns);
    if (activation == Activation::GeluTanh) return by_columns<true, true, Bf16, Activation::GeluTanh>(columns);
    if (activation == Activation::Silu) return by_columns<true, true, Bf16, Activation::Silu>(columns);
  }
  return plain<true, true>(columns, result, activation);
}

}  // namespace graft::cuda
