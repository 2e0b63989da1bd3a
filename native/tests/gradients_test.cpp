// The gradients of random small networks: with fusing and folding on and off, on the reference and on the CPU, and against
// finite differences.
#include "kept_signs.h"

using namespace graft;
using namespace graft::test;

namespace {

// A chain of random operations on [4, h, w, c] with branches back to earlier values of the same shape.
class RandomNet {
 public:
  RandomNet(std::shared_ptr<Device> device, uint64_t seed, bool smooth) : net(std::move(device), seed), random_(seed, "network"), smooth_(smooth) {
    values_.push_back(net.input("x", {4, 6, 6, 3}));
    for (int64_t left = 4 + random_.below(8); left > 0; left--) grow();
    int flat = net.node("reshape", "flat", {values_.back()}, "rank=2,d0=4,d1=-1");
    int logits = net.linear("head", flat, 3);
    net.loss("loss", logits);
    if (random_.below(2)) net.node("softmax_cross_entropy", "class_loss", {logits, net.input("label", {4}, DType::I32)});
    for (const Value& v : net.graph.values())
      if (v.kind == Value::Kind::Parameter && !net.params->is_buffer(net.params->id(v.name)) && (v.name[0] == 'h' || random_.below(3))) trained.push_back(v.name);
  }

  std::string options() const {
    std::string lines = "mode train\nbatch 4\noptimizer sgd\n";
    for (const auto& name : trained) lines += "train 0 " + name + "\n";
    return lines;
  }

  Net net;
  std::vector<std::string> trained;

 private:
  int earlier(int x) {  // another value of the same shape, or x itself
    std::vector<int> same;
    for (int v : values_)
      if (net.graph.value(v).type.shape == net.graph.value(x).type.shape) same.push_back(v);
    return same[random_.below(static_cast<int64_t>(same.size()))];
  }
  void grow() {
    const int x = values_.back();
    const Shape s = net.graph.value(x).type.shape;
    const std::string name = text("n", values_.size());
    const char* unary[] = {smooth_ ? "silu" : "relu", smooth_ ? "gelu" : "leaky_relu", "sigmoid"};
    int y = x;
    switch (random_.below(10)) {
      case 0: y = net.conv(name, x, s[3], 3, random_.below(2)); break;
      case 1: y = net.norm(name + "n", net.conv(name, x, s[3])); break;
      case 2: y = net.norm(name, x); break;
      case 3: case 4: y = net.node(unary[random_.below(3)], name, {x}); break;
      case 5: y = net.node("add", name, {x, earlier(x)}); break;
      case 6: y = net.node("multiply", name, {x, net.node("sigmoid", name + "s", {earlier(x)})}); break;
      case 7: y = net.linear(name, x, s[3]); break;
      case 8: y = s[3] <= 6 ? net.node("concat", name, {x, earlier(x)}, "axis=3") : net.conv(name, x, 3, 1); break;
      case 9:
        y = s[1] >= 4 ? net.node(smooth_ ? "avg_pool" : "max_pool", name, {x}, "kernel_h=2,kernel_w=2,stride_h=2,stride_w=2")
                      : net.node("reshape", name + "b", {net.node("reshape", name, {x}, text("rank=2,d0=", s[0], ",d1=-1"))},
                                 text("rank=4,d0=", s[0], ",d1=", s[1], ",d2=", s[2], ",d3=", s[3]));
        break;
    }
    values_.push_back(y);
  }

  Random random_;
  bool smooth_;
  std::vector<int> values_;
};

std::vector<std::vector<float>> gradients(RandomNet& r, const std::string& more, double* loss = nullptr) {
  Bench bench(r.net, r.options() + more);
  bench.run(GRAFT_FORWARD | GRAFT_GRADIENTS);
  std::vector<std::vector<float>> all;
  for (const auto& name : r.trained) all.push_back(bench.read("gradient:" + name));
  if (loss) *loss = bench.loss();
  return all;
}

void expect_same(Harness& harness, const RandomNet& r, const std::string& what, const std::vector<std::vector<float>>& expected,
                 const std::vector<std::vector<float>>& actual, double tolerance) {
  for (size_t i = 0; i < expected.size(); i++) expect_near(harness, what + ": " + r.trained[i], expected[i], actual[i], tolerance);
}

// The loss along the gradient, in both directions from where the weights are.
void expect_slope(Harness& harness, RandomNet& r) {
  Bench bench(r.net, r.options());
  bench.run(GRAFT_FORWARD | GRAFT_GRADIENTS);
  std::vector<std::vector<float>> g, w;
  double squares = 0;
  for (const auto& name : r.trained) {
    g.push_back(bench.read("gradient:" + name));
    w.push_back(r.net.read(name));
    for (float v : g.back()) squares += static_cast<double>(v) * v;
  }
  const double norm = std::sqrt(squares), step = 2e-3;
  auto loss_at = [&](double distance) {
    for (size_t i = 0; i < w.size(); i++) {
      std::vector<float> moved = w[i];
      for (size_t k = 0; k < moved.size(); k++) moved[k] = static_cast<float>(moved[k] + distance / norm * g[i][k]);
      r.net.write(r.trained[i], moved);
    }
    bench.run(GRAFT_FORWARD);
    double sum = 0;
    for (int l = 0; l < bench.plan->sizes().losses; l++) sum += bench.loss(l);
    return sum;
  };
  double slope = (loss_at(step) - loss_at(-step)) / (2 * step);
  // Losses near 1 are F32, 6e-8 apart: over a way of 4e-3 that is 2e-5; curvature of third order adds step^2.
  harness.expect(std::fabs(slope - norm) <= 2e-3 * norm + 1e-3, "the loss rises by ", slope, " per unit, the gradient says ", norm);
}

// conv, norm over the batch, ReLU, max pool: the pool keeps positions, so nobody but the norm's backward would read the ReLU again.
void expect_recomputed(Harness& harness) {
  auto gradients_of = [&](std::shared_ptr<Device> device, const std::string& more, std::string* described) {
    Net net(std::move(device), harness.seed());
    int x = net.norm("n", net.conv("c", net.input("x", {4, 6, 6, 3}), 8));
    x = net.node("max_pool", "half", {net.node("relu", "r", {x})}, "kernel_h=2,kernel_w=2,stride_h=2,stride_w=2");
    net.loss("loss", net.linear("head", net.node("global_pool", "pool", {x}), 3));
    Bench bench(net, "mode train\nbatch 4\noptimizer sgd\ntrain 0 c.weight\ntrain 0 n.weight\ntrain 0 n.bias\ntrain 0 head.weight\n"
                     "track n.running_mean\ntrack n.running_var\n" + more);
    bench.run(GRAFT_FORWARD | GRAFT_GRADIENTS);
    *described = bench.plan->describe();
    std::vector<std::vector<float>> all;
    for (const char* name : {"c.weight", "n.weight", "n.bias", "head.weight"}) all.push_back(bench.read(text("gradient:", name)));
    return all;
  };
  std::string plain, fused, kept;
  auto expected = gradients_of(cpu_device(), "fuse 0\n", &plain), actual = gradients_of(cpu_device(), "", &fused);
  for (size_t i = 0; i < expected.size(); i++) expect_near(harness, text("gradient ", i), expected[i], actual[i], 1e-5);
  harness.expect(fused.find("recomputing") != std::string::npos, "no kernel works its slope out again: ", fused);
  gradients_of(cpu_device(), "keep r\n", &kept);
  harness.expect(kept.find("recomputing") == std::string::npos, "the result is kept, and its slope worked out again: ", kept);
}

}  // namespace

int main(int argc, char** argv) {
  Harness harness(argc, argv);
  harness.test("a result that only its norm's backward would read is worked out again", [&] { expect_recomputed(harness); });
  kept_signs(harness, [] { return reference_device(); });
  kept_signs(harness, [] { return cpu_device(); });
  const int nets = 40;
  for (int i = 0; i < nets; i++) {
    const uint64_t seed = harness.seed() * 1000 + i;
    harness.test(text("network ", seed, ": fused, folded and in the fast column the gradients are the same"), [&] {
      RandomNet reference(reference_device(), seed, false), cpu(cpu_device(), seed, false);
      auto plain = gradients(reference, "fold 0\nfuse 0");
      // F32 sums in other orders, through about ten layers.
      expect_same(harness, reference, "fused", plain, gradients(reference, ""), 1e-4);
      expect_same(harness, reference, "cpu", plain, gradients(cpu, "fold 0\nfuse 0"), 1e-4);
      expect_same(harness, reference, "cpu fused", plain, gradients(cpu, ""), 1e-4);
    });
    harness.test(text("smooth network ", seed, ": the gradient is the slope of the loss"), [&] {
      RandomNet net(reference_device(), seed, true);
      expect_slope(harness, net);
    });
  }
  return harness.finish();
}
