// libgraft_cuda.so, opened at run time from beside libgraft.so. A library that is missing, of another build, or without a driver or
// GPU to run on is a status with the reason in one line; nothing here needs CUDA to be compiled or linked.
#pragma once
#include <memory>
#include <optional>
#include <string>

#include "column.h"

namespace graft::api {

// N of "cuda:N", 0 of "cuda"; nothing where the name is no GPU's.
std::optional<int> cuda_device(const std::string& column);

// Throws UNAVAILABLE where the device could not be opened, as far as that is known without taking memory on it.
void check_cuda(int device);
std::unique_ptr<Column> open_cuda(int device);

// JSON: reason (empty where there is a GPU to run on), and where the library answers runtime, driver, and gpus with name, capability,
// memory_mb and a reason of their own.
std::string describe_cuda();

// The same for the library in another folder, for tests: the reason why it does not open, else what it answers.
std::string describe_cuda(const std::string& folder);

}  // namespace graft::api
