#include "vendor/cudnn.h"

#include <dlfcn.h>

#include <map>

#include "vendor/libraries.h"

namespace graft::cuda {
namespace {

template <class Function>
void find(void* library, const std::string& path, const char* symbol, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, symbol));
  if (!function) throw Error(GRAFT_UNAVAILABLE, text("cuDNN in ", path, " has no function ", symbol));
}

}  // namespace

std::unique_ptr<Cudnn> open_cudnn() {
  const VendorLibrary found = find_cudnn();
  if (!found.reason.empty()) throw Error(GRAFT_UNAVAILABLE, found.reason);
  const OpenLibrary& library = found.library;
  auto dnn = std::make_unique<Cudnn>();
  dnn->path = library.path;
  dnn->version = found.version;
  const auto take = [&](const char* symbol, auto& function) { find(library.handle, library.path, symbol, function); };
  take("cudnnGetErrorString", dnn->error_string);
  take("cudnnCreate", dnn->create);
  take("cudnnSetStream", dnn->set_stream);
  take("cudnnBackendCreateDescriptor", dnn->create_descriptor);
  take("cudnnBackendDestroyDescriptor", dnn->destroy_descriptor);
  take("cudnnBackendSetAttribute", dnn->set);
  take("cudnnBackendGetAttribute", dnn->read);
  take("cudnnBackendFinalize", dnn->finalize);
  take("cudnnBackendExecute", dnn->execute);
  const cudnnStatus_t status = dnn->create(&dnn->handle);
  if (status != CUDNN_STATUS_SUCCESS) throw Error(GRAFT_UNAVAILABLE, text("cuDNN in ", library.path, " does not start: ", dnn->error_string(status)));
  return dnn;
}

const Cudnn* cudnn(const Device& device, std::string* reason) {
  struct Found {
    std::unique_ptr<Cudnn> library;
    std::string reason;
  };
  static std::mutex mutex;
  static auto& found = *new std::map<int, Found>;  // never destroyed: kernels may outlive static objects
  std::lock_guard<std::mutex> hold(mutex);
  auto [it, fresh] = found.try_emplace(device.number);
  if (fresh) {
    Current current(device.number);
    try {
      it->second.library = open_cudnn();
    } catch (const Error& e) {
      it->second.reason = e.what();
    }
  }
  if (reason) *reason = it->second.reason;
  return it->second.library.get();
}

}  // namespace graft::cuda
