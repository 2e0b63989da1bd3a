// Products by wgmma: what fits, how its work is cut, what a kernel gets.
#pragma once
#include "kernels.h"
#include "matmul/product.h"
#include "matmul/tensor_map.h"

namespace graft::cuda {

// How the work of a product is cut.
struct WgmmaTiling {
  int columns;  // of a tile, N
  int cluster;  // blocks that share a tile of b
  int parts;    // of k, none empty: products of their own in F32, which a second kernel (add_splits) adds up in their order
  int stages, boxes;
  double clocks;  // what it is estimated to take
};

// How a factor lies, as tiles.h has it.
struct WgmmaFactor {
  bool fits = false, along_k = false;
  int64_t line = 0;  // elements from one line of contiguous ones to the next
};
WgmmaFactor wgmma_factor(const ProductRequest::Matrix& matrix, bool left, int64_t extent, int64_t k, int64_t batch);
// Whether there is a kernel for the request, whatever the device.
bool wgmma_fits(const ProductRequest& r);
// The tilings that there are, the best first by a rule that knows the device's size alone.
std::vector<WgmmaTiling> wgmma_tilings(const ProductRequest& r, int multiprocessors, size_t most_shared);

struct WgmmaArguments {
  TensorMap a, b, a2, b2, c, before, saved;  // before: what is added to c (a residual, or c itself); saved: what the activation is applied to
  const float *bias, *factor;                // null where there is none
  float times;
  Grid grid;                                 // its layers: parts * batch
  uint32_t cluster, batch;
  int m, n, first_slices, slices, slices_per_part;  // slices: of 64 along k, those of a and b first
  int stages, boxes;
  bool shared_a, shared_b;                   // one matrix for the whole batch
  bool loads, saves, rectifies;
};

using WgmmaKernel = void (*)(WgmmaArguments);
// Instances by columns of a tile, type of the result and activation; null where there is none. _nt: both along k; _nn: b along n; _tn: a along m too.
WgmmaKernel wgmma_nt(int columns, DType result, Activation activation);
WgmmaKernel wgmma_nn(int columns, DType result, Activation activation);
WgmmaKernel wgmma_tn(int columns, DType result, Activation activation);

// The kernel of a request that fits, cut as told.
std::unique_ptr<Kernel> cut_wgmma_product(const Device& d, const ProductRequest& r, const WgmmaTiling& tiling);

}  // namespace graft::cuda
