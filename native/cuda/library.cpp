// The one function that libgraft_cuda.so exports.
#include "library.h"

#include <cuda_runtime_api.h>

#include <cstring>

#include "cuda/column.h"
#include "graft_build.h"
#include "json.h"
#include "probe.h"
#include "vendor/libraries.h"

namespace graft::cuda {
namespace {

std::string described() {
  const Driver driver = probe(CUDART_VERSION);
  Json json;
  json.begin_object().field("runtime", version_text(CUDART_VERSION));
  if (driver.version) json.field("driver", version_text(driver.version));
  json.field("reason", driver.problem).key("gpus").begin_array();
  for (size_t i = 0; i < driver.gpus.size(); i++) {
    const Gpu& gpu = driver.gpus[i];
    json.begin_object().field("name", gpu.name).field("capability", text(gpu.capability / 10, ".", gpu.capability % 10));
    json.field("memory_mb", static_cast<int64_t>(gpu.bytes >> 20)).field("reason", refusal(driver, static_cast<int>(i))).end_object();
  }
  json.end_array().key("libraries").begin_array();
  for (const VendorLibrary& library : vendor_libraries()) describe(json, library);
  json.end_array().key("uses").begin_object();
  json.field("products", "cuBLASLt where it is found, else own kernels (graft.matmul)");
  json.field("convolutions", "cuDNN where it is found, else own kernels (graft.matmul)").field("other", "own kernels");
  return json.end_object().end_object().text();
}

void answer(CudaCall& call) {
  if (call.ask == CudaCall::Ask::Describe) {
    call.text = described();
    return;
  }
  const Driver driver = probe(CUDART_VERSION);
  const std::string refused = refusal(driver, call.device);
  if (!refused.empty()) throw Error(GRAFT_UNAVAILABLE, refused);
  if (call.ask == CudaCall::Ask::Check) return;
  const Context held(driver, call.device);
  call.column = make_cuda_column(call.device);
}

}  // namespace
}  // namespace graft::cuda

extern "C" GRAFT_API int32_t graft_cuda_column(const char* build, graft::CudaCall* call) noexcept {
  if (std::strcmp(build, GRAFT_BUILD) != 0) return graft::kOtherBuild;
  try {
    graft::cuda::answer(*call);
    return GRAFT_OK;
  } catch (const graft::Error& e) {
    call->text = e.what();
    return e.status();
  } catch (const std::bad_alloc&) {
    call->text = "the system has no more memory to give";
    return GRAFT_OUT_OF_MEMORY;
  } catch (const std::exception& e) {
    call->text = e.what();
    return GRAFT_INTERNAL;
  } catch (...) {
    call->text = "an unknown failure of the CUDA column";
    return GRAFT_INTERNAL;
  }
}
