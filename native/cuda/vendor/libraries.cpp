#include "vendor/libraries.h"

#include <dlfcn.h>

#include "error.h"

namespace graft::cuda {
namespace {

// "13.1.0" of 130100, "8.9.2" of 8902: cuDNN before 9 counts by thousands.
std::string version_text(size_t version) {
  const size_t major = version < 10000 ? 1000 : 10000;
  return text(version / major, ".", version % major / 100, ".", version % 100);
}

// `majors` are those of the version that `function` tells.
VendorLibrary found(const std::string& name, const std::string& title, const LibraryName& file, const char* function, std::vector<size_t> majors) {
  VendorLibrary v{name, title, open_library(file), "", ""};
  if (!v.library.handle) {
    v.reason = text("no ", title, ": ", v.library.reason);
    return v;
  }
  auto* ask = reinterpret_cast<size_t (*)()>(dlsym(v.library.handle, function));
  if (!ask) {
    v.reason = text(title, " in ", v.library.path, " has no function ", function);
    return v;
  }
  const size_t version = ask();
  std::string wanted;
  for (size_t major : majors) {
    if (version / 10000 == major) v.version = version_text(version);
    wanted += text(wanted.empty() ? "" : " or ", major);
  }
  if (v.version.empty()) v.reason = text(title, " in ", v.library.path, " is of version ", version_text(version), "; ", wanted, " is needed");
  return v;
}

}  // namespace

VendorLibrary find_cublaslt() {
  return found("cublaslt", "cuBLASLt", {"libcublasLt.so.", {13, 12}, {"nvidia/cu13/lib", "nvidia/cublas/lib"}}, "cublasLtGetVersion", {12, 13});
}

VendorLibrary find_cudnn() {  // others than 9 are opened to tell their version
  return found("cudnn", "cuDNN", {"libcudnn.so.", {9, 10, 8}, {"nvidia/cudnn/lib"}}, "cudnnGetVersion", {9});
}

std::vector<VendorLibrary> vendor_libraries() { return {find_cublaslt(), find_cudnn()}; }

void describe(Json& json, const VendorLibrary& v) {
  json.begin_object().field("name", v.name);
  if (!v.version.empty()) json.field("version", v.version);
  if (!v.library.path.empty()) json.field("path", v.library.path);
  if (!v.reason.empty()) json.field("reason", v.reason);
  json.end_object();
}

}  // namespace graft::cuda
