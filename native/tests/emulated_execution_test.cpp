// How sessions run on the CUDA column, under emulation: recordings and what may change between replays, the update that a device leaves
// out by itself, faults and who is named for them, how many calls of the runtime a step takes.
#include "cuda/column.h"
#include "cuda/emulated/streams.h"
#include "net.h"
#include "resident_pictures.h"

using namespace graft;
using namespace graft::test;

namespace {

std::shared_ptr<Device> cuda() { return std::make_shared<Device>(make_cuda_column(0), 1, 1); }

// Sets a variable of the environment while it lives; sessions read it when they are made.
class Setting {
 public:
  Setting(const char* name, const char* value) : name_(name) { setenv(name, value, 1); }
  ~Setting() { unsetenv(name_); }

 private:
  const char* name_;
};

void network(Net& net) {
  int x = net.node("relu", "r", {net.norm("n", net.conv("c", net.input("x", {4, 6, 6, 3}), 8))});
  x = net.node("max_pool", "half", {x}, "kernel_h=2,kernel_w=2,stride_h=2,stride_w=2");
  x = net.node("add", "sum", {x, net.norm("n2", net.conv("c2", x, 8))});
  int h = net.linear("head", net.node("dropout", "drop", {net.node("global_pool", "pool", {x})}, "rate=0.3"), 3);
  net.node("softmax_cross_entropy", "loss", {h, net.input("label", {4}, DType::I32)});
  net.graph.output("logits", h);
}

const std::string kAll = "mode train\nbatch 4\noptimizer adamw clip=1,anchor=1,watch=1\ntrain 0 c.weight\ntrain 0 c2.weight\ntrain 0 head.weight\n"
                         "rows head.weight 1 3\ntrain 0 head.bias\ntrack n.running_mean\ntrack n.running_var\nkeep pool\n";
const std::string kPlain = "mode train\nbatch 4\noptimizer sgd momentum=0.9\ntrain 0 c.weight\ntrain 0 head.weight\ntrain 0 head.bias\n";

// Everything that differs from step to step.
void vary(Bench& bench, int step) {
  bench.session.set("rate", 0, 0.1 / (step + 1));
  bench.session.set("decay", 0, 0.01 * step);
  bench.session.set("seed", 0, 77 * step + 5);
  bench.session.set("visit", 0, step / 2);
  bench.session.set("clip", 0, step % 2 ? 0.5 : 0);
  bench.session.set("loss_weight", 0, 1 + 0.25 * step);
  const float weights[] = {1, 0.5f * static_cast<float>(step + 1), 1, 2};
  const int64_t ids[] = {10 + step, 3, 8 * step, 1};
  bench.session.rows(step % 3 == 0 ? 4 : 3, weights, ids);
  std::vector<float> x = bench.net.values(text("x", step), 4 * 6 * 6 * 3);
  bench.session.write("x", x.data(), 4 * x.size());
}

struct Seen {
  std::vector<double> results;
  std::vector<std::vector<float>> values;
};

Seen look(Bench& bench) {
  Seen seen;
  seen.results.resize(2 * bench.plan->sizes().losses + 1);
  bench.session.results(seen.results.data(), static_cast<int>(seen.results.size()));
  for (const char* name : {"logits", "gradient:c.weight", "gradient:head.weight"}) seen.values.push_back(bench.read(name));
  for (const char* name : {"c.weight", "head.weight", "head.bias", "n.running_mean"}) seen.values.push_back(bench.net.read(name));
  return seen;
}

bool same_bits(const Seen& a, const Seen& b) {
  bool same = std::memcmp(a.results.data(), b.results.data(), 8 * a.results.size()) == 0;
  for (size_t i = 0; i < a.values.size(); i++)
    same = same && a.values[i].size() == b.values[i].size() && std::memcmp(a.values[i].data(), b.values[i].data(), 4 * a.values[i].size()) == 0;
  return same;
}

void replays(Harness& harness) {
  for (uint64_t lazy : {0ull, ~0ull, 0x5555555555555555ull, 0xAAAAAAAAAAAAAAAAull})
    for (const char* more : {"accumulate 0", "accumulate 1", "accumulate 0\nprecision bf16"}) {
      if (lazy != 0 && std::string(more) != "accumulate 0") continue;
      harness.test(text("a replayed step gives the bits of one that is launched, with other rates, seeds and rows: ", more, ", lazy streams ", lazy), [&] {
        emulated::make_lazy(lazy);
        Net launched(cuda(), harness.seed()), replayed(cuda(), harness.seed());
        network(launched), network(replayed);
        auto bench = [&](Net& net, const char* graph) {
          Setting setting("GRAFT_GRAPH", graph);
          return std::make_unique<Bench>(net, kAll + more);
        };
        auto one = bench(launched, "0"), other = bench(replayed, "1");
        for (int step = 0; step < 6; step++) {
          for (Bench* b : {one.get(), other.get()}) {
            vary(*b, step);
            b->run(GRAFT_STEP);
          }
          harness.expect(one->session.recordings() == 0, "a step was recorded although GRAFT_GRAPH is 0");
          harness.expect(other->session.recordings() == (step == 0 ? 0 : 1), other->session.recordings(), " recordings after step ", step);
          harness.expect(same_bits(look(*one), look(*other)), "step ", step, " differs");
        }
        emulated::make_lazy(0);
      });
    }
  harness.test("steps on the CUDA column are those of the reference", [&] {
    Net net(cuda(), harness.seed()), expected(reference_device(), harness.seed());
    network(net), network(expected);
    Bench bench(net, kAll), reference(expected, kAll);
    for (int step = 0; step < 4; step++) {
      for (Bench* b : {&bench, &reference}) {
        vary(*b, step);
        b->run(GRAFT_STEP);
      }
      Seen a = look(bench), b = look(reference);
      harness.expect_close("results", b.results, a.results, 1e-4, 1);
      // Adam divides by the root of squares near zero, so small gradients may differ in sign of what they move.
      expect_near(harness, "logits", b.values[0], a.values[0], 2e-2);
    }
  });
  harness.test("phases apart and a workspace that grows record anew", [&] {
    Net net(cuda(), harness.seed()), same(cuda(), harness.seed());
    network(net), network(same);
    Bench bench(net, kPlain + "accumulate 1"), once(same, kPlain + "accumulate 1");
    for (int step = 0; step < 4; step++) {
      vary(bench, step), vary(once, step);
      bench.run(GRAFT_FORWARD | GRAFT_GRADIENTS), bench.run(GRAFT_UPDATE);
      once.run(GRAFT_STEP);
      if (step == 1) {
        bench.workspace->reserve(2 * bench.workspace->bytes());
        bench.feed();
      }
      for (const char* name : {"c.weight", "head.weight", "head.bias"}) harness.expect(net.read(name) == same.read(name), name, " differs after step ", step);
    }
    harness.expect(bench.session.recordings() == 2, bench.session.recordings(), " recordings");
  });
  harness.test("frozen weights that are written take part in the next replay", [&] {
    Net net(cuda(), harness.seed()), fresh(cuda(), harness.seed());
    network(net), network(fresh);
    Bench bench(net, "batch 4");
    for (int i = 0; i < 3; i++) bench.run(GRAFT_FORWARD);
    const auto weights = net.values("other", 8 * 9 * 3);
    net.write("c.weight", weights), fresh.write("c.weight", weights);
    bench.run(GRAFT_FORWARD);
    Bench expected(fresh, "batch 4");
    expected.run(GRAFT_FORWARD);
    harness.expect(bench.session.recordings() == 1 && bench.read("logits") == expected.read("logits"), "an old weight was read");
  });
}

void overlapped(Harness& harness) {
  // Streams of a column: 0 its own, 1 that of recordings, 2 that of copies.
  for (uint64_t lazy : {0u, 1u, 4u, 5u})
    harness.test(text("inputs that are taken while a step runs are the next step's: lazy streams ", lazy), [&] {
      emulated::make_lazy(lazy);
      Net net(cuda(), harness.seed());
      emulated::make_lazy(lazy);
      Net same(cuda(), harness.seed());
      network(net), network(same);
      Bench ahead(net, kPlain), apart(same, kPlain);
      std::vector<std::vector<float>> x;
      for (int i = 0; i < 7; i++) x.push_back(net.values(text("x", i), 4 * 6 * 6 * 3));
      ahead.session.write("x", x[0].data(), 4 * x[0].size());
      for (int i = 0; i < 6; i++) {
        std::vector<float> passed = x[i + 1];
        const Session::Next next{"x", passed.data(), 4 * passed.size()};
        ahead.session.run(GRAFT_STEP, &next, 1);
        passed.assign(passed.size(), NAN);  // the caller's again
        apart.session.write("x", x[i].data(), 4 * x[i].size());
        apart.run(GRAFT_STEP);
        harness.expect(ahead.loss() == apart.loss() && std::isfinite(ahead.loss()), "step ", i, ": loss ", ahead.loss(), ", apart ", apart.loss());
      }
      harness.expect(net.read("c.weight") == same.read("c.weight"), "weights differ");
      emulated::make_lazy(0);
    });
  for (uint64_t lazy : {0u, 1u, 4u})
    harness.test(text("a feed larger than its ring, taken twice before it is delivered: lazy streams ", lazy), [&] {
      emulated::make_lazy(lazy);
      auto column = make_cuda_column(0);
      emulated::make_lazy(0);
      const size_t bytes = (size_t{21} << 20) + 12;
      auto feed = column->feed(bytes);
      void* to = column->allocate(bytes);
      std::string a(bytes, 0), b(bytes, 0), back(bytes, 0);
      for (size_t i = 0; i < bytes; i++) a[i] = static_cast<char>(i % 251), b[i] = static_cast<char>(i % 241);
      feed->take(b.data());
      feed->take(a.data());
      feed->deliver(to);
      feed->take(b.data());  // may not reach what is on its way
      column->copy_out(back.data(), to, bytes);
      harness.expect(back == a, "not what was taken last");
      feed->deliver(to);
      column->copy_out(back.data(), to, bytes);
      harness.expect(back == b, "not the next content");
      column->release(to, bytes);
    });
  harness.test("inputs of a next run that are wrong are refused before the run", [&] {
    for (auto device : {cuda(), reference_device()}) {
      Net net(device);
      network(net);
      Bench bench(net, kPlain);
      const auto before = net.read("c.weight");
      float few[4] = {};
      const Session::Next next{"x", few, 16};
      harness.expect_error("input x [4, 6, 6, 3] of f32 takes 1728 bytes, 16 came", [&] { bench.session.run(GRAFT_STEP, &next, 1); });
      harness.expect(net.read("c.weight") == before, "a step was made");
    }
  });
}

void resident(Harness& harness) {
  for (uint64_t lazy : {0ull, ~0ull})
    harness.test(text("a picture that stays on the device is trained on as one that is written every step: lazy streams ", lazy), [&] {
      emulated::make_lazy(lazy);
      residents(harness, cuda());
      emulated::make_lazy(0);
    });
}

void left_out(Harness& harness) {
  for (auto device : {cuda(), reference_device(), cpu_device()})
    harness.test(text("after a loss that is not finite the next run still reads the inputs of this one: ", device->column->name()), [&] {
      Net net(device);
      network(net);
      Bench bench(net, kPlain);
      for (int i = 0; i < 2; i++) bench.run(GRAFT_STEP);
      std::vector<float> bad = net.values("bad", 4 * 6 * 6 * 3), sound = net.values("sound", 4 * 6 * 6 * 3);
      bad[7] = NAN;
      bench.session.write("x", bad.data(), 4 * bad.size());
      const Session::Next next{"x", sound.data(), 4 * sound.size()};
      bench.session.run(GRAFT_STEP, &next, 1);
      harness.expect(std::isnan(bench.loss()), "the loss is ", bench.loss());
      const std::string found = bench.session.find_nonfinite(GRAFT_FORWARD);
      harness.expect(found == "x", "expected x, got \"", found, "\"");
    });
  for (const char* graph : {"0", "1"})
    for (const char* accumulate : {"accumulate 0", "accumulate 1"})
      harness.test(text("a step whose loss is not finite updates nothing, the next one does: GRAFT_GRAPH=", graph, ", ", accumulate), [&] {
        Setting setting("GRAFT_GRAPH", graph);
        Net net(cuda()), sound(cuda());
        network(net), network(sound);
        const std::string options = "mode train\nbatch 4\noptimizer adam clip=1,watch=1\ntrain 0 c.weight\ntrain 0 head.weight\ntrain 0 head.bias\n";
        Bench bench(net, options + accumulate), expected(sound, options + accumulate);
        for (int i = 0; i < 3; i++) bench.run(GRAFT_STEP), expected.run(GRAFT_STEP);
        const auto bias = net.read("head.bias");
        std::vector<float> moment(bias.size()), after(bias.size());
        net.params->read_moment("head.bias", 1, moment.data(), 3);
        std::vector<double> norms(6), norms_after(6);
        bench.session.update_norms(norms.data(), 6);
        net.write("head.bias", {NAN, 0, 0});
        bench.run(GRAFT_STEP);
        harness.expect(std::isnan(bench.loss()), "the loss is ", bench.loss());
        harness.expect(std::isnan(bench.read("gradient:head.bias")[0]), "the gradients are gone before anybody could look at them");
        for (const char* name : {"c.weight", "head.weight"}) harness.expect(net.read(name) == sound.read(name), name, " changed");
        net.params->read_moment("head.bias", 1, after.data(), 3);
        bench.session.update_norms(norms_after.data(), 6);
        harness.expect(moment == after && norms == norms_after, "a moment or the norms changed");
        net.write("head.bias", bias);
        bench.run(GRAFT_STEP), expected.run(GRAFT_STEP);
        for (const char* name : {"c.weight", "head.weight", "head.bias"})
          harness.expect(net.read(name) == sound.read(name), name, " differs after the next step");
      });
}

void memory(Harness& harness) {
  harness.test("memory that somebody took since the plan was compiled is told with the plan's groups", [&] {
    Net net(cuda());
    int x = net.input("x", {64, 1 << 14});
    x = net.node("relu", "r", {x});
    net.graph.output("y", net.linear("fc", x, 3));
    auto plan = net.compile("batch 64");
    const size_t taken = net.device->column->available_bytes() - (1 << 20);
    void* p = net.device->column->allocate(taken);
    harness.expect_error(" are free, less than when the plan was compiled; at batch 64 it takes", [&] { Session(plan, std::make_shared<Workspace>(net.device)); });
    harness.expect_error("; in 1 MiB a batch of about ", [&] { Session(plan, std::make_shared<Workspace>(net.device)); });
    harness.expect_error("MiB: arena ", [&] { Session(plan, std::make_shared<Workspace>(net.device)); });
    harness.expect_error(" and 1 MiB are available: arena ", [&] { net.compile("batch 64\nkeep r"); });
    harness.expect_error("; at batch 64, a batch of about ", [&] { net.compile("batch 64\nkeep r"); });
    net.device->column->release(p, taken);
    Session(plan, std::make_shared<Workspace>(net.device)).run(GRAFT_FORWARD);
  });
}

void growth(Harness& harness) {
  // A session of little memory in a workspace, and how much of the device's memory another takes in parts of the workspace's.
  for (const char* what : {"both fit", "the larger alone fits", "not even the larger fits"})
    harness.test(text("a workspace is asked for more, and ", what), [&] {
      Net net(cuda());
      network(net);
      Bench bench(net, kPlain);
      bench.run(GRAFT_STEP);
      Column& column = *net.device->column;
      const size_t small = size_t{8} << 20, large = size_t{12} << 20;
      bench.workspace->reserve(small);
      const size_t leave = what[0] == 'b' ? 2 * large : what[0] == 't' ? 3 * small / 4 : small / 4;
      const size_t taken = column.available_bytes() - leave;
      void* p = column.allocate(taken);
      if (what[0] == 'n') harness.expect_error("refused 12582912 bytes", [&] { bench.workspace->reserve(large); });
      else bench.workspace->reserve(large);
      harness.expect(bench.workspace->bytes() == (what[0] == 'n' ? small : large), "the workspace has ", bench.workspace->bytes(), " bytes");
      bench.feed();
      bench.run(GRAFT_STEP);
      harness.expect(std::isfinite(bench.loss()), "the loss is ", bench.loss());
      column.release(p, taken);
    });
}

// Everything that compiling, a session and its runs allocate is refused once, one allocation after the other.
void refused(Harness& harness) {
  harness.test("any allocation that is refused is an error of memory, and the next attempt works", [&] {
    std::vector<float> expected;
    int refusals = 0, with_groups = 0;
    for (int64_t n = 0;; n++) {
      Net net(cuda());
      network(net);
      auto device = net.device;
      const auto attempt = [&] {
        Bench bench(net, kPlain);
        for (int i = 0; i < 4; i++) bench.run(GRAFT_STEP);
        bench.session.run(GRAFT_FORWARD);
        return net.read("c.weight");
      };
      std::vector<float> got;
      emulated::refuse(n);
      try {
        got = attempt();
      } catch (const Error& e) {
        const std::string message = e.what();
        harness.expect(e.status() == GRAFT_OUT_OF_MEMORY, "allocation ", n, ": status ", e.status(), ": ", message);
        harness.expect(message.find('\n') == std::string::npos, "allocation ", n, ": more than a line: ", message);
        with_groups += message.find("it takes ") != std::string::npos && message.find(": arena ") != std::string::npos && message.find(" fit") != std::string::npos;
      }
      const bool was = emulated::refuse(0);
      if (n == 0) {
        expected = got;
        continue;
      }
      harness.expect(was == got.empty(), "allocation ", n, was ? " was refused and nobody minded" : " failed unrefused");
      if (!was) break;
      refusals++;
      Net fresh(device, 1);
      if (n % 4 == 1) {  // the device, and what stood before on it, serve on
        network(fresh);
        Bench bench(fresh, kPlain);
        for (int i = 0; i < 4; i++) bench.run(GRAFT_STEP);
        harness.expect(fresh.read("c.weight") == expected, "after allocation ", n, " was refused a run gives other weights");
      }
    }
    std::printf("%d allocations refused, %d told with the plan's groups\n", refusals, with_groups);
    harness.expect(with_groups >= 5, "only ", with_groups, " refusals are told with groups");
  });
  harness.test("a workspace whose memory another took says so to who is bound to it, and serves again when there is some", [&] {
    Net net(cuda());
    int x = net.input("x", {64, 1 << 14});
    net.graph.output("y", net.linear("fc", net.node("relu", "r", {x}), 3));
    auto workspace = std::make_shared<Workspace>(net.device);
    Session session(net.compile("batch 64"), workspace);
    session.run(GRAFT_FORWARD);
    const size_t bytes = workspace->bytes();
    emulated::refuse(1, 3);
    harness.expect_error("refused", [&] { workspace->reserve(2 * bytes); });
    emulated::refuse(0);
    harness.expect_error("the workspace lost its memory", [&] { session.run(GRAFT_FORWARD); });
    workspace->reserve(bytes);
    session.run(GRAFT_FORWARD);
  });
}

void calls(Harness& harness) {
  harness.test("a replayed step takes the same few calls of the runtime whatever the plan", [&] {
    const int64_t most = 6;
    for (int layers : {1, 6}) {
      Net net(cuda());
      int x = net.input("x", {2, 8});
      for (int i = 0; i < layers; i++) x = net.node("relu", text("r", i), {net.linear(text("fc", i), x, 8)});
      net.loss("loss", x);
      Bench bench(net, "mode train\nbatch 2\noptimizer adamw clip=1\ntrain 0 fc0.weight\ntrain 0 fc0.bias");
      for (int i = 0; i < 3; i++) bench.run(GRAFT_STEP);
      const int64_t before = emulated::host_calls();
      for (int i = 0; i < 10; i++) {
        bench.session.set("rate", 0, 0.1 * i);
        bench.run(GRAFT_STEP);
      }
      const int64_t used = emulated::host_calls() - before;
      if (layers == 6) std::printf("calls of the CUDA runtime in a replayed step of %zu kernels' steps: %g\n", bench.plan->steps().size(), used / 10.0);
      const double host = *static_cast<const double*>(bench.session.numbers("host_seconds").first);
      harness.expect(host > 0 && host < 10, "the host's time in a step is ", host, " s");
      harness.expect(used <= 10 * most, used / 10.0, " calls in a step of a plan of ", bench.plan->steps().size(), " steps; at most ", most, " were expected");
    }
  });
}

void faults(Harness& harness) {
  for (uint64_t lazy : {0ull, ~0ull})
    harness.test(text("a fault names the plan, and later calls that the device takes no more work: lazy streams ", lazy), [&] {
      emulated::make_lazy(lazy);
      Net net(cuda());
      network(net);
      Bench bench(net, kPlain);
      for (int i = 0; i < 2; i++) bench.run(GRAFT_STEP);
      emulated::fault_at(3);
      harness.expect_error("plan train, batch 4, f32, ", [&] { bench.run(GRAFT_STEP); });
      harness.expect_error("CUDA device 0 takes no more work from this process since an earlier fault: plan train, batch 4", [&] { bench.run(GRAFT_STEP); });
      harness.expect_error("the device takes no more work from this process", [&] { bench.feed(); });
      harness.expect_error("the device takes no more work from this process", [&] { Bench(net, kPlain); });
      harness.expect_error("illegal memory access", [&] { net.read("c.weight"); });
      emulated::heal();
      emulated::make_lazy(0);
    });
  harness.test("with GRAFT_SYNC=1 a fault names the node", [&] {
    Setting setting("GRAFT_SYNC", "1");
    Net net(cuda());
    network(net);
    Bench bench(net, kPlain);
    const Step& second = bench.plan->steps()[1];
    emulated::fault_at(2);
    harness.expect_error(text("node ", second.node, " (", second.op, ", forward, own:"), [&] { bench.run(GRAFT_STEP); });
    emulated::heal();
  });
  harness.test("with GRAFT_NAN=1 a step stops at the first value that is not finite, and the next one is sound", [&] {
    Setting setting("GRAFT_NAN", "1");
    for (auto device : {cuda(), reference_device(), cpu_device()}) {
      Net net(device), sound(device);
      network(net), network(sound);
      Bench bench(net, kPlain + "accumulate 1"), expected(sound, kPlain + "accumulate 1");
      bench.run(GRAFT_STEP), expected.run(GRAFT_STEP);
      const auto bias = net.read("head.bias");
      net.write("head.bias", {NAN, 0, 0});
      harness.expect_error("GRAFT_NAN: head.bias holds a NaN or infinity, seen at node head (linear, forward)", [&] { bench.run(GRAFT_STEP); });
      net.write("head.bias", bias);
      bench.run(GRAFT_STEP), expected.run(GRAFT_STEP);
      for (const char* name : {"c.weight", "head.weight", "head.bias"}) harness.expect(net.read(name) == sound.read(name), name, " differs: ", device->column->name());
    }
  });
  harness.test("a kernel that waits for the device cannot be recorded; other work can after it", [&] {
    auto column = make_cuda_column(0);
    harness.expect_error("operation not permitted when stream is capturing", [&] { column->record([&] { column->synchronize(); }); });
    void* p = column->allocate(64);
    auto* host = static_cast<char*>(column->allocate_host(64));
    auto recording = column->record([&] { column->enqueue_in(p, host, 64); });
    char back[64];
    for (char c : {'a', 'b'}) {
      std::memset(host, c, 64);
      recording->replay();
      column->copy_out(back, p, 64);
      harness.expect(back[0] == c && back[63] == c, "the replay brought another content");
    }
    column->release(p, 64);
    column->release_host(host, 64);
  });
}

}  // namespace

int main(int argc, char** argv) {
  Harness harness(argc, argv);
  replays(harness);
  overlapped(harness);
  resident(harness);
  left_out(harness);
  memory(harness);
  growth(harness);
  refused(harness);
  calls(harness);
  faults(harness);
  return harness.finish();
}
