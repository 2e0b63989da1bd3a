// Convolutions by cuDNN, with a stub of it that computes as the manual says: how it is found and refused, what is asked of it, which engine
// is taken, what own kernels finish. It tells nothing of the real library's speed, nor of what that takes.
#include <dlfcn.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "cuda/column.h"
#include "cuda/emulated/streams.h"
#include "device_plans.h"
#include "ladder.h"
#include "stub_cudnn.h"
#include "vendor/cudnn.h"

using namespace graft;
using namespace graft::test;
using namespace graft::cuda;

namespace {

Request request(Pass pass, Activation activation, DType type, int64_t groups, bool padded) {
  const OpDef& op = *find_op("conv2d");
  OpCase c{"case", {{{2, 5, 6, 16}}, {{16, 3, 3, 16 / groups}}, {{16}}}, {{"groups", double(groups)}, {"pad_top", double(padded)}}, 2};
  Variation v;
  v.modes.assign(3, pass == Pass::Backward ? GradMode::Accumulate : GradMode::Ignore);
  v.epilogue.activation = activation;
  return make_request(op, c, type, pass, v);
}

StubCudnn& found(Harness& harness) {
  setenv("GRAFT_MATMUL", "vendor", 1);
  setenv("GRAFT_LIBRARY_PATH", STUB_FOLDER, 1);
  void* library = dlopen(STUB_FOLDER "/libcudnn.so.9", RTLD_NOW | RTLD_LOCAL);
  ensure(library, dlerror());
  StubCudnn& stub = *reinterpret_cast<StubCudnn* (*)()>(dlsym(library, kStubCudnn))();
  for (auto [version, name] : {std::pair<size_t, const char*>{8902, "8.9.2"}, {100203, "10.2.3"}})
    harness.test(text("version ", name, " is refused"), [&, v = version, n = name] {
      stub.version = v;
      harness.expect_error(text("/libcudnn.so.9 is of version ", n, "; 9 is needed"), [] { open_cudnn(); });
    });
  harness.test("a library that does not start", [&] {
    stub = {};
    stub.starts = false;
    harness.expect_error("does not start: the stub refuses", [] { open_cudnn(); });
  });
  for (auto [version, name] : {std::pair<size_t, const char*>{90000, "9.0.0"}, {92501, "9.25.1"}})
    harness.test(text("version ", name, " is taken"), [&, v = version, n = name] {
      stub = {};
      stub.version = v;
      harness.expect(open_cudnn()->version == n, open_cudnn()->version);
    });
  stub = {};
  return stub;
}

void names(Harness& harness, Column& column, StubCudnn& stub) {
  const auto named = [&](const char* policy, const Request& r, const std::string& expected) {
    setenv("GRAFT_MATMUL", policy, 1);
    const std::string name = column.prepare(r)->name();
    harness.expect(name == expected, policy, ": ", name, ", expected ", expected);
    setenv("GRAFT_MATMUL", "vendor", 1);
  };
  const std::string bare = "cudnn:9.19.1:cuda", sums = " + own:simt:column_sums:cuda";
  harness.test("names", [&] {
    for (DType type : {DType::F32, DType::BF16})
      for (int64_t groups : {1, 4}) {
        const Request plain = request(Pass::Forward, Activation::None, type, groups, true);
        named("vendor", plain, bare);
        named("auto", plain, bare);
        named("own", plain, type == DType::BF16 && groups == 1 ? "own:mma:product:cuda + own:patches:cuda" : "own:simt:conv2d:cuda");
        named("vendor", request(Pass::Forward, Activation::Relu, type, groups, true), bare);
        named("vendor", request(Pass::Forward, Activation::Sigmoid, type, groups, true), bare + " + own:epilogue:cuda");
        named("vendor", request(Pass::Backward, Activation::None, type, groups, true), bare + sums);
        stub.has_engine = false;
        named("vendor", plain, "own:simt:conv2d:cuda");
        stub = {};
        stub.fuses = stub.adds = false;
        named("auto", plain, bare + " + own:epilogue:cuda");
        named("auto", request(Pass::Backward, Activation::None, type, groups, true), bare + " + own:put:cuda" + sums);
        stub = {};
      }
    named("vendor", request(Pass::Forward, Activation::None, DType::F32, 16, true), "own:depthwise:cuda");
  });
  harness.test("equal convolutions share a plan", [&] {
    const Request r = request(Pass::Backward, Activation::None, DType::BF16, 1, true);
    const auto first = column.prepare(r);
    const int alive = stub.alive;
    const auto second = column.prepare(r);
    harness.expect(alive > 0 && stub.alive == alive, stub.alive - alive, " descriptors more");
    const auto other = column.prepare(request(Pass::Backward, Activation::None, DType::BF16, 1, false));
    harness.expect(stub.alive > alive, "another padding shares it too");
  });
  harness.test("a fused convolution is one execution", [&] {
    const OpDef& op = *find_op("conv2d");
    const OpCase c{"case", {{{1, 4, 4, 3}}, {{8, 3, 3, 3}}, {{8}}}, {}, 1};
    Variation v;
    v.epilogue.residual = true;
    v.epilogue.activation = Activation::Relu;
    const int runs = stub.runs, operations = stub.operations;
    Data data = make_data(op, c, harness.seed());
    data.inputs[0][0] = NAN;
    const Outcome outcome = run_case(harness, column, op, c, data, DType::BF16, v);
    harness.expect(std::isnan(outcome.outputs[0][0]), "a NaN became ", outcome.outputs[0][0]);
    harness.expect(stub.runs - runs == 1 && stub.operations - operations == 4, stub.runs - runs, " executions of ", stub.operations - operations, " operations");
  });
}

void measured(Harness& harness, Column& column, StubCudnn& stub) {
  harness.test("with a tuning file the fastest way is taken, and taken again unmeasured", [&] {
    const std::string path = text("/tmp/graft-tuning-convolutions-", getpid());
    const Request r = request(Pass::Forward, Activation::Relu, DType::F32, 1, true);
    const auto content = [&] {
      std::ifstream file(path);
      std::stringstream all;
      all << file.rdbuf();
      return all.str();
    };
    const int alive = stub.alive;
    for (bool slow : {true, false}) {
      setenv("GRAFT_TUNING", path.c_str(), 1);
      stub.slow_first = slow;
      const int runs = stub.runs;
      const auto first = column.prepare(r);
      const int tried = stub.runs - runs;
      const std::string kept = content();
      const auto second = column.prepare(r);
      unsetenv("GRAFT_TUNING");
      stub.slow_first = false;
      harness.expect((tried > 0) == slow, "measured by ", tried, " runs");
      for (const auto* kernel : {&first, &second}) harness.expect((*kernel)->name() == "cudnn:9.19.1:way2:cuda", (*kernel)->name());
      harness.expect(stub.runs - runs == tried && content() == kept, "measured again");
      harness.expect(kept.find("cudnn 9.19.1; graph ") != std::string::npos && kept.find("\tway2\t") != std::string::npos && kept.find("\tway1\t") == std::string::npos, kept);
    }
    harness.expect(stub.alive == alive, stub.alive - alive, " descriptors are left");
    unlink(path.c_str());
  });
}

void rounded_filters(Harness& harness, Column& column, StubCudnn& stub) {
  harness.test("where cuDNN stores bf16 alone the filter's gradient keeps 16 bits, 8 where it adds nothing either", [&] {
    const OpDef& op = *find_op("conv2d");
    const OpCase c{"case", {{{2, 6, 7, 3}}, {{8, 3, 3, 3}}, absent()}, {}, 2};
    const Data data = make_data(op, c, harness.seed());
    for (GradMode mode : {GradMode::Overwrite, GradMode::Accumulate})
      for (bool adds : {true, false}) {
        const Variation v{"", {GradMode::Ignore, mode, GradMode::Ignore}};
        stub = {};
        const std::vector<double> exact = run_case(harness, column, op, c, data, DType::BF16, v).gradients[1];
        stub.widens = false;
        stub.adds = adds;
        const std::vector<double> rounded = run_case(harness, column, op, c, data, DType::BF16, v).gradients[1];
        stub = {};
        double most = 0;
        for (size_t i = 0; i < exact.size(); i++) {
          const double before = mode == GradMode::Accumulate ? static_cast<float>(data.before[1][i]) : 0, whole = std::fabs(exact[i] - before);
          most = std::max(most, (std::fabs(rounded[i] - exact[i]) - 1e-6) / whole);  // beside the last digits of F32
        }
        harness.expect(most <= (adds ? 0x1p-16 : 0x1p-8) && most > (adds ? 0 : 0x1p-12), "off by ", most);
      }
  });
}

}  // namespace

int main(int argc, char** argv) {
  Harness harness(argc, argv);
  StubCudnn& stub = found(harness);
  auto column = make_cuda_column(0);
  column->enter_lane(1);
  names(harness, *column, stub);
  measured(harness, *column, stub);
  std::set<std::string> others;
  for (const OpTest& t : all_op_tests())
    if (t.op != "conv2d") others.insert(t.op);
  Ladder ladder(harness, *column);
  ladder.operations(others);
  stub.fuses = stub.adds = false;  // gradients that are added go through scratch memory, epilogues come after
  ladder.operations(others);
  stub = {};
  stub.widens = false;  // and filters' gradients are stored in bf16
  ladder.operations(others);
  stub = {};
  rounded_filters(harness, *column, stub);
  // In plans cuDNN's work is enqueued, recorded and replayed like the kernels' around it.
  stub.enqueue = [](void* stream, std::function<void()> work) { emulated::enqueue(static_cast<EmulatedStream*>(stream), std::move(work)); };
  const int before = stub.runs;
  setenv("GRAFT_MATMUL", "auto", 1);
  device_plans(harness, [] { return std::make_shared<graft::Device>(make_cuda_column(0), 1, 1); });
  harness.test("plans took cuDNN", [&] { harness.expect(stub.runs > before, "it was not asked"); });
  column.reset();
  harness.test("descriptors are destroyed", [&] { harness.expect(stub.alive == 0, stub.alive, " are left"); });
  return harness.finish();
}
