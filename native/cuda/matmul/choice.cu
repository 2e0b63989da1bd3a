// The one place where a product gets its kernel.
#include "matmul/product.h"

namespace graft::cuda {

std::unique_ptr<Kernel> make_product(const Device& d, const ProductRequest& r) {
  auto kernel = make_mma_product(d, r);
  return kernel ? std::move(kernel) : make_simt_product(d, r);
}

}  // namespace graft::cuda
