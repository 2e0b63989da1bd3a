// What the column's kernels have in common, and their makers. A maker gives null where this column has no kernel for the request.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "column.h"
#include "cut.h"
#include "launch.h"

namespace graft::cuda {

// The stream that a device's work goes to: the column's own, or the caller's where the calling thread is within an OnStream.
class Stream {
 public:
  operator cudaStream_t() const { return replaced() == this ? other() : own; }
  cudaStream_t own = nullptr;

 private:
  friend class OnStream;
  static const Stream*& replaced() {
    static thread_local const Stream* stream = nullptr;
    return stream;
  }
  static cudaStream_t& other() {
    static thread_local cudaStream_t stream = nullptr;
    return stream;
  }
};

// While it lives, what the calling thread enqueues on `stream` goes to `other`. Not within another.
class OnStream {
 public:
  OnStream(const Stream& stream, cudaStream_t other) {
    Stream::replaced() = &stream;
    Stream::other() = other;
  }
  ~OnStream() { Stream::replaced() = nullptr; }
  OnStream(const OnStream&) = delete;
  OnStream& operator=(const OnStream&) = delete;
};

// A GPU as kernels are prepared for it. The column owns it and outlives its kernels.
struct Device {
  int number = 0;
  Stream stream;
  int multiprocessors = 1;
  size_t most_shared = 48 << 10;  // bytes of shared memory that a block can have
  int capability = 0;             // 10 * major + minor
  ProductChoice choice;           // what holds where a plan says nothing
};

// Makes a device the calling thread's, and in the end the one that was before.
class Current {
 public:
  explicit Current(int number) : number_(number) {
    check(cudaGetDevice(&before_), "asking for the current device");
    if (before_ != number_) check(cudaSetDevice(number_), "choosing a device");
  }
  ~Current() {
    if (before_ != number_) cudaSetDevice(before_);
  }
  Current(const Current&) = delete;
  Current& operator=(const Current&) = delete;

 private:
  int number_, before_ = 0;
};

// Numbers that a kernel was prepared with, on the device for as long as the kernel lives.
template <class T>
class Table {
 public:
  Table(const Device& device, const std::vector<T>& values) : number_(device.number), count_(values.size()) {
    if (values.empty()) return;
    Current current(number_);
    check(cudaMalloc(&address_, values.size() * sizeof(T)), "allocating a kernel's table");
    const cudaError_t status = cudaMemcpyAsync(address_, values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice, device.stream);
    const cudaError_t done = cudaStreamSynchronize(device.stream);
    if (status == cudaSuccess && done == cudaSuccess) return;
    cudaFree(address_);
    check(status == cudaSuccess ? done : status, "copying a kernel's table");
  }
  ~Table() {
    if (address_) cudaFree(address_);
  }
  Table(const Table&) = delete;
  Table& operator=(const Table&) = delete;
  const T* address() const { return static_cast<const T*>(address_); }
  int64_t count() const { return static_cast<int64_t>(count_); }

 private:
  int number_;
  size_t count_;
  void* address_ = nullptr;
};

// A kernel of this column: what it enqueues on the device's stream for the addresses of a run. Weights are taken as they lie.
class OwnKernel : public Kernel {
 public:
  OwnKernel(const Device& device, std::string name, size_t scratch, std::function<void(const Args&)> run)
      : device_(device), name_(std::move(name)), scratch_(scratch), run_(std::move(run)) {}
  void run(const Args& args) const override {
    Current current(device_.number);
    run_(args);
  }
  std::string name() const override { return name_; }
  size_t scratch_bytes() const override { return scratch_; }
  PackSpec pack(size_t i) const override { return i < inputs_.size() ? PackSpec{inputs_[i].dtype, "", inputs_[i].bytes()} : PackSpec{}; }
  void expect(const std::vector<TensorType>& inputs) { inputs_ = inputs; }

 private:
  const Device& device_;
  std::string name_;
  size_t scratch_;
  std::function<void(const Args&)> run_;
  std::vector<TensorType> inputs_;
};

inline std::unique_ptr<Kernel> own(const Device& device, const std::string& what, size_t scratch, std::function<void(const Args&)> run) {
  return std::make_unique<OwnKernel>(device, "own:" + what + ":cuda", scratch, std::move(run));
}

// Whether all float inputs that are there, and the result, are stored alike, in a type that kernels exist for.
inline bool same_storage(const Request& r) {
  for (const TensorType& t : r.inputs)
    if (t.shape.rank >= 0 && t.dtype != r.outputs[0].dtype) return false;
  return storable(r.outputs[0].dtype);
}

std::unique_ptr<Kernel> make_unary(const Device& d, const Request& r);
std::unique_ptr<Kernel> make_binary(const Device& d, const Request& r);
std::unique_ptr<Kernel> make_dropout(const Device& d, const Request& r);
std::unique_ptr<Kernel> make_movement(const Device& d, const Request& r);
std::unique_ptr<Kernel> make_pool(const Device& d, const Request& r);
std::unique_ptr<Kernel> make_embed_tokens(const Device& d, const Request& r);
std::unique_ptr<Kernel> make_softmax(const Device& d, const Request& r);
std::unique_ptr<Kernel> make_cross_entropy(const Device& d, const Request& r);
std::unique_ptr<Kernel> make_linear_cross_entropy(const Device& d, const Request& r);
std::unique_ptr<Kernel> make_elementwise_loss(const Device& d, const Request& r);
std::unique_ptr<Kernel> make_layer_norm(const Device& d, const Request& r);
std::unique_ptr<Kernel> make_batch_norm(const Device& d, const Request& r);
std::unique_ptr<Kernel> make_linear(const Device& d, const Request& r);
std::unique_ptr<Kernel> make_matmul(const Device& d, const Request& r);
std::unique_ptr<Kernel> make_lora_linear(const Device& d, const Request& r);
std::unique_ptr<Kernel> make_attention(const Device& d, const Request& r);
std::unique_ptr<Kernel> make_conv2d(const Device& d, const Request& r);
std::unique_ptr<Kernel> make_pictures(const Device& d, const Request& r);
std::unique_ptr<Kernel> make_service(const Device& d, const ServiceRequest& r);
std::unique_ptr<Kernel> make_merge(const Device& d, const ServiceRequest& r);
std::unique_ptr<Kernel> make_optimizer(const Device& d, const OptimizerRequest& r);
std::unique_ptr<Kernel> make_product(const Device& d, const ProductRequest& r);

// Adds to *count, on the device, how many of the n elements are NaN or infinite.
void count_nonfinite(const Device& d, const void* address, DType type, int64_t n, unsigned long long* count);

}  // namespace graft::cuda
