// conv2d by cuDNN. x, y and the weight (OHWI) are taken as they lie, channels last: nothing is repacked. What cuDNN does not do in one
// go own kernels finish: bias, residual and activation after a bare convolution, gradients that it stores elsewhere first.
#include "matmul/choice.h"
#include "matmul/trial.h"
#include "product.cuh"
#include "reduce.cuh"
#include "vendor/cudnn_graph.h"

namespace graft::cuda {

template <class T>
struct FinishConvolution {  // y = activation(y + bias + residual), y rounded once before
  Result<T> y;
  const float* bias;
  Divisor outs;
  __device__ void operator()(int64_t i) const { y.put(i, bias ? float_of(y.out[i]) + bias[i % outs] : float_of(y.out[i])); }
};

template <class Stage, class T>
struct PutStaged {
  const Stage *from, *rest;  // rest: null, or what is to be added
  Gradient<T> to;
  __device__ void operator()(int64_t i) const { to.put(i, rest ? float_of(from[i]) + float_of(rest[i]) : float_of(from[i])); }
};

namespace {

enum { kInput, kFilter, kShift };

constexpr size_t kMostWorkspace = size_t{256} << 20;

struct Convolution {
  CudnnGraph::Dimensions x, w, y;
  CudnnGraph::Window window;
};

Convolution convolution(const Request& r) {
  const auto turned = [](const Shape& s) { return CudnnGraph::Dimensions{s[0], s[3], s[1], s[2]}; };
  const auto pair = [&](const char* vertical, const char* horizontal) { return std::array<int64_t, 2>{r.call().integer(vertical), r.call().integer(horizontal)}; };
  return {turned(r.inputs[kInput].shape), turned(r.inputs[kFilter].shape), turned(r.outputs[0].shape),
          {pair("stride_h", "stride_w"), pair("dilation_h", "dilation_w"), pair("pad_top", "pad_left"), pair("pad_bottom", "pad_right")}};
}

constexpr int kWays = 4;  // of cuDNN's, that are measured

using Plan = std::shared_ptr<CudnnPlan>;

// Makes plans, and remembers what cuDNN said to the last one that failed. With a tuning file some ways of each graph are measured, and the
// file keeps the fastest.
class Planner {
 public:
  Planner(const Device& device, const Cudnn& dnn, const ChoiceSettings& settings) : device_(device), dnn_(dnn), tf32_(settings.f32 == F32Product::Tf32), tuning_(settings.tuning) {}

  Plan make(const std::function<void(CudnnGraph&)>& describe) {
    if (tuning_.empty()) return of_way(describe, 0);
    CudnnGraph graph(dnn_);
    describe(graph);
    const std::string key = text(machine_text(device_, text("cudnn ", dnn_.version)), "; ", tf32_ ? "tf32 " : "", "graph ", graph.key());
    Tuning& file = tuning_file(tuning_);
    const std::string before = file.find(key);
    for (int way = 0; way < kWays; way++)
      if (before == way_name(way))
        if (Plan known = of_way(describe, way)) return known;
    std::vector<Plan> ways;
    for (int way = 0; way < kWays; way++)
      if (Plan plan = of_way(describe, way)) ways.push_back(std::move(plan));
      else break;
    if (ways.size() < 2) return ways.empty() ? nullptr : ways[0];
    size_t best = 0;
    double least = 0;
    try {
      for (size_t i = 0; i < ways.size(); i++) {
        const double time = microseconds(*ways[i], graph.operands());
        if (i == 0 || time < least) best = i, least = time;
      }
    } catch (const Error& e) {
      if (e.status() != GRAFT_OUT_OF_MEMORY) throw;
      print_once(text("a convolution's first way of cuDNN's is taken unmeasured: ", e.what()));
      return ways[0];
    }
    file.remember(key, way_name(static_cast<int>(best)), least);
    return ways[best];
  }
  const std::string& reason() const { return reason_; }
  static std::string way_name(int way) { return text("way", way + 1); }

 private:

  Plan of_way(const std::function<void(CudnnGraph&)>& describe, int way) {
    CudnnGraph graph(dnn_);
    describe(graph);
    Plan plan = graph.plan(tf32_, kMostWorkspace, way);
    if (!plan) reason_ = graph.reason();
    return plan;
  }

  double microseconds(const CudnnPlan& plan, const std::vector<CudnnGraph::Operand>& operands) const {
    const Borrowed scratch(plan.scratch_bytes());
    std::vector<std::unique_ptr<Borrowed>> memory;
    std::vector<void*> addresses;
    for (const CudnnGraph::Operand& o : operands) {
      memory.push_back(std::make_unique<Borrowed>(size_of(o.type) * static_cast<size_t>(o.count)));
      addresses.push_back(memory.back()->address);
      fill_evenly(device_, addresses.back(), o.type, o.count, static_cast<unsigned>(addresses.size()));
    }
    return microseconds_of(device_, [&] { plan.run(device_, addresses, scratch.address); });
  }

  const Device& device_;
  const Cudnn& dnn_;
  bool tf32_;
  std::string tuning_, reason_;
};

// Named are the ways other than the first; `more`: own kernels after or beside it.
std::unique_ptr<Kernel> kernel(const Device& d, const Cudnn& dnn, std::initializer_list<Plan> plans, const std::string& more, size_t scratch, std::function<void(const Args&)> run) {
  std::string ways;
  for (const Plan& plan : plans)
    if (plan && plan->way > 0) ways += text(":", Planner::way_name(plan->way));
  return std::make_unique<OwnKernel>(d, text("cudnn:", dnn.version, ways, ":cuda", more), scratch, std::move(run));
}

template <class T>
std::unique_ptr<Kernel> forward(const Device& d, const Cudnn& dnn, const Request& r, Planner& planner) {
  const Convolution z = convolution(r);
  const DType type = r.inputs[kInput].dtype;
  const bool biased = r.call().has(kShift), residual = r.epilogue.residual, relu = r.epilogue.activation == Activation::Relu;
  const bool finishes = biased || r.epilogue.any(), fusable = finishes && (relu || r.epilogue.activation == Activation::None);
  Plan plan;
  // All in one, so that y is rounded once: conv, then residual, bias and ReLU, those that are wanted. cuDNN's compiled kernels know this order.
  if (fusable)
    plan = planner.make([&](CudnnGraph& g) {
      CudnnGraph::Tensor x = g.tensor(type, z.x), w = g.tensor(type, z.w), y = g.tensor(type, z.y);
      CudnnGraph::Tensor bias = biased ? g.tensor(DType::F32, {1, z.y[1], 1, 1}) : nullptr, more = residual ? g.tensor(type, z.y) : nullptr;
      CudnnGraph::Tensor last = g.between(z.y);
      g.forward(z.window, x, w, last);
      const auto after = [&](bool more_follow) { return more_follow ? g.between(z.y) : y; };
      if (more) {
        CudnnGraph::Tensor next = after(biased || relu);
        g.add(last, more, next);
        last = next;
      }
      if (bias) {
        CudnnGraph::Tensor next = after(relu);
        g.add(last, bias, next);
        last = next;
      }
      if (relu) g.relu(last, y);
    });
  const bool fused = plan != nullptr;
  if (!fused)
    plan = planner.make([&](CudnnGraph& g) {
      CudnnGraph::Tensor x = g.tensor(type, z.x), w = g.tensor(type, z.w);
      g.forward(z.window, x, w, g.tensor(type, z.y));
    });
  if (!plan) return nullptr;
  const int64_t count = r.outputs[0].count(), outs = z.y[1];
  return kernel(d, dnn, {plan}, finishes && !fused ? " + own:epilogue:cuda" : "", plan->scratch_bytes(), [=, &d](const Args& a) {
    std::vector<void*> operands = {a.in[kInput], a.in[kFilter], a.out[0]};
    if (fused && biased) operands.push_back(a.in[kShift]);
    if (fused && residual) operands.push_back(a.residual);
    plan->run(d, operands, a.scratch);
    if (finishes && !fused) over_all(d, count, FinishConvolution<T>{result<T>(r, a), biased ? in<float>(a, kShift) : nullptr, outs});
  });
}

// A gradient, perhaps stored as `stage` in scratch memory first. Of one stored in bf16 `rest` computes what the rounding took: the same sums
// less what was stored, rounded to bf16 in their turn.
struct Derived {
  Plan plan, rest;
  bool staged = false;
  DType stage = DType::F32;
  size_t stage_bytes = 0;
  size_t stages() const { return rest ? 2 * stage_bytes : stage_bytes; }
  size_t scratch_bytes() const { return plan ? stages() + std::max(plan->scratch_bytes(), rest ? rest->scratch_bytes() : 0) : 0; }
};

// First where it belongs and added to what is there, then through scratch memory, in F32 before bf16.
template <class Describe>
Derived derive(Planner& planner, DType factors, DType stored, bool accumulate, int64_t count, const Describe& describe) {
  const auto plan = [&](DType type, float keep) { return planner.make([&](CudnnGraph& g) { describe(g, type, keep); }); };
  Derived made;
  made.plan = plan(stored, accumulate ? 1.f : 0.f);
  for (DType stage : {DType::F32, DType::BF16}) {
    if (made.plan || (stage == stored && !accumulate) || (stage == DType::BF16 && factors != DType::BF16)) continue;
    made = {plan(stage, 0), nullptr, true, stage, aligned(size_of(stage) * static_cast<size_t>(count))};
    if (made.plan && stage == DType::BF16 && stored == DType::F32) made.rest = plan(stage, -1);
  }
  return made;
}

template <class T>
void run(const Device& d, const Derived& made, const void* a, const void* b, const Gradient<T>& gradient, int64_t count, void* scratch) {
  void *first = const_cast<void*>(a), *second = const_cast<void*>(b), *to = made.staged ? scratch : gradient.address;
  char *more = static_cast<char*>(scratch) + made.stage_bytes, *workspace = static_cast<char*>(scratch) + made.stages();
  made.plan->run(d, {first, second, to}, workspace);
  if (!made.staged) return;
  if (made.rest) {
    check(cudaMemcpyAsync(more, to, static_cast<size_t>(count) * sizeof(Bf16), cudaMemcpyDeviceToDevice, d.stream), "copying");
    made.rest->run(d, {first, second, more}, workspace);
  }
  if (made.stage == DType::F32) over_all(d, count, PutStaged<float, T>{static_cast<const float*>(to), nullptr, gradient});
  else over_all(d, count, PutStaged<Bf16, T>{static_cast<const Bf16*>(to), made.rest ? reinterpret_cast<const Bf16*>(more) : nullptr, gradient});
}

template <class T>
std::unique_ptr<Kernel> backward(const Device& d, const Cudnn& dnn, const Request& r, Planner& planner) {
  const Convolution z = convolution(r);
  const DType type = r.inputs[kInput].dtype;
  const int64_t inputs = r.inputs[kInput].count(), filters = r.inputs[kFilter].count(), outs = z.y[1];
  Derived data, filter;
  if (wants(r, kInput)) {
    data = derive(planner, type, type, mode_of(r, kInput) == GradMode::Accumulate, inputs, [&](CudnnGraph& g, DType stored, float keep) {
      CudnnGraph::Tensor dy = g.tensor(type, z.y), w = g.tensor(type, z.w);
      g.data_gradient(z.window, dy, w, g.tensor(stored, z.x), keep);
    });
    if (!data.plan) return nullptr;
  }
  if (wants(r, kFilter)) {
    filter = derive(planner, type, DType::F32, mode_of(r, kFilter) == GradMode::Accumulate, filters, [&](CudnnGraph& g, DType stored, float keep) {
      CudnnGraph::Tensor x = g.tensor(type, z.x), dy = g.tensor(type, z.y);
      g.filter_gradient(z.window, x, dy, g.tensor(stored, z.w), keep);
    });
    if (!filter.plan) return nullptr;
  }
  const SumShape columns(1, r.outputs[0].count() / outs, outs);
  const size_t sums = wants(r, kShift) ? columns.scratch(1) : 0;
  const size_t scratch = sums + std::max(data.scratch_bytes(), filter.scratch_bytes());
  const std::string more = text(data.staged || filter.staged ? " + own:put:cuda" : "", wants(r, kShift) ? " + own:simt:column_sums:cuda" : "");
  return kernel(d, dnn, {filter.plan, data.plan}, more, scratch, [=, &d](const Args& a) {
    const T* g = static_cast<const T*>(a.dout);
    void* rest = static_cast<char*>(a.scratch) + sums;
    const Gradient<T> dx = gradient_of<T>(r, a, kInput);
    const Gradient<float> dw = gradient_of<float>(r, a, kFilter), db = gradient_of<float>(r, a, kShift);
    if (db.address) middle_sums<1>(d, columns, static_cast<float*>(a.scratch), ColumnTerm<T>{g, outs}, PutColumnSum{db});
    if (dw.address) run(d, filter, in<T>(a, kInput), g, dw, filters, rest);
    if (dx.address) run(d, data, g, in<T>(a, kFilter), dx, inputs, rest);
  });
}

}  // namespace

std::unique_ptr<Kernel> make_cudnn_conv2d(const Device& d, const Request& r) {
  const ChoiceSettings settings = choice_settings(d);
  if (settings.policy == MatmulPolicy::Own || (r.pass == Pass::Backward && !wants(r, kInput) && !wants(r, kFilter))) return nullptr;
  std::string reason;
  const Cudnn* dnn = cudnn(d, &reason);
  if (!dnn) {
    if (settings.policy == MatmulPolicy::Vendor) throw Error(GRAFT_UNAVAILABLE, text("graft.matmul=vendor: ", reason));
    print_once(text("own kernels make dense convolutions, slower than cuDNN's: ", reason));
    return nullptr;
  }
  Planner planner(d, *dnn, settings);
  const bool narrow = r.inputs[kInput].dtype == DType::BF16, first = r.pass == Pass::Forward;
  auto made = first ? narrow ? forward<Bf16>(d, *dnn, r, planner) : forward<float>(d, *dnn, r, planner)
                    : narrow ? backward<Bf16>(d, *dnn, r, planner) : backward<float>(d, *dnn, r, planner);
  if (!made) print_once(text("convolution ", r.node, first ? " forward" : " backward", ": cuDNN ", dnn->version, " does not take it (", planner.reason(), "); an own kernel does it"));
  return made;
}

}  // namespace graft::cuda
