// Makers of the column's kernels. Null: this column has none for the request, the fallback's is taken.
#pragma once
#include <functional>

#include "cut.h"
#include "dispatch.h"

namespace graft::cpu {

std::unique_ptr<Kernel> make_conv2d(const Request& r);
std::unique_ptr<Kernel> make_linear(const Request& r);
std::unique_ptr<Kernel> make_lora_linear(const Request& r);
std::unique_ptr<Kernel> make_matmul(const Request& r);
std::unique_ptr<Kernel> make_batch_norm(const Request& r);
std::unique_ptr<Kernel> make_layer_norm(const Request& r);
std::unique_ptr<Kernel> make_unary(const Request& r);
std::unique_ptr<Kernel> make_binary(const Request& r);
std::unique_ptr<Kernel> make_dropout(const Request& r);
std::unique_ptr<Kernel> make_embed_tokens(const Request& r);
std::unique_ptr<Kernel> make_pool(const Request& r);
std::unique_ptr<Kernel> make_movement(const Request& r);
std::unique_ptr<Kernel> make_softmax(const Request& r);
std::unique_ptr<Kernel> make_attention(const Request& r);
std::unique_ptr<Kernel> make_cross_entropy(const Request& r);
std::unique_ptr<Kernel> make_linear_cross_entropy(const Request& r);
std::unique_ptr<Kernel> make_elementwise_loss(const Request& r);
std::unique_ptr<Kernel> make_pictures(const Request& r);
std::unique_ptr<Kernel> make_service(const ServiceRequest& r);
std::unique_ptr<Kernel> make_merge(const ServiceRequest& r);
std::unique_ptr<Kernel> make_optimizer(const OptimizerRequest& r);
std::unique_ptr<Kernel> make_product(const ProductRequest& r);
std::unique_ptr<Kernel> make_pack(const TensorType& plain, const PackSpec& spec);

// Takes every input as it lies at run time, row-major; a parameter in reduced precision is asked for in that type.
class PlainKernel : public Kernel {
 public:
  PackSpec pack(size_t i) const override { return i < inputs_.size() ? PackSpec{inputs_[i].dtype, "", inputs_[i].bytes()} : PackSpec{}; }
  void expect(const std::vector<TensorType>& inputs) { inputs_ = inputs; }

 private:
  std::vector<TensorType> inputs_;
};

// A kernel of the own tables: a function of the run's addresses.
class OwnKernel : public PlainKernel {
 public:
  OwnKernel(const std::string& op, size_t scratch, std::function<void(const Args&)> run)
      : name_("own:" + op + ":" + simd().name), scratch_(scratch), run_(std::move(run)) {}
  void run(const Args& args) const override { run_(args); }
  std::string name() const override { return name_; }
  size_t scratch_bytes() const override { return scratch_; }

 private:
  std::string name_;
  size_t scratch_;
  std::function<void(const Args&)> run_;
};

inline std::unique_ptr<Kernel> own(const std::string& op, size_t scratch, std::function<void(const Args&)> run) {
  return std::make_unique<OwnKernel>(op, scratch, std::move(run));
}

inline Tail tail_of(const Epilogue& e) { return {function_of(e.activation), e.slope}; }

// Rows of `bytes` bytes between two tensors whose rows begin so many bytes apart; a null source clears.
void move_rows(int64_t rows, int64_t bytes, const void* from, int64_t from_step, void* to, int64_t to_step);
inline char* shifted(void* p, int64_t bytes) { return static_cast<char*>(p) + bytes; }

}  // namespace graft::cpu
