// The CUDA column: memory and kernels of one GPU.
#pragma once
#include <memory>

#include "core/column.h"

namespace graft {

// Throws UNAVAILABLE with the reason where the device cannot be used.
std::unique_ptr<Column> make_cuda_column(int device);

// The stream, a cudaStream_t, that the kernels of such a column are enqueued on: to record events between them.
void* compute_stream(const Column& column);

}  // namespace graft
