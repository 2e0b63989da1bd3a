// A linear layer of many classes and its cross-entropy as one step: when plans make it, what it holds, and that it computes what two
// steps do.
#include "net.h"

using namespace graft;
using namespace graft::test;

namespace {

constexpr int64_t kClasses = 8192;  // from here on plans fuse
constexpr int64_t kRows = 12;
const char* const kOp = "linear_cross_entropy";

// first -> gelu -> head -> cross-entropy. With `chunk` the two are one node of the graph, for so many rows at a time.
class Classifier {
 public:
  explicit Classifier(std::shared_ptr<Device> device, int64_t classes = kClasses, int64_t rows = kRows, int64_t chunk = 0) : net(std::move(device)), rows_(rows) {
    const int hidden = net.node("gelu", "act", {net.linear("first", net.input("x", {rows, 5}), 7)});
    const int target = net.input("label", {rows}, DType::I32);
    if (chunk > 0) {
      const int weight = net.parameter("head.weight", {classes, 7}), bias = net.parameter("head.bias", {classes});
      net.node(kOp, "loss", {hidden, weight, bias, target}, text("label_smoothing=0.1,logits_bytes=", 4 * chunk * classes));
      return;
    }
    const int weight = net.parameter("head.weight", {classes, 7}), bias = net.parameter("head.bias", {classes});
    logits = net.node("linear", "head", {hidden, weight, bias});
    net.node("softmax_cross_entropy", "loss", {logits, target}, "label_smoothing=0.1");
  }
  std::string options(const std::string& more = "") const {
    return text("mode train\nbatch ", rows_, "\noptimizer sgd\ntrain 0 first.weight\ntrain 0 head.weight\ntrain 0 head.bias\n", more);
  }
  Net net;
  int logits = -1;

 private:
  int64_t rows_;
};

struct Found {
  std::vector<std::vector<float>> gradients;
  std::vector<double> loss;  // and correct rows
};

constexpr int kBoth = GRAFT_FORWARD | GRAFT_GRADIENTS;

Found found(Bench& bench) {
  Found f;
  for (const char* name : {"first.weight", "head.weight", "head.bias"}) f.gradients.push_back(bench.read(text("gradient:", name)));
  f.loss = {bench.loss(0), bench.loss(1)};
  return f;
}

Found run(Classifier& c, const std::string& more = "", std::initializer_list<int> phases = {kBoth}) {
  Bench bench(c.net, c.options(more));
  for (int p : phases) bench.run(p);
  return found(bench);
}

void expect_same(Harness& harness, const Found& expected, const Found& actual, double tolerance) {
  harness.expect_close("loss and correct rows", expected.loss, actual.loss, tolerance, 1);
  for (size_t i = 0; i < expected.gradients.size(); i++) expect_near(harness, text("gradient ", i), expected.gradients[i], actual.gradients[i], tolerance);
}

void expect_steps(Harness& harness, const Plan& plan, size_t fused, size_t apart) {
  harness.expect(steps_of(plan, kOp).size() == fused, "expected ", fused, " steps of ", kOp, ", got ", steps_of(plan, kOp).size());
  harness.expect(steps_of(plan, "softmax_cross_entropy").size() == apart, "expected ", apart, " steps of softmax_cross_entropy, got ",
                 steps_of(plan, "softmax_cross_entropy").size());
}

void when_plans_fuse(Harness& harness) {
  harness.test("a layer of many classes that its loss alone reads is one step with it", [&] {
    Classifier c(reference_device());
    auto plan = c.net.compile(c.options());
    expect_steps(harness, *plan, 2, 0);  // with gradients, and without
    harness.expect(steps_of(*plan, "linear").size() == 2, "the layer has steps of its own: ", plan->describe());  // first's
    harness.expect(plan->describe().find(R"("node":"head+loss","op":"linear_cross_entropy","pass":"loss")") != std::string::npos, "described is ", plan->describe());
    expect_steps(harness, *c.net.compile(text("mode eval\nbatch ", kRows)), 1, 0);
  });
  harness.test("fewer classes, kept logits, logits as an output and fuse 0 keep layer and loss apart", [&] {
    Classifier few(reference_device(), kClasses - 1);
    expect_steps(harness, *few.net.compile(few.options()), 0, 1);
    Classifier c(reference_device());
    expect_steps(harness, *c.net.compile(c.options("keep head")), 0, 1);
    expect_steps(harness, *c.net.compile(c.options("fuse 0")), 0, 1);
    c.net.graph.output("logits", c.logits);
    expect_steps(harness, *c.net.compile(c.options()), 0, 1);
  });
  harness.test("logits that two losses read stay", [&] {
    Classifier c(reference_device());
    c.net.node("softmax_cross_entropy", "other", {c.logits, c.net.input("label2", {kRows}, DType::I32)});
    expect_steps(harness, *c.net.compile(c.options()), 0, 2);
  });
  harness.test("a loss that reads a trained class weight is refused", [&] {
    Classifier c(reference_device(), 20);
    const int weight = c.net.parameter("class.weight", {20});
    c.net.node(kOp, "other", {c.net.input("y", {kRows, 3}), c.net.parameter("w", {20, 3}), -1, c.net.input("label2", {kRows}, DType::I32), weight});
    harness.expect_error("a loss passes no gradient to its targets", [&] { c.net.compile(c.options("train 0 class.weight\ntrain 0 w")); });
  });
}

void what_it_computes(Harness& harness) {
  for (const char* precision : {"f32", "bf16"})
    harness.test(text("one step gives the loss and the gradients of two, ", precision), [&] {
      const bool narrow = precision[0] == 'b';
      Classifier reference(reference_device());
      const Found expected = run(reference, "fuse 0");
      expect_same(harness, expected, run(reference), 1e-5);
      if (narrow && !cpu_device()->column->computes(DType::BF16)) return;
      Classifier cpu(cpu_device());
      const std::string more = text("precision ", precision);
      // bf16 rounds logits and their gradient either way: single elements may fall to the other side.
      expect_same(harness, run(cpu, more + "\nfuse 0"), run(cpu, more), narrow ? 2e-2 : 1e-5);
    });
  harness.test("runs of rows make no other gradient, and the same bits each time", [&] {
    for (auto device : {reference_device(), cpu_device()}) {
      Classifier at_once(device, 20, 37, 37), by_runs(device, 20, 37, 9);
      expect_same(harness, run(at_once), run(by_runs), 1e-5);
      harness.expect(run(by_runs).gradients == run(by_runs).gradients, "other bits");
    }
  });
  harness.test("forward alone finds the loss and leaves gradients that are added up as they are", [&] {
    Classifier c(cpu_device(), 20, 7, 3);
    const Found once = run(c), twice = run(c, "accumulate 1", {kBoth, GRAFT_FORWARD, kBoth}), apart = run(c, "", {GRAFT_FORWARD, GRAFT_GRADIENTS});
    harness.expect(once.loss == apart.loss && once.gradients == apart.gradients, "forward and gradients one after the other give other bits");
    for (size_t i = 0; i < once.gradients.size(); i++) {
      std::vector<float> doubled = once.gradients[i];
      for (float& g : doubled) g *= 2;
      expect_near(harness, text("gradient ", i, " of two runs"), doubled, twice.gradients[i], 1e-6);
    }
    Bench bench(c.net, c.options());
    bench.run(GRAFT_FORWARD);
    harness.expect_close("the loss of forward alone", once.loss, {bench.loss(0), bench.loss(1)}, 1e-6, 1);
  });
  harness.test("live rows of a weight get the gradient of the whole", [&] {
    Classifier c(cpu_device(), 20, 7, 3);
    const std::vector<float> all = run(c).gradients[1];
    Bench some(c.net, "mode train\nbatch 7\noptimizer sgd\ntrain 0 head.weight\nrows head.weight 3 5\nrows head.weight 19 20");
    some.run(kBoth);
    std::vector<float> live(all.begin() + 3 * 7, all.begin() + 5 * 7);
    live.insert(live.end(), all.begin() + 19 * 7, all.end());
    expect_near(harness, "gradient", live, some.read("gradient:head.weight"), 1e-6);
  });
  harness.test("a frozen layer passes the gradient on and has none", [&] {
    Classifier c(cpu_device(), 20, 7, 3);
    const Found whole = run(c);
    Bench first(c.net, "mode train\nbatch 7\noptimizer sgd\ntrain 0 first.weight");
    first.run(kBoth);
    expect_near(harness, "gradient", whole.gradients[0], first.read("gradient:first.weight"), 1e-6);
    const Step* loss = steps_of(*first.plan, kOp, "loss").at(0);
    harness.expect(loss->modes[1] == GradMode::Ignore && loss->modes[2] == GradMode::Ignore, "gradients of a frozen layer are computed");
  });
  harness.test("a plan trains on its fused loss", [&] {
    Classifier c(cpu_device(), 20, 7, 3);
    Bench bench(c.net, c.options());
    bench.run(GRAFT_STEP);
    const double before = bench.loss();
    for (int i = 0; i < 50; i++) bench.run(GRAFT_STEP);
    harness.expect(bench.loss() < 0.7 * before, "50 steps bring the loss from ", before, " to ", bench.loss());
  });
}

void what_it_holds(Harness& harness) {
  constexpr int64_t kMany = 262144, kManyRows = 512;
  constexpr size_t kMiB = 1 << 20, kLogits = kMany * kManyRows * 4;  // 512 MiB
  harness.test("the logits of 262144 classes take 128 MiB at most, whatever the rows", [&] {
    for (auto device : {reference_device(), cpu_device()})
      for (int64_t rows : {kManyRows, 4 * kManyRows}) {
        Classifier c(device, kMany, rows);
        const size_t fused = c.net.compile(c.options())->memory().arena;
        // Beside the logits: x, labels, a few numbers a row, and what oneDNN asks for.
        if (device->column->name() == std::string("cpu")) harness.expect(fused <= 160 * kMiB, rows, " rows take ", fused, " bytes");
        else harness.expect(fused < 64 * kMiB, "the reference, which holds a row and sums in double, takes ", fused, " bytes");
        if (rows > kManyRows) continue;
        const size_t apart = c.net.compile(c.options("fuse 0"))->memory().arena;
        harness.expect(apart >= kLogits, "apart they take ", apart, " bytes, less than the logits");
      }
  });
}

}  // namespace

int main(int argc, char** argv) {
  Harness harness(argc, argv);
  when_plans_fuse(harness);
  what_it_computes(harness);
  what_it_holds(harness);
  return harness.finish();
}
