// The parameter store: values, moments and forms through changes of what is trained, and weights read from files.
#include <unistd.h>

#include <algorithm>
#include <fstream>

#include "net.h"

using namespace graft;
using namespace graft::test;

namespace {

const char* const kAdam = "mode train\nbatch 4\noptimizer adam\n";

void two_layers(Net& net) { net.loss("loss", net.linear("b", net.node("sigmoid", "s", {net.linear("a", net.input("x", {4, 3}), 4)}), 2)); }

std::vector<float> moment(Net& net, const std::string& name, int which) {
  std::vector<float> v(net.params->shape(net.params->id(name)).count());
  net.params->read_moment(name, which, v.data(), static_cast<int64_t>(v.size()));
  return v;
}

void stages(Harness& harness) {
  harness.test("values and moments of what stays move over; what leaves keeps its value, what enters begins at zero", [&] {
    Net net(reference_device());
    two_layers(net);
    Bench first(net, std::string(kAdam) + "train 0 a.bias\ntrain 0 b.weight\ntrain 0 b.bias");
    for (int i = 0; i < 3; i++) first.run(GRAFT_STEP);
    auto left = net.read("a.bias"), stays = net.read("b.weight"), m = moment(net, "b.weight", 0), v = moment(net, "b.weight", 1);
    Bench second(net, std::string(kAdam) + "train 0 b.weight\ntrain 0 a.weight");
    harness.expect(net.read("a.bias") == left, "the value of a parameter that left changed");
    harness.expect(net.read("b.weight") == stays && moment(net, "b.weight", 0) == m && moment(net, "b.weight", 1) == v, "what stayed changed");
    harness.expect(largest(moment(net, "a.weight", 0)) == 0, "a new moment is not zero");
    harness.expect_error("a.bias is not trained by any plan", [&] { moment(net, "a.bias", 0); });
    harness.expect_error("compile this plan again", [&] { first.run(GRAFT_STEP); });
    harness.expect_error("compile this plan again", [&] { first.session.set("updates", 0, 7); });
    second.run(GRAFT_STEP);
    harness.expect(net.read("a.bias") == left && net.read("b.weight") != stays, "the second stage moved the wrong tensors");
  });
  for (const char* isa : {"reference", "cpu"})
    harness.test(text("Adam counts each tensor's steps from when it joined: ", isa), [&] {
      auto device = isa[0] == 'c' ? cpu_device() : reference_device();
      Net net(device), fresh(device);
      for (Net* n : {&net, &fresh}) two_layers(*n);
      Bench first(net, std::string(kAdam) + "train 0 b.bias");
      for (int i = 0; i < 20; i++) first.run(GRAFT_STEP);
      Bench joined(net, std::string(kAdam) + "train 0 b.bias\ntrain 0 a.weight");
      auto before = net.read("a.weight");
      joined.run(GRAFT_STEP);
      auto after = net.read("a.weight"), g = joined.read("gradient:a.weight");
      // The first step of Adam is the rate times the sign of the gradient.
      for (size_t i = 0; i < g.size(); i++)
        harness.expect_close(text("step of ", i), {g[i] > 0 ? -0.1 : 0.1}, {static_cast<double>(after[i]) - before[i]}, 1e-3, 0.1);
    });
  harness.test("from whole to rows and back a tensor keeps its value, and the rows their moments", [&] {
    Net net(reference_device());
    two_layers(net);
    Bench whole(net, std::string(kAdam) + "train 0 a.weight");
    whole.run(GRAFT_STEP);
    auto value = net.read("a.weight"), m = moment(net, "a.weight", 0);
    Bench rows(net, std::string(kAdam) + "train 0 a.weight\nrows a.weight 1 3");
    harness.expect(net.read("a.weight") == value, "the value changed");
    auto part = moment(net, "a.weight", 0);
    for (size_t i = 0; i < m.size(); i++) harness.expect(part[i] == (i / 3 == 1 || i / 3 == 2 ? m[i] : 0), "moment ", i, " is ", part[i]);
    rows.run(GRAFT_STEP);
    value = net.read("a.weight");
    Bench again(net, std::string(kAdam) + "train 0 a.weight");
    harness.expect(net.read("a.weight") == value, "the value changed on the way back");
    harness.expect(largest(moment(net, "a.weight", 0)) == 0, "a tensor with new rows kept moments of some");
  });
  harness.test("a plan without an optimizer leaves the moments alone", [&] {
    Net net(reference_device());
    two_layers(net);
    Bench train(net, std::string(kAdam) + "train 0 a.weight");
    train.run(GRAFT_STEP);
    auto m = moment(net, "a.weight", 0);
    Bench gradients(net, "mode train\nbatch 4\ntrain 0 a.weight");
    gradients.run(GRAFT_FORWARD | GRAFT_GRADIENTS);
    harness.expect(moment(net, "a.weight", 0) == m, "the moments changed");
    train.run(GRAFT_STEP);
    harness.expect_error("compiled without an optimizer", [&] { gradients.run(GRAFT_STEP); });
  });
  harness.test("a failed compile leaves the present plan running", [&] {
    Net net(reference_device());
    two_layers(net);
    net.params->declare("empty", {2}, false, "head");
    Bench train(net, std::string(kAdam) + "train 0 b.bias");
    net.graph.output("y", net.node("add", "y", {net.graph.find("b"), net.graph.parameter("empty", {2})}));
    harness.expect_error("parameter empty has no value", [&] { net.compile(std::string(kAdam) + "train 0 a.weight"); });
    train.run(GRAFT_STEP);
  });
  harness.test("moments are read and written, rows of a mask alone", [&] {
    Net net(reference_device());
    two_layers(net);
    Bench rows(net, std::string(kAdam) + "train 0 a.weight\nrows a.weight 0 1\ntrain 0 b.bias");
    std::vector<float> all(12, 3);
    net.params->write_moment("a.weight", 1, all.data(), 12);
    auto back = moment(net, "a.weight", 1);
    for (size_t i = 0; i < 12; i++) harness.expect(back[i] == (i < 3 ? 3 : 0), "element ", i, " is ", back[i]);
    harness.expect_error("has 2 moments; number 3", [&] { moment(net, "a.weight", 3); });
    harness.expect_error("has 12 elements, 5 came", [&] { net.params->write_moment("a.weight", 0, all.data(), 5); });
    net.write("a.weight", all);
    harness.expect(net.read("a.weight") == all, "a written value did not come back");
  });
}

void forms(Harness& harness) {
  auto image = [](Net& net) {
    net.graph.output("y", net.node("relu", "r", {net.norm("n", net.conv("c", net.input("x", {4, 5, 5, 3}), 8))}));
  };
  auto count = [](Net& net) {
    const std::string about = net.params->describe(), key = "\"key\":";
    int n = 0;
    for (size_t at = about.find(key); at != std::string::npos; at = about.find(key, at + 1)) n++;
    return n;
  };
  for (auto device : {reference_device(), cpu_device()})
    harness.test(text("plans share forms, which go with the last of them: ", device->column->name()), [&] {
      Net net(device);
      image(net);
      auto first = net.compile("batch 4");
      const int forms = count(net);
      harness.expect(forms >= 1 && first->memory().packed_new == first->memory().packed, "the first plan builds its forms");
      auto second = net.compile("batch 2");
      harness.expect(count(net) == forms && second->memory().packed_new == 0, "the second plan built forms of its own");
      first.reset();
      harness.expect(count(net) == forms, "a form went while a plan needs it");
      second.reset();
      harness.expect(count(net) == 0, "forms stay behind");
    });
  for (auto device : {reference_device(), cpu_device()})
    harness.test(text("a form follows writes and updates: ", device->column->name()), [&] {
      Net net(device);
      image(net);
      net.loss("loss", net.graph.find("r"));
      Bench eval(net, "batch 4\nkeep r");
      auto expect_fresh = [&](const char* when) {
        eval.run(GRAFT_FORWARD);
        auto seen = eval.read("r");
        Bench again(net, "batch 4\nfold 0\nfuse 0\nkeep r");
        again.run(GRAFT_FORWARD);
        expect_near(harness, when, again.read("r"), seen, 1e-5);
      };
      expect_fresh("at first");
      net.write("c.weight", net.values("other", 8 * 27));
      expect_fresh("after a write");
      net.write("n.running_var", std::vector<float>(8, 4.0f));
      expect_fresh("after a write of the folded norm");
      Bench train(net, "mode train\nbatch 4\noptimizer sgd\ntrain 0 c.weight\ntrack n.running_mean\ntrack n.running_var");
      train.run(GRAFT_STEP);
      expect_fresh("after an update");
    });
}

void removal(Harness& harness) {
  harness.test("a parameter is removed once no plan reads or trains it; its name may come back with another shape", [&] {
    Net net(cpu_device());
    two_layers(net);
    auto plan = net.compile("batch 4");
    harness.expect_error("a.weight is read by a plan", [&] { net.params->remove("a.weight"); });
    plan.reset();
    auto train = net.compile(std::string(kAdam) + "train 0 b.weight");
    harness.expect_error("b.weight is being trained", [&] { net.params->remove("b.weight"); });
    harness.expect_error("a.weight is read by a plan", [&] { net.params->remove("a.weight"); });
    train.reset();
    net.params->remove("a.weight");
    harness.expect_error("no parameter a.weight", [&] { net.params->remove("a.weight"); });
    harness.expect_error("no parameter a.weight", [&] { net.compile("batch 4"); });
    harness.expect(net.params->describe().find("a.weight") == std::string::npos, "it is still described: ", net.params->describe());
    net.params->declare("a.weight", {2, 2}, false, "method");
    net.write("a.weight", {1, 2, 3, 4});
    harness.expect(net.read("a.weight")[3] == 4 && net.read("a.bias").size() == 4, "the new one has other values");
    harness.expect_error("the graph expects", [&] { net.compile("batch 4"); });
  });
}

class File {
 public:
  File() {
    int descriptor = mkstemp(path);
    require(descriptor >= 0, "no file in /tmp");
    close(descriptor);
  }
  ~File() { unlink(path); }
  void write(const std::string& bytes) { std::ofstream(path, std::ios::binary) << bytes; }
  char path[32] = "/tmp/graft-weights-XXXXXX";
};

void files(Harness& harness) {
  for (DType type : {DType::F32, DType::BF16, DType::F64, DType::F16})
    harness.test(text("a file's bytes are read, converted and permuted: ", name_of(type)), [&] {
      std::vector<int> order{0, 1, 2, 3};
      do {
        Net net(reference_device());
        File file;
        const Shape stored{2, 3, 4, 5};
        Shape here{0, 0, 0, 0};
        for (int i = 0; i < 4; i++) here[i] = stored[order[i]];
        std::string bytes(7, 'x');  // what lies before
        for (int i = 0; i < 120; i++) {
          char element[8];
          put_element(element, type, 0, (i - 60) * 0.25);
          bytes.append(element, size_of(type));
        }
        file.write(bytes);
        net.params->declare("w", here, false, "checkpoint");
        net.params->source_file("w", {net.params->open_file(file.path), 7, type, stored, order});
        auto w = net.read("w");
        int64_t index[4];
        for (int64_t i = 0; i < 120; i++) {
          int64_t rest = i, stored_index[4] = {};
          for (int d = 3; d >= 0; d--) index[d] = rest % here[d], rest /= here[d];
          for (int d = 0; d < 4; d++) stored_index[order[d]] = index[d];
          int64_t at = ((stored_index[0] * 3 + stored_index[1]) * 4 + stored_index[2]) * 5 + stored_index[3];
          if (w[i] != static_cast<float>((at - 60) * 0.25)) return harness.fail("element ", i, " is ", w[i], ", expected ", (at - 60) * 0.25);
        }
      } while (std::next_permutation(order.begin(), order.end()));
    });
  harness.test("a file that shrinks is an error, not a crash", [&] {
    Net net(reference_device());
    File file;
    file.write(std::string(64, 0));
    net.params->declare("w", {4, 4}, false, "checkpoint");
    net.params->source_file("w", {net.params->open_file(file.path), 0, DType::F32, {4, 4}, {0, 1}});
    truncate(file.path, 40);
    harness.expect_error("ended at byte 40, 24 bytes were still expected", [&] { net.read("w"); });
    net.graph.output("y", net.node("linear", "y", {net.input("x", {1, 4}), net.graph.parameter("w", {4, 4})}));
    harness.expect_error("ended at byte 40", [&] { net.compile(""); });
  });
  harness.test("bytes outside of the file and other shapes are refused", [&] {
    Net net(reference_device());
    File file;
    file.write(std::string(64, 0));
    net.params->declare("w", {4, 4}, false, "checkpoint");
    auto bind = [&](int64_t offset, DType type, Shape shape) {
      net.params->source_file("w", {net.params->open_file(file.path), offset, type, shape, {0, 1}});
    };
    for (int64_t offset : {int64_t{1}, int64_t{-1}, INT64_MAX})
      harness.expect_error("lie outside", [&] { bind(offset, DType::F32, {4, 4}); });
    harness.expect_error("expected [4, 4]", [&] { bind(0, DType::F32, {4, 3}); });
    harness.expect_error("weights cannot be of type i32", [&] { bind(0, DType::I32, {4, 4}); });
    harness.expect_error("/none", [&] { net.params->open_file(std::string(file.path) + "/none"); });
    bind(0, DType::F32, {4, 4});
    harness.expect(largest(net.read("w")) == 0, "the file's zeros did not come");
  });
  harness.test("a frozen tensor of a file is held in its form alone; what trains cannot be bound to a file", [&] {
    Net net(cpu_device());
    File file;
    file.write(std::string(4 * 64 * 64, 0));
    net.params->declare("w", {64, 64}, false, "checkpoint");
    auto bind = [&] { net.params->source_file("w", {net.params->open_file(file.path), 0, DType::F32, {64, 64}, {0, 1}}); };
    bind();
    int y = net.node("linear", "y", {net.input("x", {4, 64}), net.graph.parameter("w", {64, 64})});
    net.loss("loss", y);
    auto plan = net.compile("batch 4");
    harness.expect(net.params->describe().find("\"where\":\"file\"") != std::string::npos, "the plain bytes were taken: ", net.params->describe());
    harness.expect(plan->memory().plain == 0, "plain memory: ", plan->memory().plain);
    for (const char* rows : {"", "\nrows w 0 2"}) {
      auto train = net.compile(std::string("mode train\nbatch 4\noptimizer sgd\ntrain 0 w") + rows);
      harness.expect_error("is being trained", bind);
    }
  });
}

}  // namespace

int main(int argc, char** argv) {
  Harness harness(argc, argv);
  stages(harness);
  forms(harness);
  removal(harness);
  files(harness);
  return harness.finish();
}
