// Training on pictures that were written into the session once, by number, against training on the same windows written every step.
#pragma once
#include "net.h"

namespace graft::test {

constexpr int64_t kSide = 8, kCut = 6, kBatch = 4;

// Pictures [count, 8, 7, 3] as bytes, cut to 6 x 6, a convolution and a classifier. `chosen`: windows name their picture.
inline void pictures_net(Net& net, int64_t count, bool chosen) {
  const int pictures = net.input("pictures", {count, kSide, 7, 3}, DType::U8), windows = net.input("windows", {kBatch, chosen ? 4 : 3}, DType::I32);
  const int scale = net.parameter("scale", {3}, 0.001, 0.02), offset = net.parameter("offset", {3}, 0.1, -2);
  const int x = net.node("normalize_pictures", "pixels", {pictures, scale, offset, windows}, text("height=", kCut, ",width=", kCut));
  const int h = net.linear("head", net.node("global_pool", "pool", {net.node("relu", "r", {net.conv("c", x, 8)})}), 3);
  net.node("softmax_cross_entropy", "loss", {h, net.input("label", {kBatch}, DType::I32)});
  net.graph.output("logits", h);
}

inline void residents(Harness& harness, const std::shared_ptr<Device>& device) {
  constexpr int64_t kAll = 7, kBytes = kSide * 7 * 3;
  Net there(device, harness.seed()), written(device, harness.seed());
  pictures_net(there, kAll, true), pictures_net(written, kBatch, false);
  const std::string options = "mode train\nbatch 4\noptimizer sgd momentum=0.9\ntrain 0 c.weight\ntrain 0 head.weight\n";
  auto workspace = std::make_shared<Workspace>(device), other = std::make_shared<Workspace>(device);
  NumberedSession one(there.compile(options + "resident pictures\n"), workspace), two(written.compile(options), other);
  one.set("rate", 0, 0.1), two.set("rate", 0, 0.1);
  Random random(harness.seed(), "pictures");
  std::vector<uint8_t> all(kAll * kBytes);
  for (auto& b : all) b = static_cast<uint8_t>(random.below(256));
  one.write_part("pictures", 0, all.data(), 3 * kBytes);
  one.write_part("pictures", 3 * kBytes, all.data() + 3 * kBytes, 4 * kBytes);
  for (int step = 0; step < 4; step++) {
    std::vector<int32_t> chosen, windows, labels;
    std::vector<uint8_t> batch;
    for (int row = 0; row < kBatch; row++) {
      const int which = static_cast<int>(random.below(kAll));
      const int32_t window[] = {static_cast<int32_t>(random.below(5)) - 1, static_cast<int32_t>(random.below(4)) - 1, static_cast<int32_t>(random.below(2))};
      chosen.push_back(which);
      chosen.insert(chosen.end(), window, window + 3);
      windows.insert(windows.end(), window, window + 3);
      batch.insert(batch.end(), all.begin() + which * kBytes, all.begin() + (which + 1) * kBytes);
      labels.push_back(which % 3);
    }
    one.write("windows", chosen.data(), 4 * chosen.size());
    two.write("windows", windows.data(), 4 * windows.size());
    two.write("pictures", batch.data(), batch.size());
    for (NumberedSession* s : {&one, &two}) s->write("label", labels.data(), 4 * labels.size()), s->run(GRAFT_STEP);
    double seen[3], expected[3];
    one.results(seen, 3), two.results(expected, 3);
    harness.expect(seen[0] == expected[0] && std::isfinite(seen[0]), "step ", step, ": loss ", seen[0], ", of written pictures ", expected[0]);
    if (step == 1) workspace->reserve(2 * workspace->bytes());  // what is written every step is lost then, residents are not
  }
  harness.expect(there.read("c.weight") == written.read("c.weight"), "the weights differ");
}

}  // namespace graft::test
