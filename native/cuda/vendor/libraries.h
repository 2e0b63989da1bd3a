// NVIDIA's libraries as this process has them: version and path, or why there is none. Nothing is taken on a GPU for it.
#pragma once
#include <string>
#include <vector>

#include "json.h"
#include "vendor/open_library.h"

namespace graft::cuda {

struct VendorLibrary {
  std::string name;     // "cublaslt"
  std::string title;    // "cuBLASLt"
  OpenLibrary library;
  std::string version;  // "13.1.0"; empty where it cannot be used
  std::string reason;   // one line; empty: it can be used
};

// cuBLASLt 12 or 13, any release of either.
VendorLibrary find_cublaslt();
// cuDNN 9.
VendorLibrary find_cudnn();

// All that this column uses, sought now where they have not been before.
std::vector<VendorLibrary> vendor_libraries();

// {"name":..,"version":..,"path":..} or {"name":..,"reason":..}, perhaps with a path.
void describe(Json& json, const VendorLibrary& library);

}  // namespace graft::cuda
