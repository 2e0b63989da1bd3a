// The CUDA column on the ladder (ladder.h): its kernels, compiled for the CPU, run thread by thread under cuda/emulated. What this
// shows is their arithmetic and indexing; it says nothing of a device.
#include <algorithm>
#include <cstdlib>

#include "cuda/column.h"
#include "cuda/emulated/threads.h"
#include "device_plans.h"
#include "kept_signs.h"
#include "gpu/large_products.h"
#include "ladder.h"

using namespace graft;
using namespace graft::test;

namespace {

// Operations that have no kernel here yet.
const std::set<std::string> kMissing = {};

void missing_operations(Harness& harness, Column& column) {
  for (const OpTest& t : all_op_tests()) {
    if (!kMissing.count(t.op)) continue;
    harness.test(t.op + " is refused by name", [&] {
      const OpDef& op = *find_op(t.op);
      harness.expect_error("the CUDA column has no kernel for " + t.op, [&] { column.prepare(make_request(op, t.cases[0], DType::F32, Pass::Forward, {})); });
    });
  }
  std::string names;
  for (const std::string& op : kMissing) names += " " + op;
  if (!names.empty()) std::printf("operations without a CUDA kernel:%s\n", names.c_str());
}

void memory(Harness& harness, Column& column) {
  harness.test("more memory than the device has is refused with what is free", [&] {
    harness.expect_error("bytes; ", [&] { column.allocate(size_t{1} << 40); });
  });
  harness.test("copies come back as they went", [&] {
    const std::vector<double> values{1, -2.5, 3e-9};
    test::Buffer a(column, {DType::F32, {3}}, values), b(column, {DType::F32, {3}});
    column.copy(b.address(), a.address(), 12);
    harness.expect_close("copy", a.read(), b.read(), 0, 1);
  });
}

}  // namespace

int main(int argc, char** argv) {
  Harness harness(argc, argv);
  setenv("GRAFT_MATMUL", "own", 1);  // all of this library's kernels, whether a device has checked them or not
  emulated::set_fibre_seed(harness.seed());
  auto column = make_cuda_column(0);
  column->enter_lane(1);
  Ladder ladder(harness, *column);
  ladder.operations(kMissing);
  ladder.infinite_logits();
  ladder.cross_entropy_rows({DType::F32, DType::BF16}, true);
  ladder.products();
  ladder.services();
  memory(harness, *column);
  missing_operations(harness, *column);
  for (const auto& kinds : {gpu::bf16_kinds(), gpu::f32_kinds()}) gpu::large_product(harness, *column, 131, 150, 70, kinds);
  device_plans(harness, [] { return std::make_shared<Device>(make_cuda_column(0), 1, 1); });
  kept_signs(harness, [] { return std::make_shared<Device>(make_cuda_column(0), 1, 1); });
  std::printf("CUDA kernels exercised under emulation: %zu (%lld launches, fibre seed %llu)\n", emulated::kernels_launched(),
              static_cast<long long>(emulated::launches()), static_cast<unsigned long long>(harness.seed()));
  return harness.finish();
}
