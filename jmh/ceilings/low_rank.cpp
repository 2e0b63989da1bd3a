// What a low-rank update adds to a frozen linear layer: forward and backward of both in turns within one process, so that each ratio
// is of times measured beside each other. `low_rank [--rounds N] [--threads N]` prints a CSV, a row a round:
//   lora       lora_linear (dx, da, db) over linear (dx alone); the weight is frozen in both
//   grouped    eight adapters, one per eighth of the rows, over one adapter for the same rows
//   scattered  the same, the adapters' numbers in no order over 64 samples
#include <omp.h>

#include <chrono>
#include <cstdio>
#include <cstring>
#include <functional>
#include <vector>

#include "column.h"
#include "number_formats.h"
#include "step_block.h"

using namespace graft;

namespace {

constexpr int64_t kRows = 4096, kAdapters = 8;

double milliseconds(const std::function<void()>& call) {
  auto start = std::chrono::steady_clock::now();
  call();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}

// Memory of the column with numbers around 0 in it.
class Tensor {
 public:
  Tensor(Column& column, const TensorType& type) : column_(column), bytes_(std::max<size_t>(type.bytes(), 64)), address_(column.allocate(bytes_)) {
    std::memset(address_, 0, bytes_);
    for (int64_t i = 0; i < type.count() && is_float(type.dtype); i++) {
      const uint64_t h = static_cast<uint64_t>(i) * 0x9e3779b97f4a7c15u;
      const float x = static_cast<float>((h ^ h >> 29) >> 40 & 0xffff) / 65536.f - 0.5f;
      if (type.dtype == DType::F32) static_cast<float*>(address_)[i] = x;
      else static_cast<uint16_t*>(address_)[i] = float_to_bf16(x);
    }
  }
  Tensor(Tensor&& o) noexcept : column_(o.column_), bytes_(o.bytes_), address_(o.address_) { o.address_ = nullptr; }
  ~Tensor() { column_.release(address_, bytes_); }
  void* address() const { return address_; }

 private:
  Column& column_;
  size_t bytes_;
  void* address_;
};

// One operation with all that it reads and writes, forward and backward.
class Layer {
 public:
  Layer(Column& column, const char* op, DType type, std::vector<TensorType> inputs, const Attributes& attributes, const std::vector<size_t>& wanted,
        const std::vector<int32_t>& adapters = {})
      : column_(column) {
    Request r;
    r.op = find_op(op);
    r.node = op;
    for (const AttributeDef& a : r.op->attributes) r.attributes[a.name] = a.fallback;
    for (const auto& [key, value] : attributes) r.attributes[key] = value;
    r.inputs = inputs;
    r.outputs = r.op->infer(r.call());
    r.compute = type;
    r.constant.assign(inputs.size(), false);
    r.constant[1] = true;
    r.modes.assign(inputs.size(), GradMode::Ignore);
    r.preferred.resize(inputs.size());
    forward_.kernel = column.prepare(r);
    r.pass = Pass::Backward;
    for (size_t i : wanted) r.modes[i] = GradMode::Overwrite;
    backward_.kernel = column.prepare(r);
    for (size_t i = 0; i < inputs.size(); i++) {
      void* given = inputs[i].shape.rank < 0 ? nullptr : make(inputs[i]);
      forward_.in.push_back(i == 1 ? packed(*forward_.kernel, inputs[i], given) : given);
      backward_.in.push_back(i == 1 ? packed(*backward_.kernel, inputs[i], given) : given);
      const bool weight = i == 1 || i == 3 || i == 4;
      din_.push_back(r.modes[i] == GradMode::Ignore ? nullptr : make({weight ? DType::F32 : inputs[i].dtype, inputs[i].shape}));
    }
    if (!adapters.empty()) std::memcpy(forward_.in[6], adapters.data(), 4 * adapters.size());
    for (const TensorType& t : r.outputs) out_.push_back(make(t));
    dout_ = make(r.outputs[0]);
    for (Passing* p : {&forward_, &backward_}) p->scratch = make({DType::U8, {static_cast<int64_t>(p->kernel->scratch_bytes())}});
  }
  void forward() { run(forward_); }
  void backward() { run(backward_); }
  std::string names() const { return forward_.kernel->name() + " " + backward_.kernel->name(); }

 private:
  struct Passing {
    std::unique_ptr<Kernel> kernel;
    std::vector<void*> in;
    void* scratch = nullptr;
  };
  void* make(const TensorType& type) { return memory_.emplace_back(column_, type).address(); }
  void* packed(const Kernel& kernel, const TensorType& type, void* plain) {
    const PackSpec spec = kernel.pack(1);
    if (spec.layout.empty()) return plain;
    void* to = make({DType::U8, {static_cast<int64_t>(spec.bytes)}});
    auto pack = column_.prepare_pack(type, spec);
    Tensor scratch(column_, {DType::U8, {static_cast<int64_t>(pack->scratch_bytes())}});
    void *in[] = {plain}, *out[] = {to};
    pack->run(Args{in, out, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, scratch.address(), nullptr});
    return to;
  }
  void run(const Passing& p) {
    p.kernel->run(Args{p.in.data(), out_.data(), din_.data(), dout_, nullptr, nullptr, nullptr, nullptr, p.scratch, nullptr});
  }
  Column& column_;
  std::vector<Tensor> memory_;
  Passing forward_, backward_;
  std::vector<void*> out_, din_;
  void* dout_ = nullptr;
};

void compare(const std::string& what, const char* precision, int rounds, Layer& one, Layer& other) {
  for (int round = -1; round < rounds; round++) {  // the first one untimed
    double ms[2][2];
    for (int turn = 0; turn < 2; turn++) {
      const int which = (turn + round) & 1;
      Layer& layer = which ? other : one;
      ms[which][0] = milliseconds([&] { layer.forward(); });
      ms[which][1] = milliseconds([&] { layer.backward(); });
    }
    const double a = ms[0][0] + ms[0][1], b = ms[1][0] + ms[1][1];
    if (round >= 0)
      std::printf("%s,%s,%d,%.3f,%.3f,%.3f,%.3f,%.4f\n", what.c_str(), precision, round, ms[0][0], ms[0][1], ms[1][0], ms[1][1], a / b);
  }
}

void measure(Column& column, DType type, int64_t in, int64_t out, int64_t rank, int rounds) {
  const char* precision = name_of(type);
  TensorType absent;
  absent.shape.rank = -1;
  const TensorType x{type, {kRows, in}}, w{DType::F32, {out, in}}, bias{DType::F32, {out}};
  auto low_rank = [&](int64_t samples, const std::vector<int32_t>& adapters) {
    Shape a{rank, in}, b{out, rank};
    TensorType ids = absent, rows = x;
    if (!adapters.empty()) {
      a = {kAdapters, rank, in};
      b = {kAdapters, out, rank};
      ids = {DType::I32, {samples}};
    }
    return Layer(column, "lora_linear", type,
                 {rows, w, bias, {DType::F32, a}, {DType::F32, b}, absent, ids, absent}, {{"factor", 2}}, {0, 3, 4}, adapters);
  };
  const std::string sizes = text(kRows, "x", in, "x", out, "_r", rank);
  Layer frozen(column, "linear", type, {x, w, bias}, {}, {0}), lora = low_rank(0, {});
  std::fprintf(stderr, "%s %s: %s | %s\n", sizes.c_str(), precision, frozen.names().c_str(), lora.names().c_str());
  compare("lora_" + sizes, precision, rounds, lora, frozen);
  if (in != out || rank != 8) return;
  std::vector<int32_t> ordered, scattered;
  for (int i = 0; i < kAdapters; i++) ordered.push_back(i);
  for (int i = 0; i < 64; i++) scattered.push_back(i * 37 % 64 % 8);
  Layer grouped = low_rank(kAdapters, ordered), mixed = low_rank(64, scattered);
  compare("grouped_" + sizes, precision, rounds, grouped, lora);
  compare("scattered_" + sizes, precision, rounds, mixed, lora);
}

}  // namespace

int main(int argc, char** argv) {
  int rounds = 9, threads = 2;
  for (int i = 1; i + 1 < argc; i += 2) (std::strcmp(argv[i], "--rounds") == 0 ? rounds : threads) = std::atoi(argv[i + 1]);
  auto column = make_cpu_column(make_reference_column());
  column->enter_lane(threads);
  std::printf("workload,precision,round,forward_ms,backward_ms,other_forward_ms,other_backward_ms,ratio\n");
  for (DType type : {DType::F32, DType::BF16}) {
    if (!column->computes(type)) continue;
    measure(*column, type, 768, 768, 8, rounds);
    measure(*column, type, 768, 768, 64, rounds);
    measure(*column, type, 768, 3072, 8, rounds);
    measure(*column, type, 3072, 768, 8, rounds);
  }
}
