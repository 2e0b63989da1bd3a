// The CUDA column: memory and kernels of one GPU.
#pragma once
#include <memory>

#include "core/column.h"

namespace graft {

// Throws UNAVAILABLE with the reason where the device cannot be used.
std::unique_ptr<Column> make_cuda_column(int device);

}  // namespace graft
