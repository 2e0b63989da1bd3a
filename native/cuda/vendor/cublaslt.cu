#include "vendor/cublaslt.h"

#include <dlfcn.h>

#include <map>
#include <mutex>

#include "vendor/libraries.h"

namespace graft::cuda {
namespace {

template <class Function>
void find(void* library, const std::string& path, const char* symbol, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, symbol));
  if (!function) throw Error(GRAFT_UNAVAILABLE, text("cuBLASLt in ", path, " has no function ", symbol));
}

}  // namespace

std::unique_ptr<CublasLt> open_cublaslt() {
  const VendorLibrary found = find_cublaslt();
  if (!found.reason.empty()) throw Error(GRAFT_UNAVAILABLE, found.reason);
  const OpenLibrary& library = found.library;
  auto lt = std::make_unique<CublasLt>();
  lt->path = library.path;
  lt->version = found.version;
  const auto take = [&](const char* symbol, auto& function) { find(library.handle, library.path, symbol, function); };
  take("cublasLtCreate", lt->create);
  take("cublasLtGetStatusString", lt->status_string);
  take("cublasLtMatmulDescCreate", lt->desc_create);
  take("cublasLtMatmulDescDestroy", lt->desc_destroy);
  take("cublasLtMatmulDescSetAttribute", lt->desc_set);
  take("cublasLtMatrixLayoutCreate", lt->layout_create);
  take("cublasLtMatrixLayoutDestroy", lt->layout_destroy);
  take("cublasLtMatrixLayoutSetAttribute", lt->layout_set);
  take("cublasLtMatmulPreferenceCreate", lt->preference_create);
  take("cublasLtMatmulPreferenceDestroy", lt->preference_destroy);
  take("cublasLtMatmulPreferenceSetAttribute", lt->preference_set);
  take("cublasLtMatmulAlgoGetHeuristic", lt->heuristic);
  take("cublasLtMatmul", lt->matmul);
  const cublasStatus_t status = lt->create(&lt->handle);
  if (status != CUBLAS_STATUS_SUCCESS) throw Error(GRAFT_UNAVAILABLE, text("cuBLASLt in ", library.path, " does not start: ", lt->status_string(status)));
  return lt;
}

const CublasLt* cublaslt(const Device& device, std::string* reason) {
  struct Found {
    std::unique_ptr<CublasLt> library;
    std::string reason;
  };
  static std::mutex mutex;
  static auto& found = *new std::map<int, Found>;  // never destroyed: kernels may outlive static objects
  std::lock_guard<std::mutex> hold(mutex);
  auto [it, fresh] = found.try_emplace(device.number);
  if (fresh) {
    Current current(device.number);
    try {
      it->second.library = open_cublaslt();
    } catch (const Error& e) {
      it->second.reason = e.what();
    }
  }
  if (reason) *reason = it->second.reason;
  return it->second.library.get();
}

}  // namespace graft::cuda
