// Training steps of whole plans on a device against the reference: what a step is told from outside (rate, decay, seed, rows that
// count, clip) changes between steps, and plans of two batches take turns in one workspace, so that a list of kernels that is
// recorded once and replayed is caught where it keeps a number of its first run.
#pragma once
#include "net.h"

namespace graft::test {

// `fused`: the head and its loss are one node, for two rows at a time.
inline void device_net(Net& net, int64_t batch, bool fused) {
  int x = net.node("relu", "r", {net.norm("n", net.conv("c", net.input("x", {batch, 6, 6, 3}), 8))});
  int h = net.node("global_pool", "pool", {x});
  h = net.node("layer_norm", "ln", {h, net.parameter("ln.weight", {8}, 0.2, 1), net.parameter("ln.bias", {8}, 0.2)});
  h = net.node("dropout", "drop", {net.linear("hidden", h, 24)}, "rate=0.25");
  h = net.node("gelu", "act", {h});
  if (fused) {
    const int weight = net.parameter("head.weight", {3, 24}, 0.2), bias = net.parameter("head.bias", {3});
    net.node("linear_cross_entropy", "loss", {h, weight, bias, net.input("label", {batch}, DType::I32)}, "logits_bytes=24");
    return;
  }
  h = net.linear("head", h, 3);
  net.node("softmax_cross_entropy", "loss", {h, net.input("label", {batch}, DType::I32)});
  net.graph.output("logits", h);
}

inline std::string device_options(int64_t batch, bool narrow) {
  std::string lines = text("mode train\nbatch ", batch, "\noptimizer adamw clip=1\n", narrow ? "precision bf16\n" : "");
  for (const char* name : {"c.weight", "n.weight", "n.bias", "ln.weight", "hidden.weight", "hidden.bias", "head.weight", "head.bias"})
    lines += text("train 0 ", name, "\n");
  return lines;
}

// What eight steps leave behind: losses and logits of each step, then the trained parameters.
inline std::vector<float> device_steps(std::shared_ptr<Device> device, uint64_t seed, bool narrow, bool fused = false) {
  constexpr int64_t kLarge = 9, kSmall = 4;
  Net large(device, seed), small(device, seed);
  device_net(large, kLarge, fused);
  small.params = large.params;
  small.inputs = {{"x", {DType::F32, {kSmall, 6, 6, 3}}}, {"label", {DType::I32, {kSmall}}}};
  Net shape(device, seed);  // the same graph for the other batch, over the first one's parameters
  device_net(shape, kSmall, fused);
  small.graph = std::move(shape.graph);
  auto workspace = std::make_shared<Workspace>(device);
  Bench many(large, device_options(kLarge, narrow), workspace);
  Bench few(small, device_options(kSmall, narrow), workspace);
  std::vector<float> seen;
  for (int step = 0; step < 8; step++) {
    Bench& b = step % 3 == 2 ? few : many;
    const int batch = &b == &few ? kSmall : kLarge, valid = batch - step % 2;
    std::vector<int64_t> ids(batch);
    for (int i = 0; i < batch; i++) ids[static_cast<size_t>(i)] = 100 * step + i;
    b.feed();
    b.session.rows(valid, nullptr, ids.data());
    b.session.set("rate", 0, 0.01 / (1 + step));
    b.session.set("decay", 0, 0.1 * (step % 2));
    b.session.set("seed", 0, 7 + step / 2);
    b.session.set("visit", 0, step);
    b.session.set("clip", 0, step < 4 ? 0.5 : 100);
    b.run(GRAFT_STEP);
    seen.push_back(static_cast<float>(b.loss()));
    if (fused) continue;
    std::vector<float> logits = b.read("logits");
    seen.insert(seen.end(), logits.begin(), logits.begin() + 3 * valid);  // a padded row's are nobody's
  }
  for (const char* name : {"c.weight", "n.weight", "hidden.weight", "head.weight", "head.bias"}) {
    const std::vector<float> values = large.read(name);
    seen.insert(seen.end(), values.begin(), values.end());
  }
  return seen;
}

// `open` makes a device of the column under test.
template <class Open>
void device_plans(Harness& harness, Open open) {
  harness.test("plan/eight steps whose rate, seed, rows and batch change agree with the reference", [&] {
    const std::vector<float> expected = device_steps(reference_device(), harness.seed(), false), actual = device_steps(open(), harness.seed(), false);
    // Adam divides by the root of a mean square: where a gradient is nearly nothing its last digits decide, as far as a rate reaches.
    expect_near(harness, "losses, logits and parameters", expected, actual, 2e-3);
  });
  harness.test("plan/eight steps with head and loss in one agree with the reference and give the same bits twice", [&] {
    const std::vector<float> expected = device_steps(reference_device(), harness.seed(), false, true), actual = device_steps(open(), harness.seed(), false, true);
    expect_near(harness, "losses and parameters", expected, actual, 2e-3);
    harness.expect(actual == device_steps(open(), harness.seed(), false, true), "the second training gave other bits");
  });
  for (bool narrow : {false, true})
    harness.test(text("plan/eight steps give the same bits twice, ", narrow ? "bf16" : "f32"), [&] {
      const std::vector<float> first = device_steps(open(), harness.seed(), narrow), second = device_steps(open(), harness.seed(), narrow);
      for (float v : first) harness.expect(std::isfinite(v), "a number is ", v);
      harness.expect(first == second, "the second training gave other bits");
    });
}

}  // namespace graft::test
