// The reference as a column: host memory, plain layouts, one thread.
#include <cmath>
#include <cstdlib>

#include "memory_limit.h"
#include "reference.h"

namespace graft {
namespace reference {
namespace {

class ReferenceKernel : public Kernel {
 public:
  explicit ReferenceKernel(const Request& request) : request_(request), implementation_(implementation_of(request.op->name)) {
    loop_ = request.pass == Pass::Backward ? implementation_.backward : implementation_.forward;
    ensure(loop_, "operation ", request.op->name, " has no such pass");
  }
  void run(const Args& args) const override { loop_(Run(request_, args)); }
  std::string name() const override { return "reference:" + request_.op->name; }
  size_t scratch_bytes() const override {
    return gradient_bytes(request_) + sizeof(double) * (implementation_.sums ? implementation_.sums(request_) : 0);
  }
  PackSpec pack(size_t i) const override { return {request_.inputs[i].dtype, "", request_.inputs[i].bytes()}; }

 private:
  Request request_;
  const Implementation& implementation_;
  void (*loop_)(const Run&);
};

class ReferenceColumn : public Column {
 public:
  const char* name() const override { return "reference"; }
  std::string describe() const override { return R"({"column":"reference","isa":"none","libraries":{},"bf16":true})"; }
  bool computes(DType type) const override { return type == DType::F32 || type == DType::BF16 || type == DType::F64; }

  void* allocate(size_t bytes) override {
    void* address = std::aligned_alloc(64, aligned(std::max<size_t>(bytes, 1)));
    if (!address) throw Error(GRAFT_OUT_OF_MEMORY, text("the system refused ", bytes, " bytes"));
    return address;
  }
  void release(void* address, size_t) noexcept override { std::free(address); }
  void copy_in(void* address, const void* host, size_t bytes) override { copy(address, host, bytes); }
  void copy_out(void* host, const void* address, size_t bytes) override { copy(host, address, bytes); }
  void copy(void* to, const void* from, size_t bytes) override {
    if (bytes) std::memcpy(to, from, bytes);
  }
  size_t available_bytes() const override { return available_memory(); }

  bool fuses(const Request& request, const Epilogue& epilogue) const override {
    if (!epilogue.any()) return true;
    bool from_result = epilogue.activation != Activation::GeluExact && epilogue.activation != Activation::GeluTanh &&
                       epilogue.activation != Activation::Silu;
    return implementation_of(request.op->name).epilogue && (request.pass == Pass::Forward || from_result);
  }
  bool takes_second_gradient(const Request&) const override { return true; }
  bool recomputes(const Request&) const override { return false; }
  bool accumulates(const Request&, size_t) const override { return true; }

  std::unique_ptr<Kernel> prepare(const Request& request) override {
    ensure(request.pass == Pass::Backward || fuses(request, request.epilogue), "the reference has no such epilogue on ",
           request.name());
    return std::make_unique<ReferenceKernel>(request);
  }
  std::unique_ptr<Kernel> prepare(const ServiceRequest& request) override { return prepare_service(request); }
  std::unique_ptr<Kernel> prepare(const OptimizerRequest& request) override { return prepare_optimizer(request); }
  std::unique_ptr<Kernel> prepare(const ProductRequest& request) override { return prepare_product(request); }
  std::unique_ptr<Kernel> prepare_pack(const TensorType& plain, const PackSpec& spec) override {
    ensure(spec.layout.empty(), "the reference has no layout ", spec.layout);
    return prepare_convert(plain, {spec.dtype, plain.shape});
  }

  int64_t count_nonfinite(const void* address, const TensorType& type) override {
    int64_t n = 0;
    for (int64_t i = 0; i < type.count(); i++) n += !std::isfinite(load(address, type.dtype, i));
    return n;
  }
  void enter_lane(int) override {}
  void begin_alone() override {}
  void end_alone() noexcept override {}
  void synchronize() override {}
};

}  // namespace
}  // namespace reference

std::unique_ptr<Column> make_reference_column() { return std::make_unique<reference::ReferenceColumn>(); }

}  // namespace graft
