// Which instance of the kernel serves which tile and type.
#pragma once
#include "matmul/wgmma_kernel.cuh"

namespace graft::cuda {

template <bool kAlongKA, bool kAlongKB, class T, Activation kActivation>
WgmmaKernel by_columns(int columns) {
  switch (columns) {
    case 128: return wgmma_product<kAlongKA, kAlongKB, 128, T, kActivation>;
    case 192: return wgmma_product<kAlongKA, kAlongKB, 192, T, kActivation>;
    case 256: return wgmma_product<kAlongKA, kAlongKB, 256, T, kActivation>;
  }
  return nullptr;
}

// Without an activation, or with ReLU, which the kernel is told.
template <bool kAlongKA, bool kAlongKB>
WgmmaKernel plain(int columns, DType result, Activation activation) {
  if (activation != Activation::None && activation != Activation::Relu) return nullptr;
  if (result == DType::BF16) return by_columns<kAlongKA, kAlongKB, Bf16, Activation::None>(columns);
  return by_columns<kAlongKA, kAlongKB, float, Activation::None>(columns);
}

}  // namespace graft::cuda
