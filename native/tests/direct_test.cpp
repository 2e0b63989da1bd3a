// Kernels on the caller's memory through the C interface: products against loops in double, the other families on the CPU column
// against the reference, all of them misused and by many threads at once.
#include <algorithm>
#include <thread>

#include "api/handles.h"
#include "direct_calls.h"

using namespace graft;
using namespace graft::test;

namespace {

void misuse(Harness& harness, graft_device* device) {
  std::vector<float> memory(64);
  const int64_t at = reinterpret_cast<int64_t>(memory.data()), starts[] = {0};
  auto refuses = [&](const std::string& part, int32_t status) {
    const std::string message = graft_last_error();
    harness.test("misuse: " + part, [&] {
      harness.expect(status == GRAFT_INVALID_ARGUMENT && message.find(part) != std::string::npos, "status ", status, ", expected a message that says: ", part,
                     ", got: ", message);
    });
  };
  auto matmul = [&](graft_device* d, int32_t flags, int32_t activation, int32_t type, int64_t c) {
    return graft_matmul(d, 0, flags, activation, 1, 1, 2, 2, 2, type, type, at, 4, 2, 4, at + 16, 4, 2, 4, c, 4, 2, 4, 0, 0, 0, 0);
  };
  refuses("device is null", matmul(nullptr, 0, 0, GRAFT_F32, at + 64));
  refuses("flags are 8", matmul(device, 8, 0, GRAFT_F32, at + 64));
  refuses("no activation has the code 6", matmul(device, 0, 6, GRAFT_F32, at + 64));
  refuses("type has the code 3", matmul(device, 0, 0, GRAFT_I32, at + 64));
  refuses("c: the address is null", matmul(device, 0, 0, GRAFT_F32, 0));
  refuses("c: address -4", matmul(device, 0, 0, GRAFT_F32, -4));
  refuses("c overlaps a", matmul(device, 0, 0, GRAFT_F32, at + 12));
  auto loss = [&](int32_t type, int64_t to) { return graft_softmax_cross_entropy(device, 0, GRAFT_F32, 2, 2, 0, -100, 1, 0, at, 4, type, at + 16, 4, 0, 0, 0, 0, to, 2); };
  refuses("results: the address is null", loss(GRAFT_F32, 0));
  refuses("results overlaps logits", loss(GRAFT_F32, at + 12));
  refuses("target_type has the code 1", loss(GRAFT_BF16, at + 32));
  auto fused = [&](int64_t bias, int64_t bytes, int64_t dx, int64_t dbias, int64_t results) {
    return graft_linear_cross_entropy(device, 0, GRAFT_F32, 1, 2, 2, 0, -100, 1, 0, bytes, 0, at, 2, at + 8, 4, bias, bias ? 2 : 0, GRAFT_I32, at + 24, 1, 0, 0, dx, dx ? 2 : 0, 0, 0,
                                      dbias, dbias ? 2 : 0, results, 2);
  };
  refuses("dbias is given, but there is no bias", fused(0, 0, 0, at + 40, at + 64));
  refuses("logits_bytes are -1; expected 0 to 2^40", fused(0, -1, 0, 0, at + 64));
  refuses("dx overlaps weight", fused(0, 0, at + 12, 0, at + 64));
  refuses("results overlaps dbias", fused(at + 32, 0, 0, at + 64, at + 64));
  auto step = [&](int32_t kind, int32_t ranges, double clip, int64_t norm) {
    return graft_optimizer_step(device, 0, kind, 0, 0, 0, 0, 0, 0.1, 0, 0, clip, 0, 1, 4, nullptr, ranges, at, 4, at + 16, 4, 0, 0, 0, 0, 0, 0, 0, 0, norm, norm ? 1 : 0, 0, 0, 0, 0);
  };
  refuses("no optimizer has the code 3", step(3, 0, 0, 0));
  refuses("ranges are null", step(GRAFT_SGD, 1, 0, 0));
  refuses("norm: that of the gradient is known only where it is clipped", step(GRAFT_SGD, 0, 0, at + 32));
  refuses("norm overlaps gradient", step(GRAFT_SGD, 0, 1, at + 28));
  refuses("stream is 8, but device cpu has no streams", graft_low_rank_merge(device, 8, GRAFT_F32, 2, 2, 1, 1, 1, 2, starts, at, 4, at + 16, 2, at + 32, 2));
  auto forward = [&](int32_t slices, const int64_t* from, int64_t adapters) {
    return graft_low_rank_forward(device, 0, GRAFT_F32, 1, 2, 2, 1, 1, slices, 2, from, adapters, 1, at, 2, at + 16, 4, 0, 0, at + 32, 2, at + 48, 2, 0, 0, 0, 0, at + 64, 2, at + 80, 1);
  };
  refuses("starts is null", forward(1, nullptr, 0));
  refuses("slices are 9", forward(9, starts, 0));
  refuses("adapters are -1", forward(1, starts, -1));
  refuses("adapter: the address is null", forward(1, starts, 1));
}

}  // namespace

int main(int argc, char** argv) {
  Harness harness(argc, argv);
  Machine reference{"reference"}, cpu{"cpu"};
  done(graft_device_open("reference", 1, 1, &reference.device));
  done(graft_device_open("cpu", 2, 2, &cpu.device));
  for (const ProductCase& p : product_cases()) {
    product(harness, reference, p);
    product(harness, cpu, p);
  }
  std::vector<Family> all = families(harness.seed());
  if (!cpu.device->device->column->computes(DType::BF16)) {  // then its calls in bf16 are refused
    harness.test("no bf16 on this machine", [&] { harness.expect_error("computes no bf16", [&] { merge(cpu, 1, GRAFT_BF16, 4, 4, 1, 2); }); });
    all.erase(std::remove_if(all.begin(), all.end(), [](const Family& f) { return f.name.find("bf16") != std::string::npos; }), all.end());
  }
  for (const Family& f : all)
    harness.test(f.name, [&] { harness.expect_close("result", f.run(reference), f.run(cpu), f.tolerance, f.rounded_scale > 0 ? f.rounded_scale : f.scale); });
  harness.test("many threads get the same bits", [&] {
    std::vector<Outcome> expected;
    for (const Family& f : all) expected.push_back(f.run(cpu));
    std::vector<std::thread> threads;
    std::vector<int> wrong(8);
    for (size_t t = 0; t < wrong.size(); t++)
      threads.emplace_back([&, t] {
        for (size_t i = 0; i < 2 * all.size(); i++) {
          const size_t f = (i + 3 * t) % all.size();
          wrong[t] += all[f].run(cpu) != expected[f];
        }
      });
    for (std::thread& t : threads) t.join();
    for (int n : wrong) harness.expect(n == 0, n, " results differ");
  });
  misuse(harness, cpu.device);
  graft_device_close(cpu.device);
  graft_device_close(reference.device);
  return harness.finish();
}
