#include "cuda_library.h"

#include <dlfcn.h>
#include <unistd.h>

#include <climits>
#include <cstdlib>

#include "cuda/library.h"
#include "graft_build.h"
#include "json.h"

namespace graft::api {
namespace {

#ifdef GRAFT_HAS_CUDA
constexpr bool kBuilt = true;
#else
constexpr bool kBuilt = false;
#endif

// Where the code of this function was loaded from.
std::string own_folder() {
  Dl_info info;
  ensure(dladdr(reinterpret_cast<void*>(&own_folder), &info) && info.dli_fname, "the loader does not tell where libgraft.so lies");
  char path[PATH_MAX];
  const std::string file = realpath(info.dli_fname, path) ? path : info.dli_fname;
  return file.substr(0, file.find_last_of('/'));
}

// The library stays open as long as the process lives: columns are made of its code.
CudaEntry* entry(const std::string& folder) {
  const auto unavailable = [](const std::string& reason) { return Error(GRAFT_UNAVAILABLE, reason); };
  if (!kBuilt) throw unavailable("this build has no CUDA column: it was made without nvcc");
  const std::string path = folder + "/" + kCudaLibrary;
  if (access(path.c_str(), F_OK) != 0) throw unavailable(text(kCudaLibrary, " is not beside libgraft.so in ", folder));
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) throw unavailable(text(kCudaLibrary, " does not load: ", dlerror()));
  auto* found = reinterpret_cast<CudaEntry*>(dlsym(library, kCudaEntry));
  if (!found) throw unavailable(text(path, " has no function ", kCudaEntry, ": it is not of this build"));
  return found;
}

void ask(CudaCall& call, const std::string& folder) {
  const int32_t status = entry(folder)(GRAFT_BUILD, &call);
  if (status == kOtherBuild)
    throw Error(GRAFT_UNAVAILABLE, text(folder, "/", kCudaLibrary, " is of another build than libgraft.so, which is of ", GRAFT_BUILD,
                                        ": use the two of one build"));
  if (status != GRAFT_OK) throw Error(status, call.text);
}

}  // namespace

std::optional<int> cuda_device(const std::string& column) {
  if (column == "cuda") return 0;
  if (column.rfind("cuda:", 0) != 0) return {};
  const std::string digits = column.substr(5);
  if (digits.empty() || digits.size() > 4 || digits.find_first_not_of("0123456789") != std::string::npos) return {};
  return std::atoi(digits.c_str());
}

void check_cuda(int device) {
  CudaCall call;
  call.ask = CudaCall::Ask::Check;
  call.device = device;
  ask(call, own_folder());
}

std::unique_ptr<Column> open_cuda(int device) {
  CudaCall call;
  call.ask = CudaCall::Ask::Open;
  call.device = device;
  ask(call, own_folder());
  return std::move(call.column);
}

std::string describe_cuda() { return describe_cuda(own_folder()); }

std::string describe_cuda(const std::string& folder) {
  CudaCall call;
  try {
    ask(call, folder);
  } catch (const Error& e) {
    return Json().begin_object().field("reason", e.what()).key("gpus").begin_array().end_array().end_object().text();
  }
  return call.text;
}

}  // namespace graft::api
