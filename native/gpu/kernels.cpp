// Times the kernels of the target table on a GPU, for native/gpu/record.
//   --device N   --samples N   --rows TEXT (those whose name contains it)
#include <cstdlib>
#include <cstring>
#include <functional>

#include "clock.h"
#include "cuda/probe.h"
#include "operands.h"
#include "op.h"

using namespace graft;
using namespace graft::gpu;

namespace {

struct Options {
  int device = 0, samples = 30;
  std::string rows;
};

class Rows {
 public:
  Rows(Column& column, const Options& options) : column_(column), options_(options), clock_(column, options.device) {}

  // Nothing that can be done about one row keeps the others from being measured.
  void row(const std::string& name, const std::function<void()>& body) {
    if (name.find(options_.rows) == std::string::npos) return;
    name_ = name;
    try {
      body();
    } catch (const std::exception& e) {
      std::printf("status\t%s\tgraft\trefused\t%s\n", name.c_str(), e.what());
      std::fflush(stdout);
    }
  }

  // Bytes or FLOPs of a run make a second line of what was reached.
  void time(const Kernel& kernel, const Args& args, double bytes, double flops) {
    time("graft", kernel.name(), bytes, flops, [&] { kernel.run(args); });
  }
  template <class Run>
  void time(const std::string& side, const std::string& note, double bytes, double flops, Run run) {
    for (bool cold : {false, true}) {
      const std::vector<double> ms = clock_.milliseconds(options_.samples, cold, run);
      gpu::samples(name_, side, cold ? "ms cold" : "ms", ms, note);
      if (bytes > 0) gpu::samples(name_, side, cold ? "GB/s cold" : "GB/s", rates(ms, bytes, 1e9), note);
      if (flops > 0) gpu::samples(name_, side, cold ? "TFLOP/s cold" : "TFLOP/s", rates(ms, flops, 1e12), note);
    }
  }

  void copy() {
    row("copy", [&] {
      const int64_t count = int64_t{1} << 28;  // a gibibyte
      Memory from = normal(column_, {DType::F32, {count}}), to(column_, {DType::F32, {count}});
      time("device", "cudaMemcpyAsync; bytes read and written", 8.0 * static_cast<double>(count), 0, [&] {
        check(cudaMemcpyAsync(to.address(), from.address(), 4 * static_cast<size_t>(count), cudaMemcpyDeviceToDevice, clock_.stream()), "copying");
      });
    });
  }

  void product(const std::string& name, int64_t m, int64_t n, int64_t k, bool gelu, DType type = DType::BF16, F32Product f32 = F32Product::Exact) {
    row(name, [&] {
      ProductRequest r = contiguous_product(m, n, k, type, false, true);
      r.f32 = f32;
      r.bias = gelu;
      if (gelu) r.epilogue.activation = Activation::GeluExact;
      Memory a = normal(column_, {r.type, {m, k}}), b = normal(column_, {r.type, {n, k}}), bias = normal(column_, {DType::F32, {n}}), c(column_, {r.result, {m, n}});
      auto kernel = column_.prepare(r);
      Memory scratch(column_, kernel->scratch_bytes());
      void *in[] = {a.address(), b.address(), gelu ? bias.address() : nullptr, nullptr}, *out[] = {c.address()};
      Args args{};
      args.in = in, args.out = out, args.scratch = scratch.address();
      time(*kernel, args, 0, 2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k));
    });
  }

  // Forward, and the gradients of x, A and B for one of the result; W is frozen.
  // adapters: of the rows, a sample of 128 each; 0: one adapter for all.
  void lora(int64_t rows, int64_t width, int64_t rank, int64_t adapters = 0) {
    row(text("lora_", rows, "x", width, "_r", rank, adapters ? text("_adapters", adapters) : ""), [&] {
      const OpDef& op = *find_op("lora_linear");
      Request r;
      r.op = &op;
      r.node = "lora";
      for (const AttributeDef& a : op.attributes) r.attributes[a.name] = a.fallback;
      r.attributes["factor"] = 2;
      r.inputs = {{DType::BF16, {rows, width}}, {DType::BF16, {width, width}}, {DType::F32, {width}}, {DType::BF16, {rank, width}}, {DType::BF16, {width, rank}}, none(), none(), none()};
      if (adapters) r.inputs[3].shape = {adapters, rank, width}, r.inputs[4].shape = {adapters, width, rank}, r.inputs[6] = {DType::I32, {rows / 128}};
      r.outputs = op.infer(r.call());
      r.constant = {false, true, true, false, false, false, false, false};
      r.weights_may_pack = false;
      r.compute = DType::BF16;
      r.batch = 1;
      r.preferred.resize(r.inputs.size());
      r.modes.assign(r.inputs.size(), GradMode::Ignore);
      auto forward = column_.prepare(r);
      r.pass = Pass::Backward;
      for (size_t i : {0, 3, 4}) r.modes[i] = GradMode::Overwrite;
      auto backward = column_.prepare(r);
      std::deque<Memory> memory;
      auto fresh = [&](const TensorType& type, double deviation) { return memory.emplace_back(normal(column_, type, deviation)).address(); };
      std::vector<void*> in, out, din(r.inputs.size(), nullptr);
      for (const TensorType& type : r.inputs) in.push_back(type.shape.rank < 0 || type.dtype == DType::I32 ? nullptr : fresh(type, 0.02));
      if (adapters) {
        std::vector<int32_t> numbers(static_cast<size_t>(rows / 128));
        for (size_t i = 0; i < numbers.size(); i++) numbers[i] = static_cast<int32_t>(i % static_cast<size_t>(adapters));
        Memory& there = memory.emplace_back(column_, r.inputs[6]);
        there.write(numbers.data());
        in[6] = there.address();
      }
      for (const TensorType& type : r.outputs) out.push_back(fresh(type, 1));
      for (size_t i : {0, 3, 4}) din[i] = fresh({gradient_type(op.inputs[i].role, r.inputs[i].dtype), r.inputs[i].shape}, 1);
      Step step(column_, {1, 1, 1, 1});
      void* scratch = memory.emplace_back(column_, std::max(forward->scratch_bytes(), backward->scratch_bytes())).address();
      const Args ahead{in.data(), out.data(), din.data(), nullptr, nullptr, nullptr, nullptr, nullptr, scratch, step.block()};
      Args back = ahead;
      back.dout = fresh(r.outputs[0], 1);
      const double wide = 4.0 * static_cast<double>(rows) * static_cast<double>(width) * static_cast<double>(width);
      const double narrow = 12.0 * static_cast<double>(rows) * static_cast<double>(width) * static_cast<double>(rank);
      time("graft", forward->name() + " " + backward->name(), 0, wide + narrow, [&] {
        forward->run(ahead);
        backward->run(back);
      });
    });
  }

  // In place; each logit read once and written once.
  void cross_entropy(int64_t rows, int64_t classes) {
    row(text("cross_entropy_", rows, "x", classes), [&] {
      loss("softmax_cross_entropy", {{DType::BF16, {rows, classes}}, {DType::I32, {rows}}, none()}, 1, true, classes, 4.0 * static_cast<double>(rows) * static_cast<double>(classes), 0);
    });
  }

  // With the gradients of x and of the weight; never all logits at a time.
  void linear_cross_entropy(int64_t rows, int64_t width, int64_t classes) {
    row(text("linear_cross_entropy_", rows, "x", width, "x", classes), [&] {
      loss("linear_cross_entropy", {{DType::BF16, {rows, width}}, {DType::BF16, {classes, width}}, none(), {DType::I32, {rows}}, none()}, 2, false, classes, 0,
           6.0 * static_cast<double>(rows) * static_cast<double>(width) * static_cast<double>(classes));
    });
  }

  void merge(int64_t n, int64_t rank) {
    row(text("merge_", n, "_r", rank), [&] {
      ServiceRequest r;
      r.service = Service::MergeLowRank;
      r.inputs = {{DType::BF16, {rank, n}}, {DType::BF16, {n, rank}}};
      r.outputs = {{DType::BF16, {n, n}}};
      r.attributes = {{"factor", 1e-3}, {"slices", 1}, {"width", static_cast<double>(n)}, {"start0", 0}};
      auto kernel = column_.prepare(r);
      Memory a = normal(column_, r.inputs[0]), b = normal(column_, r.inputs[1]), w = normal(column_, r.outputs[0]), scratch(column_, kernel->scratch_bytes());
      void *in[] = {a.address(), b.address()}, *out[] = {w.address()};
      Args args{};
      args.in = in, args.out = out, args.scratch = scratch.address();
      time(*kernel, args, 4.0 * static_cast<double>(n) * static_cast<double>(n), 0);
    });
  }

  // AdamW over `count` elements in one segment; live(i) says whether an element is trained, null for all.
  void adamw(const std::string& name, int64_t count, const std::function<bool(int64_t)>& live) {
    row(name, [&] {
      OptimizerRequest r;
      r.kind = OptimizerKind::AdamW;
      r.elements = count;
      r.segments = {{0, count, 0, live ? 0 : -1, 0}};
      auto kernel = column_.prepare(r);
      const TensorType type{DType::F32, {count}};
      Memory weights = normal(column_, type), gradients = normal(column_, type), first(column_, type), second(column_, type), scratch(column_, kernel->scratch_bytes());
      Memory mask(column_, static_cast<size_t>(count / 8 + 64));
      first.zero();
      second.zero();
      if (live) {
        std::vector<uint8_t> bits(static_cast<size_t>(count / 8 + 64));
        for (int64_t i = 0; i < count; i++)
          if (live(i)) bits[static_cast<size_t>(i / 8)] |= static_cast<uint8_t>(1 << i % 8);
        mask.write(bits.data());
      }
      Step step(column_, {1, 0, 1, 1});
      void *in[] = {gradients.address(), nullptr, nullptr, nullptr, nullptr, mask.address()}, *out[] = {weights.address(), first.address(), second.address()};
      // read: weight, gradient, two moments; written: weight, two moments
      time(*kernel, Args{in, out, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, scratch.address(), step.block()}, live ? 0 : 28.0 * static_cast<double>(count), 0);
    });
  }

 private:
  static TensorType none() {
    TensorType type;
    type.shape.rank = -1;
    return type;
  }

  // A loss with the gradients of its first inputs; in_place: the first one's written over it.
  void loss(const char* name, std::vector<TensorType> inputs, size_t wanted, bool in_place, int64_t classes, double bytes, double flops) {
    const OpDef& op = *find_op(name);
    const int rows = static_cast<int>(inputs[0].shape[0]);
    Request r;
    r.op = &op;
    r.node = "loss";
    r.pass = Pass::Loss;
    for (const AttributeDef& a : op.attributes) r.attributes[a.name] = a.fallback;
    r.inputs = std::move(inputs);
    r.outputs = op.infer(r.call());
    r.constant.assign(r.inputs.size(), false);
    r.modes.assign(r.inputs.size(), GradMode::Ignore);
    std::fill_n(r.modes.begin(), wanted, GradMode::Overwrite);
    r.preferred.resize(r.inputs.size());
    r.weights_may_pack = false;
    r.compute = DType::BF16;
    r.batch = rows;
    auto kernel = column_.prepare(r);
    std::deque<Memory> memory;
    std::vector<void*> in, din(r.inputs.size(), nullptr);
    for (size_t i = 0; i < r.inputs.size(); i++) {
      const TensorType& type = r.inputs[i];
      if (type.shape.rank < 0) {
        in.push_back(nullptr);
      } else if (type.dtype == DType::I32) {
        std::vector<int32_t> targets(static_cast<size_t>(rows));
        for (size_t t = 0; t < targets.size(); t++) targets[t] = static_cast<int32_t>(t * 389 % static_cast<size_t>(classes));
        in.push_back(memory.emplace_back(column_, type).address());
        memory.back().write(targets.data());
      } else {
        in.push_back(memory.emplace_back(normal(column_, type, i == 0 ? 1 : 0.02)).address());
      }
    }
    if (in_place) din[0] = in[0];
    for (size_t i = in_place; i < wanted; i++) din[i] = memory.emplace_back(column_, TensorType{gradient_type(op.inputs[i].role, r.inputs[i].dtype), r.inputs[i].shape}).address();
    Memory result(column_, r.outputs[0]), scratch(column_, kernel->scratch_bytes());
    Step step(column_, {1, 1, rows, 1});
    void* out[] = {result.address()};
    time(*kernel, Args{in.data(), out, din.data(), nullptr, nullptr, nullptr, nullptr, nullptr, scratch.address(), step.block()}, bytes, flops);
  }

  Column& column_;
  const Options& options_;
  Clock clock_;
  std::string name_;
};

}  // namespace

int main(int argc, char** argv) {
  Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (!std::strcmp(argv[i], "--device")) options.device = std::atoi(argv[i + 1]);
    else if (!std::strcmp(argv[i], "--samples")) options.samples = std::max(1, std::atoi(argv[i + 1]));
    else if (!std::strcmp(argv[i], "--rows")) options.rows = argv[i + 1];
  }
  const std::string refused = cuda::refusal(cuda::probe(CUDART_VERSION), options.device);
  if (!refused.empty()) {
    std::printf("no kernels without a GPU: %s\n", refused.c_str());
    return 1;
  }
  auto column = make_cuda_column(options.device);
  column->enter_lane(1);
  Rows rows(*column, options);
  rows.copy();
  rows.product("matmul_4096x4096x4096", 4096, 4096, 4096, false);
  rows.product("matmul_8192x8192x8192", 8192, 8192, 8192, false);
  for (int64_t n : {2304, 768, 3072}) rows.product(text("matmul_25216x", n, "x768"), 25216, n, 768, false);
  for (F32Product f32 : {F32Product::Exact, F32Product::Tf32, F32Product::Bf16x3, F32Product::Bf16x6})
    rows.product(text("matmul_f32_4096x4096x4096_", name_of(f32)), 4096, 4096, 4096, false, DType::F32, f32);
  rows.product("matmul_gelu_25216x3072x768", 25216, 3072, 768, true);
  rows.product("matmul_gelu_4096x4096x4096", 4096, 4096, 4096, true);
  for (auto [width, rank] : {std::pair<int64_t, int64_t>{768, 8}, {2048, 16}, {4096, 64}}) rows.lora(8192, width, rank);
  rows.lora(8192, 768, 8, 8);
  rows.cross_entropy(8192, 50257);
  rows.linear_cross_entropy(8192, 768, 50257);
  rows.merge(8192, 16);
  constexpr int64_t kElements = 100'000'000;
  rows.adamw("adamw_100m", kElements, nullptr);
  // one in ten blocks, and one in ten elements, by a number that depends on nothing
  rows.adamw("adamw_100m_blocks_masked", kElements, [](int64_t i) { return philox::uniform(2, 0, 0, i / 1024) < 0.1; });
  rows.adamw("adamw_100m_random_masked", kElements, [](int64_t i) { return philox::uniform(3, 0, 0, i) < 0.1; });
}
