// Every message about a graph, a plan's options or its memory names the thing and what would be right.
#include "net.h"

using namespace graft;
using namespace graft::test;

int main(int argc, char** argv) {
  Harness harness(argc, argv);
  auto rejects = [&](const std::string& name, const std::string& part, auto body) {
    harness.test(name, [&] {
      Net net(reference_device());
      harness.expect_error(part, [&] { body(net); });
    });
  };
  auto classifier = [](Net& net) {
    int c = net.norm("norm", net.conv("conv", net.input("x", {4, 5, 5, 3}), 6));
    net.loss("loss", net.linear("head", net.node("global_pool", "pool", {c}), 2));
    net.graph.output("features", c);
  };
  auto compiles = [&](const std::string& name, const std::string& options, const std::string& part) {
    rejects(name, part, [&](Net& net) {
      classifier(net);
      net.compile(options);
    });
  };

  rejects("unknown operation", "node y: no operation conv2; nearest is conv2d", [](Net& net) { net.node("conv2", "y", {net.input("x", {1, 2})}); });
  rejects("unknown attribute", "node y: scale has no attribute faktor; it has: factor, offset",
          [](Net& net) { net.node("scale", "y", {net.input("x", {1, 2})}, "faktor=2"); });
  rejects("attribute that is no number", "attribute factor of node y is not a number: \"two\"",
          [](Net& net) { net.node("scale", "y", {net.input("x", {1, 2})}, "factor=two"); });
  rejects("attribute that is not finite", "attribute factor of node y is not a number: \"nan\"",
          [](Net& net) { net.node("scale", "y", {net.input("x", {1, 2})}, "factor=nan"); });
  rejects("attribute given twice", "node y: attribute factor is given twice",
          [](Net& net) { net.node("scale", "y", {net.input("x", {1, 2})}, "factor=1,factor=2"); });
  rejects("half a stride", "attribute axis must be a whole number, got 0.5",
          [](Net& net) { int x = net.input("x", {2, 2}); net.node("concat", "y", {x, x}, "axis=0.5"); });
  rejects("required attribute missing", "node y: concat needs attribute axis", [](Net& net) { net.node("concat", "y", {net.input("x", {1, 2})}); });
  rejects("input missing", "node y: linear needs input weight", [](Net& net) { net.node("linear", "y", {net.input("x", {1, 2})}); });
  rejects("too many inputs", "node y: relu takes at most 1 inputs, 2 came", [](Net& net) { int x = net.input("x", {1}); net.node("relu", "y", {x, x}); });
  rejects("value of nowhere", "node y: input x is value 7, the graph has 0", [](Net& net) { net.node("relu", "y", {7}); });
  rejects("name used twice", "the name x is used twice in the graph", [](Net& net) { net.input("x", {1}); net.input("x", {1}); });
  rejects("output name used twice", "the output name y is used twice", [](Net& net) { int x = net.input("x", {1}); net.graph.output("y", x); net.graph.output("y", x); });
  rejects("shapes that do not fit", "node y (linear): ", [](Net& net) { net.node("linear", "y", {net.input("x", {1, 2}), net.parameter("w", {3, 4})}); });
  rejects("no dimension is zero", "input x: dimension 1 is 0", [](Net& net) { net.input("x", {1, 0}); });
  rejects("a result too large to count", "has more than 2^40 elements", [](Net& net) {
    net.node("multiply", "y", {net.input("a", {1 << 20, 1, 1}), net.input("b", {1, 1 << 20, 2})});
  });
  rejects("parameter of another shape", "parameter w: the graph expects [2, 2], the store has [2, 3]", [](Net& net) {
    net.params->declare("w", {2, 3}, false, "head");
    net.graph.output("y", net.node("linear", "y", {net.input("x", {1, 2}), net.graph.parameter("w", {2, 2})}));
    net.compile("");
  });
  rejects("parameter that the store lacks", "no parameter v; nearest is w", [](Net& net) {
    net.params->declare("w", {2, 2}, false, "head");
    net.graph.output("y", net.node("linear", "y", {net.input("x", {1, 2}), net.graph.parameter("v", {2, 2})}));
    net.compile("");
  });
  rejects("parameter without a value", "parameter w has no value", [](Net& net) {
    net.params->declare("w", {2, 2}, false, "head");
    net.graph.output("y", net.node("linear", "y", {net.input("x", {1, 2}), net.graph.parameter("w", {2, 2})}));
    net.compile("");
  });
  rejects("parameters of another device", "the parameters belong to another device", [](Net& net) {
    Plan::compile(reference_device(), net.graph, net.params, "");
  });
  rejects("a loss passes no gradient to its target", "node loss: a loss passes no gradient to its targets", [](Net& net) {
    int x = net.input("x", {2, 2});
    net.node("mse", "loss", {net.linear("a", x, 2), net.linear("b", x, 2)});
    net.compile("mode train\nbatch 2\ntrain 0 a.bias\ntrain 0 b.bias");
  });

  compiles("unknown option", "mode train\nbatsch 4", "plan option batsch is unknown; nearest is batch");
  compiles("option with too much", "batch 4 5", "plan option line \"batch 4 5\" has more than it takes");
  compiles("option with too little", "batch", "plan option line \"batch\" is incomplete");
  compiles("unknown matmul", "matmul cublas", "plan option matmul: expected own, vendor or auto, got cublas");
  compiles("unknown F32 products", "f32_products bf16x9", "plan option f32_products: expected exact, tf32, bf16x3 or bf16x6, got bf16x9");
  compiles("tuning file without a path", "tuning ", "plan option line \"tuning \" is incomplete");
  compiles("unknown optimizer", "mode train\noptimizer sdg", "optimizer sdg is unknown; expected sgd, adam or adamw");
  compiles("unknown setting", "mode train\noptimizer sgd momentom=0.9", "optimizer setting momentom is unknown; nearest is momentum");
  compiles("momentum above one", "mode train\noptimizer sgd momentum=1.5", "momentum is 1.5; expected 0 <= momentum < 1");
  compiles("batch that does not divide", "batch 3", "input x [4, 5, 5, 3]: the first dimension is no multiple of the batch, 3");
  compiles("unknown trained parameter", "mode train\nbatch 4\ntrain 0 head.wieght", "trained parameter head.wieght is not in the graph; nearest is head.weight");
  compiles("trained twice", "mode train\nbatch 4\ntrain 0 head.bias\ntrain 0 head.bias", "parameter head.bias is trained in two groups");
  compiles("group of nowhere", "mode train\nbatch 4\ngroups 2\ntrain 2 head.bias", "parameter head.bias is in group 2; the plan has 2 groups");
  compiles("training in an eval plan", "batch 4\ntrain 0 head.bias", "an eval plan trains nothing");
  compiles("a statistic is not trained", "mode train\nbatch 4\ntrain 0 norm.running_mean", "parameter norm.running_mean is a running statistic; it is tracked, not trained");
  compiles("a weight is not tracked", "mode train\nbatch 4\ntrack norm.weight", "tracked statistic norm.weight belongs to no batch norm");
  compiles("half of the statistics", "mode train\nbatch 4\ntrack norm.running_mean", "node norm: of norm.running_mean and norm.running_var both are tracked or none");
  compiles("rows beyond the tensor", "mode train\nbatch 4\ntrain 0 head.weight\nrows head.weight 1 3", "rows 1 to 3 of head.weight: it has 2 rows");
  compiles("rows of what does not train", "mode train\nbatch 4\nrows head.weight 0 1", "plan option rows: head.weight is not among the trained parameters");
  compiles("descending rows", "mode train\nbatch 4\ntrain 0 head.weight\nrows head.weight 1 1", "rows 1 to 1 of head.weight: ranges ascend and are not empty");
  compiles("unknown kept value", "batch 4\nkeep pol", "kept value pol is not in the graph; nearest is pool");
  rejects("a trained parameter that no loss reads", "trained parameter w gets no gradient: no loss depends on it", [](Net& net) {
    net.graph.output("y", net.node("linear", "y", {net.input("x", {2, 2}), net.parameter("w", {2, 2})}));
    net.compile("mode train\nbatch 2\ntrain 0 w");
  });
  auto updates = [&](const std::string& name, const std::string& options, const std::string& part) {
    rejects(name, part, [&](Net& net) {
      classifier(net);
      Bench(net, options).run(GRAFT_STEP);
    });
  };
  updates("update without an optimizer", "mode train\ntrain 0 head.weight", "the plan was compiled without an optimizer: it cannot update");
  updates("update of nothing", "mode train\noptimizer sgd", "the plan trains nothing: it cannot update");

  harness.test("a plan above the limit is refused before it takes memory, with bytes and a batch that would fit", [&] {
    Net net(cpu_device());
    net.graph.output("y", net.node("sigmoid", "s", {net.conv("c", net.input("x", {64, 32, 32, 3}), 32)}));
    auto held = [&] {
      const std::string about = net.device->column->describe();
      return about.substr(about.find("\"bytes\":"));
    };
    const std::string before = held();
    try {
      net.compile("batch 64\nlimit 4194304");
      harness.fail("a plan above the limit was compiled");
    } catch (const Error& e) {
      harness.expect(e.status() == GRAFT_OUT_OF_MEMORY, "status ", e.status());
      for (const char* part : {"the plan needs ", "4 MiB are available", "arena ", "packed weights ", "gradients and moments", "at batch 64, a batch of about "})
        harness.expect(std::string(e.what()).find(part) != std::string::npos, "no \"", part, "\" in: ", e.what());
    }
    harness.expect(held() == before, "memory was taken: ", before, " became ", held());
  });
  harness.test("a scalar trains", [&] {
    Net net(reference_device());
    int w = net.parameter("w", {});
    net.loss("loss", net.node("multiply", "y", {net.input("x", {4, 3}), w}));
    Bench bench(net, "mode train\nbatch 4\noptimizer sgd\ntrain 0 w");
    auto before = net.read("w");
    bench.run(GRAFT_STEP);
    float expected = before[0] - 0.1f * bench.read("gradient:w")[0];
    harness.expect_close("w", {expected}, widen(net.read("w")), 1e-6, 1);
  });
  return harness.finish();
}
