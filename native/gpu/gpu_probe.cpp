// Prints what gpu-check.sh needs to know of a GPU: `capability name driver`, tab between them; or one line of why there is none, and fails.
#include <cuda_runtime_api.h>

#include <cstdio>
#include <cstdlib>

#include "cuda/probe.h"

int main(int argc, char** argv) {
  const int device = argc > 1 ? std::atoi(argv[1]) : 0;
  const graft::cuda::Driver driver = graft::cuda::probe(CUDART_VERSION);
  const std::string reason = graft::cuda::refusal(driver, device);
  if (!reason.empty()) {
    std::printf("%s\n", reason.c_str());
    return 1;
  }
  const graft::cuda::Gpu& gpu = driver.gpus[static_cast<size_t>(device)];
  std::printf("%d\t%s\t%s\n", gpu.capability, gpu.name.c_str(), graft::cuda::version_text(driver.version).c_str());
}
