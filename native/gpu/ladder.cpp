// The CUDA column on the ladder (tests/ladder.h) on a real GPU: the test program ops_cuda_test with the emulation left out.
//   --device N    the GPU that CUDA counts as N; beside what every test program takes (tests/harness.h)
#include "cuda/column.h"
#include "cuda/probe.h"
#include "device_plans.h"
#include "gpu/large_products.h"
#include "ladder.h"

#include <cuda_runtime_api.h>

using namespace graft;
using namespace graft::test;

namespace {

int option(int argc, char** argv, const std::string& name) {
  for (int i = 1; i + 1 < argc; i += 2)
    if (argv[i] == name) return std::atoi(argv[i + 1]);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const int number = option(argc, argv, "--device");
  const std::string refused = cuda::refusal(cuda::probe(CUDART_VERSION), number);
  if (!refused.empty()) {
    std::printf("no ladder without a GPU: %s\n", refused.c_str());
    return 1;
  }
  Harness harness(argc, argv);
  std::shared_ptr<Column> column = make_cuda_column(number);
  column->enter_lane(1);
  std::printf("%s\n", column->describe().c_str());
  Ladder ladder(harness, *column);
  ladder.operations();
  ladder.infinite_logits();
  ladder.products();
  ladder.services();
  for (auto [m, n, k] : {std::array<int64_t, 3>{4096, 4096, 4096}, {8192, 8192, 8192}, {25216, 2304, 768}, {25216, 768, 3072}, {4099, 1031, 517}, {96, 8192, 64}, {16, 16, 65536}})
    gpu::large_product(harness, *column, m, n, k, gpu::bf16_kinds());
  for (auto [m, n, k] : {std::array<int64_t, 3>{4096, 4096, 4096}, {4099, 1031, 517}, {16, 16, 65536}}) gpu::large_product(harness, *column, m, n, k, gpu::f32_kinds());
  device_plans(harness, [&] { return std::make_shared<Device>(make_cuda_column(number), 1, 1); });
  return harness.finish();
}
