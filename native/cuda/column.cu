// The CUDA column: which kernel serves which request, memory, copies. Work is enqueued on one stream of the column's own, in the order
// of the calls; copies to and from the host wait for it.
#include "cuda/column.h"

#include <atomic>
#include <cstdlib>
#include <map>
#include <mutex>

#include "caller.h"
#include "feed.h"
#include "matmul/choice.h"
#include "recorder.h"
#include "vendor/libraries.h"

namespace graft {
namespace cuda {
namespace {

using Maker = std::unique_ptr<Kernel> (*)(const Device&, const Request&);

const std::map<std::string, Maker>& makers() {
  static const std::map<std::string, Maker> table = {
      {"add", make_binary},
      {"attention", make_attention},
      {"avg_pool", make_pool},
      {"batch_norm", make_batch_norm},
      {"bce_with_logits", make_elementwise_loss},
      {"concat", make_movement},
      {"conv2d", make_conv2d},
      {"dropout", make_dropout},
      {"embed_tokens", make_embed_tokens},
      {"gelu", make_unary},
      {"global_pool", make_pool},
      {"layer_norm", make_layer_norm},
      {"leaky_relu", make_unary},
      {"linear", make_linear},
      {"linear_cross_entropy", make_linear_cross_entropy},
      {"lora_linear", make_lora_linear},
      {"mae", make_elementwise_loss},
      {"matmul", make_matmul},
      {"max_pool", make_pool},
      {"mse", make_elementwise_loss},
      {"multiply", make_binary},
      {"normalize_pictures", make_pictures},
      {"pad", make_movement},
      {"relu", make_unary},
      {"relu6", make_unary},
      {"reshape", make_movement},
      {"scale", make_unary},
      {"sigmoid", make_unary},
      {"silu", make_unary},
      {"slice", make_movement},
      {"softmax", make_softmax},
      {"softmax_cross_entropy", make_cross_entropy},
      {"transpose", make_movement},
  };
  return table;
}

bool one_of(const std::string& op, std::initializer_list<const char*> names) {
  for (const char* name : names)
    if (op == name) return true;
  return false;
}

bool is_product(const std::string& op) { return one_of(op, {"linear", "lora_linear", "matmul", "conv2d", "attention"}); }

// A weight that is a parameter comes as F32. Kernels take it in the type that they compute in: pack() asks for that.
Request with_weights_converted(Request r) {
  for (size_t i = 0; i < r.inputs.size() && r.weights_may_pack; i++) {
    const Role role = r.op->inputs[std::min(i, r.op->inputs.size() - 1)].role;
    if (role == Role::Weight && r.inputs[i].dtype == DType::F32 && r.inputs[i].shape.rank >= 0) r.inputs[i].dtype = r.compute;
  }
  return r;
}

const char* name_of(Pass pass) { return pass == Pass::Forward ? "forward" : pass == Pass::Backward ? "backward" : "loss"; }

class CudaColumn : public Column {
 public:
  explicit CudaColumn(int number) {
    device_.number = number;
    choice_settings(device_);  // a wrong word is told now
    Current current(number);
    cudaDeviceProp properties;
    check(cudaGetDeviceProperties(&properties, number), "asking for the device's properties");
    model_ = properties.name;
    capability_ = text(properties.major, ".", properties.minor);
    device_.capability = 10 * properties.major + properties.minor;
    device_.multiprocessors = properties.multiProcessorCount;
    device_.most_shared = properties.sharedMemPerBlockOptin;
    check(cudaStreamCreateWithFlags(&device_.stream.own, cudaStreamNonBlocking), "creating a stream");
    try {
      callers_ = std::make_unique<CallerStreams>(device_);
      recorder_ = std::make_unique<Recorder>(device_);
      check(cudaStreamCreateWithFlags(&copies_, cudaStreamNonBlocking), "creating a stream");
      counter_ = static_cast<unsigned long long*>(allocate(sizeof *counter_));
    } catch (...) {
      if (copies_) cudaStreamDestroy(copies_);
      cudaStreamDestroy(device_.stream.own);
      throw;
    }
  }
  ~CudaColumn() override {
    release(counter_, sizeof *counter_);
    cudaStreamDestroy(copies_);
    cudaStreamDestroy(device_.stream.own);
  }

  cudaStream_t stream() const { return device_.stream.own; }

  const char* name() const override { return "cuda"; }
  std::string describe() const override {
    Json json;
    json.begin_object().field("column", "cuda").field("device", device_.number).field("name", model_).field("isa", "compute " + capability_);
    json.field("multiprocessors", device_.multiprocessors).field("bf16", true).key("libraries").begin_object();
    for (const VendorLibrary& library : vendor_libraries()) cuda::describe(json.key(library.name), library);
    return json.end_object().field("bytes", static_cast<int64_t>(held_.load())).end_object().text();
  }
  void choose(const ProductChoice& choice) override { device_.choice = choice; }
  bool computes(DType type) const override { return storable(type); }

  void* allocate(size_t bytes) override {
    Current current(device_.number);
    void* address = nullptr;
    const cudaError_t status = cudaMalloc(&address, std::max<size_t>(bytes, 1));
    if (status == cudaErrorMemoryAllocation) {
      cudaGetLastError();
      throw Error(GRAFT_OUT_OF_MEMORY, text("CUDA device ", device_.number, " refused ", bytes, " bytes; ", available_bytes(), " are free"));
    }
    check(status, "allocating memory");
    held_ += bytes;
    return address;
  }
  void release(void* address, size_t bytes) noexcept override {
    if (!address) return;
    cudaFree(address);  // waits for what still uses it; any device's address is accepted
    held_ -= bytes;
  }
  void copy_in(void* address, const void* host, size_t bytes) override { move(address, host, bytes, cudaMemcpyHostToDevice, true); }
  void copy_out(void* host, const void* address, size_t bytes) override { move(host, address, bytes, cudaMemcpyDeviceToHost, true); }
  void copy(void* to, const void* from, size_t bytes) override { move(to, from, bytes, cudaMemcpyDeviceToDevice, false); }
  size_t available_bytes() const override {
    Current current(device_.number);
    size_t free = 0, total = 0;
    check(cudaMemGetInfo(&free, &total), "asking for free memory");
    return free;
  }

  bool fuses(const Request& r, const Epilogue& e) const override {
    if (!e.any()) return true;
    const std::string op = r.name();
    // In bf16 g is rounded when it is stored and dx is made of it: one rounding too many where the slope is a number of its own.
    const Activation last = r.outputs[0].dtype == DType::F32 ? Activation::Sigmoid : Activation::LeakyRelu;
    if (r.pass == Pass::Backward) return op == "batch_norm" && e.activation <= last;
    return one_of(op, {"add", "batch_norm", "linear", "lora_linear", "conv2d"});
  }
  bool takes_second_gradient(const Request& r) const override { return !is_product(r.name()) && r.name() != "concat"; }
  bool recomputes(const Request&) const override { return false; }
  bool accumulates(const Request& r, size_t input) const override { return !r.op->loss || input > 0; }

  std::unique_ptr<Kernel> prepare(const Request& asked) override {
    Current current(device_.number);
    const PlanChoice plan(asked.choice);
    const Request r = with_weights_converted(asked);
    auto it = makers().find(r.name());
    std::unique_ptr<Kernel> kernel = it == makers().end() ? nullptr : it->second(device_, r);
    if (!kernel) throw Error(GRAFT_UNAVAILABLE, text("the CUDA column has no kernel for ", r.name(), " (", name_of(r.pass), ", ", graft::name_of(r.outputs[0].dtype), ") of ", r.node));
    if (auto* plain = dynamic_cast<OwnKernel*>(kernel.get())) plain->expect(r.inputs);
    return kernel;
  }
  std::unique_ptr<Kernel> prepare(const ServiceRequest& r) override {
    Current current(device_.number);
    auto kernel = make_service(device_, r);
    if (!kernel) throw Error(GRAFT_UNAVAILABLE, text("the CUDA column has no kernel for service ", static_cast<int>(r.service), " on these types"));
    return kernel;
  }
  std::unique_ptr<Kernel> prepare(const OptimizerRequest& r) override {
    Current current(device_.number);
    return make_optimizer(device_, r);
  }
  std::unique_ptr<Kernel> prepare(const ProductRequest& r) override {
    Current current(device_.number);
    auto kernel = make_product(device_, r);
    if (!kernel) throw Error(GRAFT_UNAVAILABLE, text("the CUDA column has no product of ", graft::name_of(r.type), " into ", graft::name_of(r.result)));
    return kernel;
  }
  std::unique_ptr<Kernel> prepare_pack(const TensorType& plain, const PackSpec& spec) override {
    ensure(spec.layout.empty(), "the CUDA column has no layout ", spec.layout);
    return prepare(ServiceRequest{Service::Convert, {plain}, {{spec.dtype, plain.shape}}, {}, {}});
  }

  int64_t count_nonfinite(const void* address, const TensorType& type) override {
    require(storable(type.dtype), "the CUDA column counts NaN in f32 and bf16, not ", graft::name_of(type.dtype));
    std::lock_guard<std::mutex> guard(counting_);  // one counter
    Current current(device_.number);
    check(cudaMemsetAsync(counter_, 0, sizeof *counter_, device_.stream), "clearing memory");
    cuda::count_nonfinite(device_, address, type.dtype, type.count(), counter_);
    unsigned long long count = 0;
    copy_out(&count, counter_, sizeof count);
    return static_cast<int64_t>(count);
  }

  void enter_lane(int) override { check(cudaSetDevice(device_.number), "choosing a device"); }
  void begin_alone() override {}
  void end_alone() noexcept override {}
  void synchronize() override {
    Current current(device_.number);
    check(cudaStreamSynchronize(device_.stream), "waiting for the device");
  }

  bool enqueues() const override { return true; }
  void reach(const char* what, int64_t address, int64_t bytes) const override {
    Current current(device_.number);
    check_reach(what, address, bytes, allocation_of(address), device_.number);
  }
  void enqueue(int64_t stream, const void* first, size_t count, size_t bytes, const std::function<void(void*)>& body) override {
    callers_->enqueue(stream, first, count, bytes, body);
  }
  void* allocate_host(size_t bytes) override {
    Current current(device_.number);
    void* address = nullptr;
    const cudaError_t status = cudaHostAlloc(&address, std::max<size_t>(bytes, 1), cudaHostAllocDefault);
    if (status == cudaErrorMemoryAllocation) {
      cudaGetLastError();
      throw Error(GRAFT_OUT_OF_MEMORY, text("the system refused ", bytes, " bytes of pinned memory for CUDA device ", device_.number));
    }
    check(status, "allocating pinned memory");
    return address;
  }
  void release_host(void* address, size_t) noexcept override { cudaFreeHost(address); }
  void enqueue_in(void* address, const void* host, size_t bytes) override { move(address, host, bytes, cudaMemcpyHostToDevice, false); }
  void enqueue_out(void* host, const void* address, size_t bytes) override { move(host, address, bytes, cudaMemcpyDeviceToHost, false); }
  std::unique_ptr<Feed> feed(size_t bytes) override { return std::make_unique<DeviceFeed>(*this, device_, copies_, bytes); }
  std::unique_ptr<Recording> record(const std::function<void()>& body) override {
    Current current(device_.number);
    return recorder_->record(body);
  }
  std::string blame(const std::string& message) override {
    std::lock_guard<std::mutex> guard(counting_);
    Current current(device_.number);
    const cudaError_t state = cudaStreamSynchronize(device_.stream.own);
    if (!poisons(state)) return message;
    cudaGetLastError();
    if (first_fault_.empty()) return first_fault_ = message;
    return text("CUDA device ", device_.number, " takes no more work from this process since an earlier fault: ", first_fault_);
  }

 private:
  void move(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, bool wait) {
    if (bytes == 0) return;
    Current current(device_.number);
    check(cudaMemcpyAsync(to, from, bytes, kind, device_.stream), "copying");
    if (wait) check(cudaStreamSynchronize(device_.stream), "copying");
  }

  Device device_;
  std::string model_, capability_;
  std::atomic<size_t> held_{0};
  std::mutex counting_;
  unsigned long long* counter_ = nullptr;
  std::unique_ptr<CallerStreams> callers_;
  std::unique_ptr<Recorder> recorder_;
  cudaStream_t copies_ = nullptr;
  std::string first_fault_;
};

}  // namespace
}  // namespace cuda

std::unique_ptr<Column> make_cuda_column(int device) { return std::make_unique<cuda::CudaColumn>(device); }
void* compute_stream(const Column& column) { return static_cast<const cuda::CudaColumn&>(column).stream(); }

}  // namespace graft
