// Sessions: workspaces, threads, results, diagnosis, and that running takes no memory.
#include "allocation_counter.h"

#include <fstream>
#include <thread>

#include "net.h"
#include "resident_pictures.h"

using namespace graft;
using namespace graft::test;

namespace {

void network(Net& net, int64_t channels = 8) {
  int x = net.node("relu", "r", {net.norm("n", net.conv("c", net.input("x", {4, 6, 6, 3}), channels))});
  int h = net.linear("head", net.node("global_pool", "pool", {x}), 3);
  net.node("softmax_cross_entropy", "loss", {h, net.input("label", {4}, DType::I32)});
  net.graph.output("logits", h);
}

const std::string kTrain = "mode train\nbatch 4\noptimizer sgd momentum=0.9\ntrain 0 c.weight\ntrain 0 head.weight\ntrain 0 head.bias\n";

size_t resident_kib() {
  std::ifstream status("/proc/self/status");
  std::string line;
  while (std::getline(status, line))
    if (line.rfind("VmRSS:", 0) == 0) return std::stoul(line.substr(6));
  return 0;
}

void workspaces(Harness& harness) {
  harness.test("a workspace grows under a session that is bound already", [&] {
    Net small(reference_device()), large(small.device);
    network(small);
    network(large, 64);
    Bench alone(small, kTrain);
    alone.run(GRAFT_FORWARD);
    auto expected = alone.read("logits");
    Bench first(small, kTrain);
    first.run(GRAFT_FORWARD);
    Bench second(large, kTrain, first.workspace);
    harness.expect(second.workspace->bytes() >= second.plan->arena_bytes(), "the workspace did not grow");
    first.feed();
    first.run(GRAFT_FORWARD);
    harness.expect(first.read("logits") == expected, "another result after the workspace grew");
  });
  harness.test("two plans take turns in one workspace", [&] {
    Net net(reference_device());
    network(net);
    auto workspace = std::make_shared<Workspace>(net.device);
    Bench train(net, kTrain, workspace), eval(net, "batch 4", workspace);
    Bench alone(net, "batch 4");
    for (int i = 0; i < 3; i++) {
      train.feed();
      train.run(GRAFT_STEP);
      eval.feed();
      eval.run(GRAFT_FORWARD);
      alone.run(GRAFT_FORWARD);
      harness.expect(eval.read("logits") == alone.read("logits"), "another result in the shared workspace");
    }
    harness.expect(workspace->bytes() == std::max(train.plan->arena_bytes(), eval.plan->arena_bytes()), "the workspace has ", workspace->bytes(), " bytes");
  });
  harness.test("a workspace of another device is refused", [&] {
    Net net(reference_device()), other(reference_device());
    network(net);
    harness.expect_error("the workspace belongs to another device", [&] { Session(net.compile("batch 4"), std::make_shared<Workspace>(other.device)); });
  });
}

void threads(Harness& harness) {
  for (auto device : {reference_device(3), cpu_device(3)})
    harness.test(text("eight threads predict while another trains on the same store: ", device->column->name()), [&] {
      Net net(device);
      network(net);
      Bench train(net, kTrain);
      std::vector<std::unique_ptr<Bench>> readers;
      for (int i = 0; i < 8; i++) readers.push_back(std::make_unique<Bench>(net, "batch 4"));
      std::atomic<int> failures{0};
      auto guarded = [&](auto body) {
        try {
          body();
        } catch (...) {
          failures++;
        }
      };
      std::vector<std::thread> all;
      for (auto& reader : readers)
        all.emplace_back([&, r = reader.get()] {
          guarded([&] {
            for (int i = 0; i < 30; i++) {
              r->run(GRAFT_FORWARD);
              for (float v : r->read("logits"))
                if (!std::isfinite(v)) failures++;
            }
          });
        });
      all.emplace_back([&] { guarded([&] { for (int i = 0; i < 30; i++) train.run(GRAFT_STEP); }); });
      all.emplace_back([&] { guarded([&] { for (int i = 0; i < 30; i++) net.read("c.weight"), net.params->describe(); }); });
      for (auto& t : all) t.join();
      harness.expect(failures == 0, failures.load(), " failures");
      Bench fresh(net, "batch 4");
      fresh.run(GRAFT_FORWARD);
      for (auto& reader : readers) {
        reader->run(GRAFT_FORWARD);
        harness.expect(reader->read("logits") == fresh.read("logits"), "a reader sees old weights");
      }
    });
}

void results(Harness& harness) {
  harness.test("loss, correct rows, gradient norm and update norms are those of the run", [&] {
    Net net(reference_device());
    network(net);
    Bench bench(net, "mode train\nbatch 4\noptimizer sgd clip=1,watch=1\ntrain 0 head.weight\ntrain 0 head.bias");
    auto before = net.read("head.weight");
    bench.session.rows(3, nullptr, nullptr);
    bench.run(GRAFT_STEP);
    auto logits = bench.read("logits");
    double loss = 0, correct = 0, squares = 0;
    for (int r = 0; r < 3; r++) {
      double sum = 0, most = -1e9;
      int best = 0, label = r % 3;
      for (int k = 0; k < 3; k++) {
        sum += std::exp(logits[3 * r + k]);
        if (logits[3 * r + k] > most) most = logits[3 * r + k], best = k;
      }
      loss += (std::log(sum) - logits[3 * r + label]) / 3;
      correct += best == label;
    }
    for (const char* name : {"gradient:head.weight", "gradient:head.bias"})
      for (float g : bench.read(name)) squares += static_cast<double>(g) * g;
    std::vector<double> got(3), norms(4);
    bench.session.results(got.data(), 3);
    harness.expect_close("results", {loss, correct, std::sqrt(squares)}, got, 1e-5, 1e-3);
    bench.session.update_norms(norms.data(), 4);
    auto after = net.read("head.weight");
    double moved = 0, weight = 0;
    for (size_t i = 0; i < after.size(); i++) {
      moved += std::pow(static_cast<double>(after[i]) - before[i], 2);
      weight += std::pow(static_cast<double>(before[i]), 2);
    }
    harness.expect_close("norms", {std::sqrt(moved), std::sqrt(weight)}, {norms[0], norms[1]}, 1e-5, 1e-3);
    harness.expect_error("results are 3 numbers, room for 2", [&] { bench.session.results(got.data(), 2); });
  });
  harness.test("wrong sizes, names, rows and numbers are refused by name", [&] {
    Net net(reference_device());
    network(net);
    Bench bench(net, kTrain);
    float x[12] = {};
    harness.expect_error("no input y; the plan has: label, x", [&] { bench.session.write("y", x, 4); });
    harness.expect_error("input x [4, 6, 6, 3] of f32 takes 1728 bytes, 48 came", [&] { bench.session.write("x", x, 48); });
    harness.expect_error("this plan keeps no value logit; nearest is logits", [&] { bench.read("logit"); });
    harness.expect_error("value logits [4, 3] is 48 bytes, room for 4", [&] { bench.session.read("logits", x, 4); });
    for (int rows : {0, 5, -1}) {
      *static_cast<int32_t*>(bench.session.numbers("valid_rows").first) = rows;
      harness.expect_error("expected 1 to the batch, 4", [&] { bench.run(GRAFT_FORWARD); });
    }
    bench.session.rows(4, nullptr, nullptr);
    harness.expect_error("the step block has no lr; nearest is", [&] { bench.session.numbers("lr"); });
    for (int64_t count : {int64_t{-1}, INT64_MAX}) harness.expect_error("expected a number from 0 to 2^53", [&] { bench.session.updates(count); });
    for (int phases : {0, 8, -1}) harness.expect_error("phases are", [&] { bench.run(phases); });
    harness.expect_error("without watch=1", [&] { bench.session.numbers("update_norms"); });
  });
}

void average(Harness& harness) {
  for (auto device : {reference_device(), cpu_device()})
    harness.test(text("the moving average follows the weights from what they began as: ", device->column->name()), [&] {
      Net net(device);
      network(net);
      const double keep = 0.75;
      const std::string train = text("mode train\nbatch 4\noptimizer sgd momentum=0.9,average=", keep, "\ntrain 0 c.weight\n");
      auto averaged = [&](const std::string& name) {
        std::vector<float> v(net.read(name).size());
        net.params->read_moment(name, GRAFT_AVERAGE, v.data(), static_cast<int64_t>(v.size()));
        return v;
      };
      std::vector<double> expected = widen(net.read("c.weight"));
      auto follow = [&] {
        const auto w = net.read("c.weight");
        for (size_t i = 0; i < w.size(); i++) expected[i] = keep * expected[i] + (1 - keep) * w[i];
      };
      Bench bench(net, train);
      harness.expect(averaged("c.weight") == net.read("c.weight"), "it begins as something else");
      for (int step = 0; step < 4; step++) bench.run(GRAFT_STEP), follow();
      harness.expect_close("after four steps", expected, widen(averaged("c.weight")), 1e-6, 1);
      // Another set of trainables: what stays keeps its average, what joins begins as it is, rows that do not train are those of the weights.
      const auto head = net.read("head.weight");
      Bench more(net, train + "train 0 head.weight\nrows head.weight 1 2\n");
      harness.expect_close("with another tensor", expected, widen(averaged("c.weight")), 1e-6, 1);
      harness.expect(averaged("head.weight") == head, "the new tensor's begins as something else");
      more.run(GRAFT_STEP), follow();
      harness.expect_close("after a step of both", expected, widen(averaged("c.weight")), 1e-6, 1);
      const auto after = averaged("head.weight");
      const size_t row = after.size() / 3;
      harness.expect(std::equal(after.begin(), after.begin() + static_cast<long>(row), head.begin()) && after[row] != head[row], "wrong rows moved");
      harness.expect_error("average is 1; expected 0 <= average < 1", [&] { net.compile("mode train\nbatch 4\noptimizer sgd average=1\ntrain 0 c.weight"); });
      Net without(device);
      network(without);
      Bench plain(without, "mode train\nbatch 4\noptimizer sgd\ntrain 0 c.weight");
      std::vector<float> v(8 * 9 * 3);
      harness.expect_error("c.weight has no moving average", [&] { without.params->read_moment("c.weight", GRAFT_AVERAGE, v.data(), 8 * 9 * 3); });
    });
}

void resident(Harness& harness) {
  harness.test("a picture that stays on the device is trained on as one that is written every step", [&] {
    residents(harness, reference_device());
  });
  harness.test("the same on the CPU column", [&] { residents(harness, cpu_device()); });
  harness.test("resident inputs are refused by name where they cannot be", [&] {
    Net net(reference_device());
    pictures_net(net, 6, true);
    harness.expect_error("resident pixel is no input of the graph", [&] { net.compile("batch 4\nresident pixel"); });
    Session session(net.compile("batch 4\nresident pictures"), std::make_shared<Workspace>(net.device));
    char part[8] = {};
    harness.expect_error("windows is no resident input", [&] { session.write_part("windows", 0, part, 8); });
    harness.expect_error("has 1008 bytes, 8 came for byte 1002 on", [&] { session.write_part("pictures", 1002, part, 8); });
    harness.expect_error("the first dimension is no multiple of the batch", [&] { net.compile("batch 4"); });
  });
}

void diagnosis(Harness& harness) {
  auto finds = [&](const std::string& name, const std::string& expected, const std::string& options, auto spoil) {
    for (auto device : {reference_device(), cpu_device()})
      harness.test(text("the first value that is not finite: ", name, " on ", device->column->name()), [&] {
        Net net(device);
        network(net);
        Bench bench(net, options);
        harness.expect(bench.session.find_nonfinite(GRAFT_STEP).empty(), "found in a sound run");
        spoil(net, bench);
        std::string found = bench.session.find_nonfinite(GRAFT_STEP);
        harness.expect(found == expected, "expected ", expected, ", got \"", found, "\"");
      });
  };
  auto set_nan = [](const char* parameter) {
    return [parameter](Net& net, Bench&) {
      auto v = net.read(parameter);
      v[0] = NAN;
      net.write(parameter, v);
    };
  };
  finds("a trained weight", "c.weight", kTrain, set_nan("c.weight"));
  finds("a frozen weight", "c.weight", "batch 4", set_nan("c.weight"));
  finds("a folded norm", "n.running_var", "batch 4", set_nan("n.running_var"));
  finds("an input", "x", kTrain, [](Net& net, Bench& bench) {
    auto v = net.values("input x", 4 * 6 * 6 * 3);
    v[5] = INFINITY;
    bench.session.write("x", v.data(), 4 * v.size());
  });
  finds("an activation", "head", kTrain, [](Net& net, Bench&) {
    net.write("head.weight", std::vector<float>(24, 3e38f));
    net.write("n.bias", std::vector<float>(8, 1e6f));
  });
  for (auto device : {reference_device(), cpu_device()})
    for (const char* accumulate : {"accumulate 0", "accumulate 1"})
      harness.test(text("a step whose loss is not finite updates nothing, the next one does: ", device->column->name(), ", ", accumulate), [&] {
        Net net(device), sound(device);
        network(net);
        network(sound);
        Bench bench(net, kTrain + accumulate), expected(sound, kTrain + accumulate);
        bench.run(GRAFT_STEP);
        expected.run(GRAFT_STEP);
        const auto bias = net.read("head.bias");
        net.write("head.bias", {NAN, 0, 0});
        bench.run(GRAFT_STEP);
        harness.expect(std::isnan(bench.loss()), "the loss is ", bench.loss());
        harness.expect(std::isnan(bench.read("gradient:head.bias")[0]), "the gradients are gone before anybody could look at them");
        for (const char* name : {"c.weight", "head.weight"}) harness.expect(net.read(name) == sound.read(name), name, " changed");
        std::string found = bench.session.find_nonfinite(GRAFT_STEP);
        harness.expect(found == "head.bias", "expected head.bias, got \"", found, "\"");
        net.write("head.bias", bias);
        bench.run(GRAFT_STEP);
        expected.run(GRAFT_STEP);
        for (const char* name : {"c.weight", "head.weight", "head.bias"})
          harness.expect(net.read(name) == sound.read(name), name, " differs after the next step");
      });
  finds("a gradient", "gradient:head", "mode train\nbatch 4\ntrain 0 head.bias", [](Net&, Bench& bench) { bench.session.set("loss_weight", 0, 3e39); });
}

void memory(Harness& harness) {
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  harness.test("the counter counts", [&] {
    allocations = 0;
    counting = true;
    std::vector<int>* made = new std::vector<int>(100);
    counting = false;
    delete made;
    harness.expect(allocations == 2, "two allocations were counted as ", allocations.load());
  });
#endif
  for (auto device : {reference_device(), cpu_device()})
    harness.test(text("a run allocates nothing: ", device->column->name()), [&] {
      Net net(device);
      network(net);
      Bench train(net, kTrain + "track n.running_mean\ntrack n.running_var\n"), eval(net, "batch 4");
      std::vector<float> x = net.values("input x", 4 * 6 * 6 * 3);
      double r[3];
      auto step = [&] {
        train.session.write("x", x.data(), 4 * x.size());
        train.session.set("rate", 0, 0.01);
        train.run(GRAFT_STEP);
        train.session.results(r, 3);
      };
      for (int i = 0; i < 3; i++) step();
      eval.run(GRAFT_FORWARD);
      allocations = 0;
      counting = true;
      for (int i = 0; i < 20; i++) step();
      counting = false;
      harness.expect(allocations == 0, allocations.load() / 20.0, " allocations per training step");
      eval.run(GRAFT_FORWARD);
      allocations = 0;
      counting = true;
      for (int i = 0; i < 20; i++) eval.run(GRAFT_FORWARD);
      counting = false;
      harness.expect(allocations == 0, allocations.load() / 20.0, " allocations per prediction");
    });
  harness.test("ten thousand steps in the same memory", [&] {
    Net net(reference_device());
    net.loss("loss", net.linear("fc", net.input("x", {2, 3}), 2));
    Bench bench(net, "mode train\nbatch 2\noptimizer adam\ntrain 0 fc.weight\ntrain 0 fc.bias");
    bench.session.set("rate", 0, 1e-3);
    auto steps = [&](int n) { while (n-- > 0) bench.feed(), bench.run(GRAFT_STEP); };
    steps(1000);
    size_t before = resident_kib();
    steps(9000);
    size_t after = resident_kib();
#ifdef __SANITIZE_ADDRESS__  // which keeps freed memory back
    const size_t slack = size_t{64} << 10;
#else
    const size_t slack = 512;
#endif
    harness.expect(after <= before + slack, "grew from ", before, " to ", after, " KiB");
    harness.expect(std::isfinite(bench.loss()), "the loss is ", bench.loss());
  });
  harness.test("a profile names each step of the phases once", [&] {
    Net net(reference_device());
    network(net);
    Bench bench(net, kTrain);
    std::string all = bench.session.profile(GRAFT_STEP);
    size_t n = 0;
    for (size_t at = all.find("\"microseconds\":"); at != std::string::npos; at = all.find("\"microseconds\":", at + 1)) n++;
    harness.expect(n == bench.plan->steps().size(), n, " of ", bench.plan->steps().size(), " steps in ", all);
    harness.expect(bench.session.profile(GRAFT_FORWARD).find("\"pass\":\"backward\"") == std::string::npos, "forward ran backward");
  });
}

}  // namespace

int main(int argc, char** argv) {
  Harness harness(argc, argv);
  workspaces(harness);
  threads(harness);
  results(harness);
  average(harness);
  resident(harness);
  diagnosis(harness);
  memory(harness);
  return harness.finish();
}
