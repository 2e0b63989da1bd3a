// The CPU column: which kernel serves which request, memory, lanes.
#include <omp.h>
#include <sys/mman.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <dnnl.hpp>

#include "core/memory_limit.h"
#include "kernels.h"
#include "onednn.h"

namespace graft {
namespace cpu {
namespace {

using Maker = std::unique_ptr<Kernel> (*)(const Request&);

const std::map<std::string, Maker>& makers() {
  static const std::map<std::string, Maker> table = {
      {"linear", make_linear},         {"lora_linear", make_lora_linear}, {"matmul", make_matmul},       {"conv2d", make_conv2d},
      {"batch_norm", make_batch_norm}, {"layer_norm", make_layer_norm}, {"relu", make_unary},
      {"relu6", make_unary},           {"leaky_relu", make_unary},    {"gelu", make_unary},
      {"silu", make_unary},            {"sigmoid", make_unary},       {"scale", make_unary},
      {"add", make_binary},            {"multiply", make_binary},     {"dropout", make_dropout},
      {"embed_tokens", make_embed_tokens}, {"normalize_pictures", make_pictures},
      {"max_pool", make_pool},         {"avg_pool", make_pool},       {"global_pool", make_pool},
      {"reshape", make_movement},      {"transpose", make_movement},  {"concat", make_movement},
      {"slice", make_movement},        {"pad", make_movement},        {"softmax", make_softmax},
      {"attention", make_attention},
      {"softmax_cross_entropy", make_cross_entropy}, {"linear_cross_entropy", make_linear_cross_entropy}, {"bce_with_logits", make_elementwise_loss},
      {"mse", make_elementwise_loss},  {"mae", make_elementwise_loss}};
  return table;
}

bool is_unary(const std::string& op) {
  auto it = makers().find(op);
  return it != makers().end() && it->second == make_unary && op != "scale";
}

// Large blocks come from the system, on huge pages where it has them, as far as these are filled whole: fewer address translations on
// long streams, and no more memory than asked for (a vision transformer has hundreds of blocks of 2.25 MiB). Each begins
// a little further into its first huge page than the one before: the optimizer walks four blocks at the same offsets, and where
// these agree in their low bits they compete for the same cache sets. The step is ten cache lines, not one: a load whose low
// twelve bits are those of a store of the iteration before waits for it (the update then took 30 ms in place of 17, in cache).
constexpr size_t kLarge = size_t{2} << 20;
constexpr size_t kStagger = 10 * 64, kStaggers = 16;

constexpr size_t kPage = 4096;

size_t mapped_length(size_t bytes) { return (bytes + kStagger * kStaggers + kPage - 1) / kPage * kPage; }

void* map_large(size_t bytes, size_t number) {
  const size_t length = mapped_length(bytes), whole = length + kLarge;
  void* p = mmap(nullptr, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) return nullptr;
  char* begin = static_cast<char*>(p);
  char* start = begin + (kLarge - reinterpret_cast<uintptr_t>(begin) % kLarge) % kLarge;
  if (start != begin) munmap(begin, start - begin);
  if (char* end = begin + whole; start + length != end) munmap(start + length, end - (start + length));
  madvise(start, length / kLarge * kLarge, MADV_HUGEPAGE);
  return start + number % kStaggers * kStagger;
}

void unmap_large(void* address, size_t bytes) {
  char* p = static_cast<char*>(address);
  munmap(p - reinterpret_cast<uintptr_t>(p) % kLarge, mapped_length(bytes));
}

class CpuColumn : public Column {
 public:
  explicit CpuColumn(std::unique_ptr<Column> fallback) : fallback_(std::move(fallback)) {
    simd();  // reports a bad GRAFT_ISA here
  }
  const char* name() const override { return "cpu"; }

  std::string describe() const override {
    const dnnl_version_t* v = dnnl_version();
    return text(R"({"column":"cpu","isa":")", simd().name, R"(","threads":)", threads(), R"(,"bf16":)", has_bf16() ? "true" : "false",
                R"(,"libraries":{"onednn":")", v->major, ".", v->minor, ".", v->patch, R"("},"bytes":)", held_.load(), "}");
  }
  bool computes(DType type) const override { return type == DType::F32 || (type == DType::BF16 && has_bf16()); }

  void* allocate(size_t bytes) override {
    void* p = bytes >= kLarge ? map_large(bytes, blocks_++) : std::aligned_alloc(64, aligned(std::max<size_t>(bytes, 1)));
    if (!p) throw Error(GRAFT_OUT_OF_MEMORY, text("the system refused ", bytes, " bytes"));
    held_ += bytes;
    return p;
  }
  void release(void* address, size_t bytes) noexcept override {
    if (!address) return;
    if (bytes >= kLarge) unmap_large(address, bytes);
    else std::free(address);
    held_ -= bytes;
  }
  void copy_in(void* address, const void* host, size_t bytes) override { copy(address, host, bytes); }
  void copy_out(void* host, const void* address, size_t bytes) override { copy(host, address, bytes); }
  void copy(void* to, const void* from, size_t bytes) override {
    if (bytes) std::memcpy(to, from, bytes);
  }
  size_t available_bytes() const override { return available_memory(); }

  bool fuses(const Request& r, const Epilogue& e) const override {
    if (!e.any()) return true;
    const std::string op = r.name();
    if (!storable(r.outputs[0].dtype)) return false;
    // In bf16 g is rounded when it is stored and dx is made of it: one rounding too many where the slope is a number of its own.
    const Activation last = r.outputs[0].dtype == DType::F32 ? Activation::Sigmoid : Activation::LeakyRelu;
    if (op == "batch_norm") return r.pass == Pass::Forward || e.activation <= last;
    if (r.pass != Pass::Forward) return false;
    return op == "conv2d" || op == "linear" || op == "lora_linear" || (op == "add" && !e.residual);
  }
  bool takes_second_gradient(const Request& r) const override {
    const std::string op = r.name();
    return op == "batch_norm" || op == "layer_norm" || op == "softmax" || op == "dropout" || is_unary(op);
  }
  bool recomputes(const Request& r) const override {
    return r.name() == "batch_norm" && r.batch_statistics && r.epilogue.activation == Activation::Relu && !r.residual_gradient;
  }
  bool accumulates(const Request& r, size_t input) const override {
    const std::string op = r.name();
    if (op == "conv2d" || op == "linear" || op == "batch_norm" || op == "layer_norm" || op == "embed_tokens" || op == "linear_cross_entropy") return input > 0;
    return op == "lora_linear" || op == "matmul" || op == "add" || op == "multiply" || op == "scale" || is_unary(op);
  }

  std::unique_ptr<Kernel> prepare(const Request& r) override {
    auto it = makers().find(r.name());
    std::unique_ptr<Kernel> kernel;
    if (it != makers().end()) kernel = made([&] { return it->second(r); }, r.node);
    if (auto* plain = dynamic_cast<PlainKernel*>(kernel.get())) plain->expect(r.inputs);
    return kernel ? std::move(kernel) : fallback_->prepare(r);
  }
  std::unique_ptr<Kernel> prepare(const ServiceRequest& r) override {
    auto kernel = made([&] { return make_service(r); }, "a service");
    return kernel ? std::move(kernel) : fallback_->prepare(r);
  }
  std::unique_ptr<Kernel> prepare(const OptimizerRequest& r) override { return make_optimizer(r); }
  std::unique_ptr<Kernel> prepare(const ProductRequest& r) override {
    auto kernel = made([&] { return make_product(r); }, "a product");
    return kernel ? std::move(kernel) : fallback_->prepare(r);
  }
  std::unique_ptr<Kernel> prepare_pack(const TensorType& plain, const PackSpec& spec) override {
    auto kernel = made([&] { return make_pack(plain, spec); }, "a packed weight");
    return kernel ? std::move(kernel) : fallback_->prepare_pack(plain, spec);
  }

  int64_t count_nonfinite(const void* address, const TensorType& type) override {
    if (!storable(type.dtype)) return fallback_->count_nonfinite(address, type);
    return simd().nonfinite(store_of(type.dtype), address, type.count());
  }

  void enter_lane(int count) override {
    use_threads(count);
    omp_set_dynamic(0);
    omp_set_num_threads(count);
  }
  void begin_alone() override { cpu::begin_alone(); }
  void end_alone() noexcept override { cpu::end_alone(); }
  void synchronize() override {}

 private:
  // oneDNN's failures get the name of what was prepared.
  template <class F>
  static std::unique_ptr<Kernel> made(const F& make, const std::string& what) {
    LaneThreads lane;
    try {
      return make();
    } catch (const dnnl::error& e) {
      throw Error(e.status == dnnl_out_of_memory ? GRAFT_OUT_OF_MEMORY : GRAFT_INTERNAL, text("oneDNN could not prepare ", what, ": ", e.what()));
    }
  }

  std::unique_ptr<Column> fallback_;
  std::atomic<size_t> held_{0};
  std::atomic<size_t> blocks_{0};  // large ones so far
};

}  // namespace
}  // namespace cpu

std::unique_ptr<Column> make_cpu_column(std::unique_ptr<Column> fallback) { return std::make_unique<cpu::CpuColumn>(std::move(fallback)); }

}  // namespace graft
