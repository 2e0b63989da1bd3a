// Frozen blocks between trained layers: their results are needed again for the signs of their activations alone.
#pragma once
#include "net.h"

namespace graft::test {

constexpr int kFrozenBlocks = 8;

// conv (trained), then norm, activation and frozen blocks of conv, norm and activation, every other one with a residual; a trained head.
inline void frozen_chain(Net& net, const std::string& activation) {
  auto activated = [&](int i, int x) { return net.node(activation, text("r", i), {x}, activation == "leaky_relu" ? "slope=0.1" : ""); };
  int x = activated(0, net.norm("n0", net.conv("c0", net.input("x", {4, 6, 6, 3}), 7)));
  for (int i = 1; i < kFrozenBlocks; i++) {
    const int before = x;
    x = net.norm(text("n", i), net.conv(text("c", i), x, 7));
    if (i % 2 == 0) x = net.node("add", text("sum", i), {x, before});
    x = activated(i, x);
  }
  net.loss("loss", net.linear("head", net.node("global_pool", "pool", {x}), 3));
}

struct FrozenChain {
  std::vector<std::vector<float>> gradients;
  std::string described;
  size_t arena = 0;
};

inline FrozenChain run_frozen_chain(std::shared_ptr<Device> device, uint64_t seed, const std::string& activation, const std::string& more) {
  Net net(std::move(device), seed);
  frozen_chain(net, activation);
  Bench bench(net, "mode train\nbatch 4\noptimizer sgd\ntrain 0 c0.weight\ntrain 0 head.weight\n" + more);
  bench.run(GRAFT_FORWARD | GRAFT_GRADIENTS);
  return {{bench.read("gradient:c0.weight"), bench.read("gradient:head.weight")}, bench.plan->describe(), bench.plan->memory().arena};
}

// `open` makes a device of the column under test.
template <class Open>
void kept_signs(Harness& harness, Open open) {
  for (const char* activation : {"relu", "relu6", "leaky_relu"})
    for (bool narrow : {false, true}) {
      if (narrow && !open()->column->computes(DType::BF16)) continue;
      harness.test(text("plan/through frozen norms and ", activation, narrow ? " in bf16" : " in f32", " a bit an element gives the bits that results give"), [&] {
        const std::string precision = narrow ? "precision bf16\n" : "";
        const FrozenChain signs = run_frozen_chain(open(), harness.seed(), activation, precision);
        const FrozenChain results = run_frozen_chain(open(), harness.seed(), activation, precision + "signs 0\n");
        harness.expect(signs.gradients == results.gradients, "other gradients");
        for (int i = 0; i < kFrozenBlocks; i++) harness.expect(signs.described.find(text("signs:r", i)) != std::string::npos, "no signs of r", i, ": ", signs.described);
        harness.expect(results.described.find("signs:") == std::string::npos, "signs although the plan was to keep results");
        const size_t all = kFrozenBlocks * 4 * 6 * 6 * 7 * (narrow ? 2 : 4);
        harness.expect(4 * (results.arena - signs.arena) > 3 * all, "results of ", all, " bytes are gone; the arena had ", results.arena, " bytes and has ", signs.arena);
        const std::string kept = run_frozen_chain(open(), harness.seed(), activation, precision + "keep r2\n").described;
        harness.expect(kept.find("signs:r1\"") != std::string::npos && kept.find("signs:r2\"") == std::string::npos, "r2 is kept, and its signs are: ", kept);
        if (narrow) return;
        const FrozenChain apart = run_frozen_chain(open(), harness.seed(), activation, "fuse 0\n");
        for (size_t i = 0; i < apart.gradients.size(); i++) expect_near(harness, text("gradient ", i), apart.gradients[i], signs.gradients[i], 1e-4);
      });
    }
}

}  // namespace graft::test
