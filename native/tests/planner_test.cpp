// What the passes of compilation make of small graphs, seen in the plan's steps and in what a run gives.
#include <unistd.h>

#include <algorithm>

#include "net.h"

using namespace graft;
using namespace graft::test;

namespace {

const char* const kTrain = "mode train\nbatch 4\noptimizer sgd\n";

// stem (conv, norm, relu) -> block with a residual -> pool -> head
void image_net(Net& net) {
  int x = net.node("relu", "stem.relu", {net.norm("stem.norm", net.conv("stem", net.input("x", {4, 6, 6, 3}), 8))});
  int y = net.norm("block.norm", net.conv("block", x, 8));
  int sum = net.node("relu", "block.relu", {net.node("add", "block.add", {x, y})});
  net.loss("loss", net.linear("head", net.node("global_pool", "pool", {sum}), 5));
}

void frozen(Harness& harness) {
  harness.test("a frozen prefix has no backward steps and keeps no activations", [&] {
    Net net(reference_device());
    image_net(net);
    auto head = net.compile(std::string(kTrain) + "train 0 head.weight\ntrain 0 head.bias");
    auto full = net.compile(std::string(kTrain) + "train 0 stem.weight\ntrain 0 block.weight\ntrain 0 head.weight\ntrain 0 head.bias");
    auto backward = steps_of(*head, "", "backward");
    harness.expect(backward.size() == 1 && backward[0]->node == "head", "expected one backward step, of head; got ", backward.size());
    harness.expect(!backward.empty() && backward[0]->modes[0] == GradMode::Ignore, "the gradient of the pooled features is computed");
    harness.expect(2 * head->memory().arena < full->memory().arena, "the head's arena has ", head->memory().arena, " bytes, the full one ",
                   full->memory().arena);
    harness.expect(head->memory().gradients < full->memory().gradients, "gradients of frozen tensors exist");
  });
  harness.test("a suffix trains with the gradients of the full plan, and what is frozen stays bit for bit", [&] {
    Net net(reference_device());
    image_net(net);
    Bench full(net, std::string(kTrain) + "train 0 stem.weight\ntrain 0 block.weight\ntrain 0 head.weight");
    full.run(GRAFT_FORWARD | GRAFT_GRADIENTS);
    auto block = full.read("gradient:block.weight"), head = full.read("gradient:head.weight"), before = net.read("stem.weight");
    Bench suffix(net, std::string(kTrain) + "train 0 block.weight\ntrain 0 head.weight");
    suffix.run(GRAFT_STEP);
    expect_near(harness, "block.weight", block, suffix.read("gradient:block.weight"), 1e-5);
    expect_near(harness, "head.weight", head, suffix.read("gradient:head.weight"), 1e-5);
    harness.expect(before == net.read("stem.weight"), "a frozen weight moved");
  });
  harness.test("a plan tells which activations nobody keeps because a parameter is frozen", [&] {
    Net net(reference_device());
    int hidden = net.node("gelu", "act", {net.linear("first", net.input("x", {4, 3}), 5)});
    int a = net.parameter("a", {2, 5}), b = net.parameter("b", {3, 2});
    int z = net.node("scale", "z", {hidden}, "factor=0.5");
    int w = net.parameter("second.weight", {3, 5});
    net.loss("loss", net.node("lora_linear", "second", {hidden, w, -1, a, b, z}, "factor=2"));
    auto spared = [&](const std::string& trained) {
      std::string names;
      const auto plan = net.compile(std::string(kTrain) + trained);
      for (const Step* s : steps_of(*plan, "lora_linear", "backward"))
        for (const Operand& x : s->spared) names += x.name + " ";
      return names;
    };
    // x for dW, z for da, t for db; x of the branch is z alone.
    for (auto [trained, names] : {std::pair{"train 0 a\ntrain 0 b", "act "}, {"train 0 second.weight", "z second#1 "}, {"train 0 b", "act z "},
                                  {"train 0 a\ntrain 0 b\ntrain 0 second.weight", ""}, {"train 0 a\ntrain 0 b\nkeep act", ""}})
      harness.expect(spared(trained) == names, "with ", trained, " expected ", names, ", got ", spared(trained));
    const std::string told = net.compile(std::string(kTrain) + "train 0 a\ntrain 0 b")->describe();
    harness.expect(told.find(R"("not_kept":[{"value":"act","shape":"[4, 5]","bytes":80}])") != std::string::npos, "described is ", told);
  });
  for (const char* precision : {"f32", "bf16"})
    harness.test(text("a frozen weight of many rows is held once for both directions, ", precision), [&] {
      if (!cpu_device()->column->computes(DType::BF16) && precision[0] == 'b') return;
      auto gradients_of = [&](std::shared_ptr<Device> device, bool check) {
        Net net(std::move(device));
        const int hidden = net.linear("first", net.input("x", {512, 17}), 70);
        const int a = net.parameter("a", {3, 70}), b = net.parameter("b", {50, 3});
        const int second = net.node("lora_linear", "second", {hidden, net.parameter("second.weight", {50, 70}, 0.1), -1, a, b}, "factor=0.5");
        net.loss("loss", net.linear("third", second, 33));
        Bench bench(net, text("mode train\nbatch 512\noptimizer sgd\nprecision ", precision, "\ntrain 0 first.weight\ntrain 0 a\ntrain 0 b"));
        for (auto [op, node] : {std::pair{"lora_linear", "second"}, {"linear", "third"}}) {
          auto weight_of = [&](const char* pass) { return steps_of(*bench.plan, op, pass, node).at(0)->in[1].place; };
          const Place forward = weight_of("forward"), backward = weight_of("backward");
          harness.expect(!check || (forward.space == backward.space && forward.index == backward.index), node, " has two forms");
        }
        bench.run(GRAFT_FORWARD | GRAFT_GRADIENTS);
        std::vector<std::vector<float>> all;
        for (const char* name : {"first.weight", "a", "b"}) all.push_back(bench.read(std::string("gradient:") + name));
        return all;
      };
      const auto expected = gradients_of(reference_device(), false), actual = gradients_of(cpu_device(), true);
      for (size_t i = 0; i < expected.size(); i++) expect_near(harness, text("gradient ", i), expected[i], actual[i], precision[0] == 'b' ? 0.02 : 1e-5);
    });
  harness.test("dead nodes are not run", [&] {
    Net net(reference_device());
    int x = net.input("x", {4, 3});
    net.node("relu", "dead", {x});
    net.graph.output("y", net.node("sigmoid", "live", {x}));
    auto plan = net.compile("batch 4");
    harness.expect(plan->steps().size() == 1 && plan->steps()[0].node == "live", plan->steps().size(), " steps");
    auto kept = net.compile("batch 4\nkeep dead");
    harness.expect(kept->steps().size() == 2, "a kept node is not run");
  });
}

void modes(Harness& harness) {
  harness.test("tied weights: the first gradient overwrites, the second adds, the sum is right", [&] {
    Net net(reference_device());
    int w = net.parameter("w", {3, 3}), x = net.input("x", {4, 3});
    net.loss("loss", net.node("linear", "second", {net.node("linear", "first", {x, w}), w}));
    Bench bench(net, std::string(kTrain) + "train 0 w");
    auto of = [&](const char* node) { return steps_of(*bench.plan, "linear", "backward", node).at(0)->modes[1]; };
    harness.expect(of("second") == GradMode::Overwrite && of("first") == GradMode::Accumulate, "modes are wrong");
    bench.run(GRAFT_FORWARD | GRAFT_GRADIENTS);
    auto tied = bench.read("gradient:w");
    Net apart(reference_device());
    int a = apart.parameter("a", {3, 3}), b = apart.parameter("b", {3, 3});
    for (const char* name : {"a", "b"}) apart.write(name, net.read("w"));
    apart.loss("loss", apart.node("linear", "second", {apart.node("linear", "first", {apart.input("x", {4, 3}), a}), b}));
    Bench two(apart, std::string(kTrain) + "train 0 a\ntrain 0 b");
    two.run(GRAFT_FORWARD | GRAFT_GRADIENTS);
    auto sum = two.read("gradient:a"), second = two.read("gradient:b");
    for (size_t i = 0; i < sum.size(); i++) sum[i] += second[i];
    expect_near(harness, "w", sum, tied, 1e-6);
  });
  harness.test("accumulation adds runs up, an update clears, and starts clean after a plan that overwrote", [&] {
    Net net(reference_device());
    net.loss("loss", net.linear("fc", net.input("x", {4, 3}), 2));
    std::string train = std::string(kTrain) + "train 0 fc.weight\n";
    Bench once(net, train);
    once.run(GRAFT_FORWARD | GRAFT_GRADIENTS);
    auto g = once.read("gradient:fc.weight");
    Bench sum(net, train + "accumulate 1");
    for (int i = 0; i < 3; i++) sum.run(GRAFT_FORWARD | GRAFT_GRADIENTS);
    auto g3 = sum.read("gradient:fc.weight");
    for (float& v : g) v *= 3;
    expect_near(harness, "three runs", g, g3, 1e-6);
    sum.run(GRAFT_UPDATE);
    harness.expect(largest(sum.read("gradient:fc.weight")) == 0, "the update left gradients");
  });
  harness.test("gradients of several losses add up by their weights", [&] {
    Net net(reference_device());
    int y = net.linear("fc", net.input("x", {4, 3}), 2);
    net.loss("first", y);
    net.loss("second", y);
    Bench bench(net, std::string(kTrain) + "train 0 fc.weight");
    auto gradient = [&](double first, double second) {
      bench.session.set("loss_weight", 0, first);
      bench.session.set("loss_weight", 1, second);
      bench.run(GRAFT_FORWARD | GRAFT_GRADIENTS);
      return bench.read("gradient:fc.weight");
    };
    auto a = gradient(1, 0), b = gradient(0, 1), both = gradient(0.5, 2);
    for (size_t i = 0; i < a.size(); i++) a[i] = 0.5f * a[i] + 2 * b[i];
    expect_near(harness, "weighted sum", a, both, 1e-6);
  });
}

void fusing(Harness& harness) {
  harness.test("a frozen norm folds into a frozen convolution, residual and activation follow", [&] {
    Net net(reference_device());
    image_net(net);
    auto plan = net.compile("mode eval\nbatch 4");
    auto block = steps_of(*plan, "conv2d", "forward", "block").at(0);
    harness.expect(block->node == "block+block.norm+block.add+block.relu", "the block became ", block->node);
    harness.expect(block->folded && block->epilogue.residual && block->epilogue.activation == Activation::Relu, "the block lacks a part");
    harness.expect(steps_of(*plan, "batch_norm").empty() && steps_of(*plan, "relu").empty() && steps_of(*plan, "add").empty(), "steps are left over");
  });
  harness.test("nothing folds that trains, that is read twice or that is kept", [&] {
    for (const char* options : {"mode train\nbatch 4\ntrain 0 block.weight", "mode train\nbatch 4\ntrain 0 block.norm.bias",
                                "mode train\nbatch 4\ntrain 0 head.bias\ntrack block.norm.running_mean\ntrack block.norm.running_var",
                                "batch 4\nkeep block"}) {
      Net net(reference_device());
      image_net(net);
      auto plan = net.compile(options);
      harness.expect(steps_of(*plan, "batch_norm", "forward", "block.norm").size() == 1, "folded with: ", options);
    }
    Net net(reference_device());
    int c = net.conv("c", net.input("x", {4, 5, 5, 3}), 4);
    net.graph.output("y", net.norm("n", c));
    net.graph.output("z", net.node("sigmoid", "s", {c}));
    harness.expect(steps_of(*net.compile("batch 4"), "batch_norm").size() == 1, "a convolution with two readers was folded");
  });
  harness.test("kept values survive, others cannot be read", [&] {
    Net net(reference_device());
    image_net(net);
    Bench plain(net, "batch 4\nfold 0\nfuse 0\nkeep block\nkeep block.add\nkeep block.relu");
    Bench fused(net, "batch 4\nkeep block\nkeep block.add\nkeep block.relu");
    plain.run(GRAFT_FORWARD);
    fused.run(GRAFT_FORWARD);
    for (const char* name : {"block", "block.add", "block.relu"}) expect_near(harness, name, plain.read(name), fused.read(name), 1e-5);
    // relu and add may lie on one another: then only the kept one is there.
    Bench last(net, "batch 4\nfuse 0\nkeep block.relu");
    for (const char* name : {"block.add", "block", "pool", "gradient:block.relu"}) harness.expect_error("keeps no value", [&] { last.read(name); });
  });
  harness.test("an input is never overwritten", [&] {
    Net net(reference_device());
    int x = net.input("x", {4, 3});
    net.graph.output("y", net.node("relu", "r", {x}));
    net.graph.output("x", x);
    Bench bench(net, "batch 4");
    auto before = bench.read("x");
    bench.run(GRAFT_FORWARD);
    harness.expect(bench.read("x") == before, "the input changed");
  });
  harness.test("the gradient of a kept value is kept with it", [&] {
    Net net(reference_device());
    int h = net.node("sigmoid", "h", {net.linear("a", net.input("x", {4, 3}), 3)});
    net.loss("loss", net.node("add", "twice", {h, net.linear("b", h, 3)}));
    auto gradient = [&](const char* fuse) {
      Bench bench(net, std::string(kTrain) + "train 0 a.weight\nkeep h\nfuse " + fuse);
      bench.run(GRAFT_FORWARD | GRAFT_GRADIENTS);
      return bench.read("gradient:h");
    };
    expect_near(harness, "gradient:h", gradient("0"), gradient("1"), 1e-6);
  });
}

void resting(Harness& harness) {
  harness.test("dropout at rest has no step and keeps nothing from fusing", [&] {
    Net net(cpu_device());
    int x = net.input("x", {4, 6});
    int branch = net.node("dropout", "drop", {net.linear("fc", x, 6)}, "rate=0.5,per_sample=1");
    net.graph.output("kept", net.node("dropout", "last", {branch}, "rate=0.5"));
    net.loss("loss", net.node("add", "sum", {x, net.node("dropout", "again", {net.linear("second", branch, 6)}, "rate=0.5")}));
    auto eval = net.compile("mode eval\nbatch 4\n");
    auto train = net.compile(std::string(kTrain) + "train 0 fc.weight");
    harness.expect(steps_of(*eval, "dropout", "forward").empty(), "an eval plan has steps of dropout");
    harness.expect(steps_of(*train, "dropout", "forward").size() == 3, "a training plan has lost a dropout");
    auto linear = steps_of(*eval, "linear", "forward");
    harness.expect(linear.size() == 2 && linear[1]->node == "second+sum", "the sum did not join the product before it");
    Bench bench(net, "mode eval\nbatch 4\n");
    bench.run(GRAFT_FORWARD);
    harness.expect(bench.read("kept").size() == 24, "the output of a dropout at rest cannot be read");
  });
}

void views_and_types(Harness& harness) {
  // Weights that are views, products or conversions of parameters, and parameters that take part as activations.
  auto computed = [](Net& net, bool through) {
    int x = net.input("x", {4, 6});
    int flat = net.parameter("flat", {30}), bias = net.parameter("bias", {10}), place = net.parameter("place", {1, 5});
    int w = net.node("reshape", "w", {flat}, "rank=2,d0=5,d1=6");
    int b = net.node("slice", "b", {bias}, "axis=0,begin=0,end=5");
    if (through) w = net.node("scale", "scaled", {w}, "factor=1");
    net.loss("loss", net.node("add", "placed", {net.node("linear", "fc", {x, w, b}), place}));
  };
  for (const char* precision : {"f32", "bf16"})
    for (bool cpu : {false, true})
      for (bool through : {false, true})
        harness.test(text("computed weights: ", precision, cpu ? " cpu" : " reference", through ? " through a node" : ""), [&] {
          auto device = cpu ? cpu_device() : reference_device();
          if (!device->column->computes(DType::BF16) && precision[0] == 'b') return;
          Net direct(device), net(device);
          int x = direct.input("x", {4, 6}), w = direct.parameter("w", {5, 6}), b = direct.parameter("b", {5}), p = direct.parameter("place", {1, 5});
          direct.loss("loss", direct.node("add", "placed", {direct.node("linear", "fc", {x, w, b}), p}));
          computed(net, through);
          direct.write("w", net.read("flat"));
          auto five = net.read("bias");
          five.resize(5);
          direct.write("b", five);
          std::string options = std::string(kTrain) + "precision " + precision + "\ntrain 0 ";
          Bench expected(direct, options + "w\ntrain 0 b\ntrain 0 place"), actual(net, options + "flat\ntrain 0 bias\ntrain 0 place");
          for (Bench* bench : {&expected, &actual}) bench->run(GRAFT_FORWARD | GRAFT_GRADIENTS);
          double tolerance = precision[0] == 'b' ? 0.02 : 1e-5;  // bf16 keeps 8 bits; gradients are rounded once more
          harness.expect_close("loss", {expected.loss()}, {actual.loss()}, tolerance, 1);
          expect_near(harness, "flat", expected.read("gradient:w"), actual.read("gradient:flat"), tolerance);
          expect_near(harness, "place", expected.read("gradient:place"), actual.read("gradient:place"), tolerance);
          auto bias = actual.read("gradient:bias");
          harness.expect(largest({bias.begin() + 5, bias.end()}) == 0, "a part that the slice leaves out got a gradient");
          bias.resize(5);
          expect_near(harness, "bias", expected.read("gradient:b"), bias, tolerance);
          // Frozen, they are forms of the store: a plan that then trains them does not pull them away.
          Bench frozen(net, text("batch 4\nprecision ", precision));
          Bench again(net, options + "flat\ntrain 0 place");
          again.run(GRAFT_STEP);
          frozen.run(GRAFT_FORWARD);
          Bench fresh(net, text("batch 4\nprecision ", precision));
          fresh.run(GRAFT_FORWARD);
          harness.expect(fresh.loss() == frozen.loss(), "an older plan sees ", frozen.loss(), ", a new one ", fresh.loss());
        });
  harness.test("bf16 plans convert each value once, and losses are F32", [&] {
    Net net(reference_device());
    int x = net.input("x", {4, 3});
    net.loss("loss", net.node("add", "sum", {net.linear("a", x, 2), net.linear("b", x, 2)}));
    auto plan = net.compile(std::string(kTrain) + "precision bf16\ntrain 0 a.weight\ntrain 0 b.weight");
    harness.expect(steps_of(*plan, "convert", "forward", "x:bf16").size() == 1, "x is converted more than once");
    harness.expect(steps_of(*plan, "mse").at(0)->in[0].type.dtype == DType::F32, "the loss reads bf16");
    harness.expect(steps_of(*plan, "linear", "backward").at(0)->din[1].type.dtype == DType::F32, "a weight's gradient is not F32");
  });
  harness.test("views share bytes and cost no step", [&] {
    Net net(reference_device());
    int x = net.node("sigmoid", "s", {net.input("x", {4, 2, 3})});
    int flat = net.node("reshape", "flat", {net.node("reshape", "mid", {x}, "rank=3,d0=4,d1=3,d2=2")}, "rank=2,d0=4,d1=6");
    net.graph.output("flat", flat);
    auto plan = net.compile("batch 4\nkeep s");
    harness.expect(plan->steps().size() == 1, plan->steps().size(), " steps");
    harness.expect(plan->readable("flat").place.offset == plan->readable("s").place.offset, "the view lies elsewhere");
  });
  harness.test("outputs may be inputs, parameters and views of them", [&] {
    Net net(reference_device());
    int w = net.parameter("w", {2, 3});
    net.graph.output("w", w);
    net.graph.output("flat", net.node("reshape", "r", {w}, "rank=1,d0=6"));
    Bench bench(net, "batch 1");
    bench.run(GRAFT_FORWARD);
    harness.expect(bench.read("w") == net.read("w") && bench.read("flat") == net.read("w"), "other values came");
  });
}

void masks(Harness& harness) {
  harness.test("a row mask has gradient and moments for its rows only, and only they move", [&] {
    Net net(reference_device());
    net.loss("loss", net.linear("fc", net.input("x", {4, 3}), 8));
    Bench whole(net, std::string(kTrain) + "train 0 fc.weight");
    whole.run(GRAFT_FORWARD | GRAFT_GRADIENTS);
    auto g = whole.read("gradient:fc.weight"), before = net.read("fc.weight");
    Bench rows(net, "mode train\nbatch 4\noptimizer adam\ntrain 0 fc.weight\nrows fc.weight 1 2\nrows fc.weight 5 7");
    harness.expect(rows.session.size("gradient:fc.weight") == 9, "the gradient has ", rows.session.size("gradient:fc.weight"), " elements");
    harness.expect(rows.plan->memory().moments == 2 * 64, "moments take ", rows.plan->memory().moments, " bytes");  // 9 elements, rounded up to 16
    rows.run(GRAFT_STEP);
    std::vector<float> live;
    for (size_t r : {1, 5, 6}) live.insert(live.end(), g.begin() + 3 * r, g.begin() + 3 * r + 3);
    expect_near(harness, "gradient", live, rows.read("gradient:fc.weight"), 1e-6);
    auto after = net.read("fc.weight");
    for (size_t i = 0; i < after.size(); i++) {
      bool moves = i / 3 == 1 || i / 3 == 5 || i / 3 == 6;
      harness.expect((after[i] != before[i]) == moves, "row ", i / 3, moves ? " stayed" : " moved");
    }
  });
  harness.test("an element mask lets only its elements move", [&] {
    Net net(reference_device());
    net.loss("loss", net.linear("fc", net.input("x", {4, 3}), 3));
    char path[] = "/tmp/graft-mask-XXXXXX";
    int file = mkstemp(path);
    const unsigned char bits[] = {0b10100101, 0b1};
    require(write(file, bits, 2) == 2, "no mask written");
    close(file);
    auto before = net.read("fc.weight");
    Bench bench(net, std::string(kTrain) + "train 0 fc.bias\ntrain 0 fc.weight\nmask fc.weight " + path);
    bench.run(GRAFT_STEP);
    auto after = net.read("fc.weight");
    for (size_t i = 0; i < 9; i++) harness.expect((after[i] != before[i]) == (bits[i / 8] >> i % 8 & 1), "element ", i);
    truncate(path, 1);
    harness.expect_error("expected 2 bytes for 9 elements", [&] { net.compile(std::string(kTrain) + "train 0 fc.weight\nmask fc.weight " + path); });
    unlink(path);
  });
}

}  // namespace

int main(int argc, char** argv) {
  Harness harness(argc, argv);
  frozen(harness);
  modes(harness);
  fusing(harness);
  resting(harness);
  views_and_types(harness);
  masks(harness);
  return harness.finish();
}
