// Core never touches column memory: a column hands out addresses that fault, and whole plans run on it.
#include <sys/mman.h>

#include <atomic>

#include "net.h"

using namespace graft;
using namespace graft::test;

namespace {

constexpr size_t kRoom = size_t{256} << 20;

// Two mappings of one size: addresses of the first are handed out and fault, the bytes lie in the second.
class Shadow {
 public:
  Shadow() : visible_(map(PROT_NONE)), real_(map(PROT_READ | PROT_WRITE)) {}
  ~Shadow() {
    munmap(visible_, kRoom);
    munmap(real_, kRoom);
  }
  void* take(size_t bytes) {
    size_t at = next_.fetch_add(aligned(bytes) + 64);
    if (at + bytes > kRoom) throw Error(GRAFT_OUT_OF_MEMORY, "the test's memory is used up");
    return visible_ + at;
  }
  template <class T>
  T* real(T* address) const {
    if (!address) return nullptr;
    auto offset = reinterpret_cast<const char*>(address) - visible_;
    ensure(offset >= 0 && offset < static_cast<ptrdiff_t>(kRoom), "an address that is not the column's");
    return reinterpret_cast<T*>(real_ + offset);
  }

 private:
  static char* map(int protection) {
    void* p = mmap(nullptr, kRoom, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    ensure(p != MAP_FAILED, "no address space");
    return static_cast<char*>(p);
  }
  char *visible_, *real_;
  std::atomic<size_t> next_{0};
};

class FaultingKernel : public Kernel {
 public:
  FaultingKernel(const Shadow& shadow, std::unique_ptr<Kernel> kernel, size_t in, size_t out) : shadow_(shadow), kernel_(std::move(kernel)), in_(in), out_(out) {}
  void run(const Args& args) const override {
    std::vector<void*> in = all(args.in, in_), out = all(args.out, out_), din = all(args.din, in_);
    StepBlock step{};
    if (args.step) {
      const StepBlock& s = *args.step;
      step = {at(s.header), at(s.rate), at(s.decay), at(s.anchor), at(s.loss_weight), at(s.row_weight), at(s.row_id), at(s.loss), at(s.correct), at(s.gradient_norm), at(s.update_norms)};
    }
    kernel_->run({in.data(), out.data(), din.data(), at(args.dout), at(args.dout2), at(args.residual), at(args.dresidual), at(args.activated), at(args.scratch), &step});
  }
  std::string name() const override { return "faulting:" + kernel_->name(); }
  size_t scratch_bytes() const override { return kernel_->scratch_bytes(); }
  PackSpec pack(size_t i) const override { return kernel_->pack(i); }

 private:
  template <class T>
  T* at(T* address) const { return shadow_.real(address); }
  std::vector<void*> all(void* const* addresses, size_t n) const {
    std::vector<void*> v(n, nullptr);
    for (size_t i = 0; addresses && i < n; i++) v[i] = at(addresses[i]);
    return v;
  }
  const Shadow& shadow_;
  std::unique_ptr<Kernel> kernel_;
  size_t in_, out_;
};

// Another column behind such memory.
class FaultingColumn : public Column {
 public:
  explicit FaultingColumn(std::unique_ptr<Column> column) : column_(std::move(column)) {}
  const char* name() const override { return "faulting"; }
  std::string describe() const override { return "{}"; }
  bool computes(DType type) const override { return column_->computes(type); }
  void* allocate(size_t bytes) override { return shadow_.take(bytes); }
  void release(void*, size_t) noexcept override {}
  void copy_in(void* address, const void* host, size_t bytes) override { column_->copy_in(shadow_.real(address), host, bytes); }
  void copy_out(void* host, const void* address, size_t bytes) override { column_->copy_out(host, shadow_.real(address), bytes); }
  void copy(void* to, const void* from, size_t bytes) override { column_->copy(shadow_.real(to), shadow_.real(from), bytes); }
  size_t available_bytes() const override { return kRoom; }
  bool fuses(const Request& r, const Epilogue& e) const override { return column_->fuses(r, e); }
  bool takes_second_gradient(const Request& r) const override { return column_->takes_second_gradient(r); }
  bool recomputes(const Request& r) const override { return column_->recomputes(r); }
  bool accumulates(const Request& r, size_t input) const override { return column_->accumulates(r, input); }
  std::unique_ptr<Kernel> prepare(const Request& r) override { return wrap(column_->prepare(r), r.inputs.size(), r.outputs.size()); }
  std::unique_ptr<Kernel> prepare(const ServiceRequest& r) override { return wrap(column_->prepare(r), r.inputs.size(), r.outputs.size()); }
  std::unique_ptr<Kernel> prepare(const OptimizerRequest& r) override { return wrap(column_->prepare(r), 6, 3); }
  std::unique_ptr<Kernel> prepare(const ProductRequest& r) override { return wrap(column_->prepare(r), 4, 1); }
  std::unique_ptr<Kernel> prepare_pack(const TensorType& t, const PackSpec& s) override { return wrap(column_->prepare_pack(t, s), 1, 1); }
  int64_t count_nonfinite(const void* address, const TensorType& type) override { return column_->count_nonfinite(shadow_.real(address), type); }
  void enter_lane(int threads) override { column_->enter_lane(threads); }
  void begin_alone() override { column_->begin_alone(); }
  void end_alone() noexcept override { column_->end_alone(); }
  void synchronize() override { column_->synchronize(); }

 private:
  std::unique_ptr<Kernel> wrap(std::unique_ptr<Kernel> kernel, size_t in, size_t out) {
    return std::make_unique<FaultingKernel>(shadow_, std::move(kernel), in, out);
  }
  Shadow shadow_;
  std::unique_ptr<Column> column_;
};

void network(Net& net) {
  int x = net.node("relu", "r", {net.norm("n", net.conv("c", net.input("x", {4, 6, 6, 3}), 8))});
  x = net.node("max_pool", "half", {x}, "kernel_h=2,kernel_w=2,stride_h=2,stride_w=2");
  x = net.node("add", "sum", {x, net.norm("n2", net.conv("c2", x, 8))});
  int h = net.linear("head", net.node("dropout", "drop", {net.node("global_pool", "pool", {x})}, "rate=0.1"), 3);
  net.node("softmax_cross_entropy", "loss", {h, net.input("label", {4}, DType::I32)});
  net.graph.output("logits", h);
}

}  // namespace

int main(int argc, char** argv) {
  Harness harness(argc, argv);
  for (bool cpu : {false, true}) {
    auto column = [&]() -> std::unique_ptr<Column> { return cpu ? make_cpu_column(make_reference_column()) : make_reference_column(); };
    const std::string name = cpu ? "cpu" : "reference";
    const std::string all = "mode train\nbatch 4\noptimizer adamw clip=1,anchor=1,watch=1\ntrain 0 c.weight\ntrain 0 c2.weight\ntrain 0 head.weight\n"
                            "rows head.weight 1 3\ntrain 0 head.bias\ntrack n.running_mean\ntrack n.running_var\nkeep pool\n";
    for (const char* precision : {"f32", "bf16"})
      harness.test("a training step, reads, writes and forms on memory that faults: " + name + " " + precision, [&] {
        if (!column()->computes(DType::BF16) && precision[0] == 'b') return;
        auto device = std::make_shared<Device>(std::make_unique<FaultingColumn>(column()), 1, 1);
        auto ordinary = std::make_shared<Device>(column(), 1, 1);
        Net net(device), same(ordinary);
        for (Net* n : {&net, &same}) network(*n);
        const std::string options = all + "accumulate 1\nprecision " + precision;
        Bench bench(net, options), expected(same, options);
        for (int i = 0; i < 2; i++) {
          bench.run(GRAFT_STEP);
          expected.run(GRAFT_STEP);
        }
        harness.expect(bench.loss() == expected.loss(), "loss ", bench.loss(), ", on ordinary memory ", expected.loss());
        for (const char* value : {"logits", "pool", "gradient:pool", "gradient:c.weight"})
          harness.expect(bench.read(value) == expected.read(value), value, " differs from ordinary memory");
        harness.expect(net.read("c.weight") == same.read("c.weight"), "weights differ");
        harness.expect(bench.session.find_nonfinite(GRAFT_STEP).empty(), "something is not finite");
        bench.session.profile(GRAFT_FORWARD);
        std::vector<double> norms(2 * 4);
        bench.session.update_norms(norms.data(), 8);
        Bench eval(net, text("batch 4\nprecision ", precision));
        eval.run(GRAFT_FORWARD);
        Bench stage(net, "mode train\nbatch 4\noptimizer adamw\ntrain 0 c2.weight\ntrain 0 head.weight");
        stage.run(GRAFT_STEP);
        std::vector<float> m(net.read("head.weight").size());
        net.params->read_moment("head.weight", 0, m.data(), static_cast<int64_t>(m.size()));
        net.params->write_moment("head.weight", 0, m.data(), static_cast<int64_t>(m.size()));
        eval.run(GRAFT_FORWARD);
      });
  }
  return harness.finish();
}
