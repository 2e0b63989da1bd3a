// A product on its own, with bias, factor, residual and activation applied as it stores.
#include "kernels.h"
#include "onednn.h"

namespace graft::cpu {
namespace {

using dnnl::matmul;

// Two axes where there is one matrix, else three; an operand that all matrices share has one.
Desc view(const ProductRequest& r, const ProductRequest::Matrix& x, int64_t rows, int64_t columns, DType type) {
  if (r.batch == 1) return strided_desc({rows, columns}, type, {x.row, x.column});
  return strided_desc({x.step == 0 ? 1 : r.batch, rows, columns}, type, {x.step == 0 ? rows * columns : x.step, x.row, x.column});
}

// A vector along the result's last axis, or one number.
Desc along_columns(const ProductRequest& r, int64_t n) {
  return r.batch == 1 ? plain_desc({1, n}, DType::F32) : plain_desc({1, 1, n}, DType::F32);
}

class Product : public Kernel {
 public:
  explicit Product(const ProductRequest& r) : bias_(r.bias), scaled_(r.scaled), residual_(r.epilogue.residual) {
    const Desc a = view(r, r.a, r.m, r.k, r.type), b = view(r, r.b, r.k, r.n, r.type), c = view(r, r.c, r.m, r.n, r.result);
    const Desc bias = along_columns(r, r.n), factor = along_columns(r, 1);
    std::vector<Prepared::Slot> slots{{DNNL_ARG_SRC, a}, {DNNL_ARG_WEIGHTS, b}, {DNNL_ARG_DST, c}};
    dnnl::post_ops ops;
    auto append = [&](dnnl::algorithm algorithm, const Desc& operand) {
      slots.push_back({residual_argument(ops.len()), operand});
      ops.append_binary(algorithm, operand);
    };
    // The factor is an operand, so that another one takes no other code; a bias behind it has to be one too.
    if (scaled_) append(dnnl::algorithm::binary_mul, factor);
    if (bias_ && scaled_) append(dnnl::algorithm::binary_add, bias);
    else if (bias_) slots.push_back({DNNL_ARG_BIAS, bias});
    if (r.accumulate) ops.append_sum(1.0f);
    if (residual_) slots.push_back({residual_argument(ops.len()), c});
    append_epilogue(ops, r.epilogue, c);
    dnnl::primitive_attr attributes = caller_scratch();
    attributes.set_post_ops(ops);
    const bool own_bias = bias_ && !scaled_;
    matmul::primitive_desc description = own_bias ? matmul::primitive_desc(engine(), a, b, bias, c, attributes)
                                                  : matmul::primitive_desc(engine(), a, b, c, attributes);
    product_ = prepared<matmul::primitive_desc, matmul>(description, std::move(slots));
  }
  void run(const Args& args) const override {
    void* addresses[7];
    size_t n = 0;
    for (void* p : {args.in[0], args.in[1], args.out[0]}) addresses[n++] = p;
    if (scaled_) addresses[n++] = args.in[3];
    if (bias_) addresses[n++] = args.in[2];
    if (residual_) addresses[n++] = args.residual;
    addresses[n++] = args.scratch;
    product_->run(addresses, n);
  }
  std::string name() const override { return "onednn:" + product_->implementation(); }
  size_t scratch_bytes() const override { return product_->scratch_bytes(); }

 private:
  bool bias_, scaled_, residual_;
  std::unique_ptr<Prepared> product_;
};

}  // namespace

std::unique_ptr<Kernel> make_product(const ProductRequest& r) {
  if (!storable(r.type) || !storable(r.result) || r.times != 1 || r.k2 > 0 || r.saves) return nullptr;
  if (r.k < 1) return nullptr;  // oneDNN leaves a result without terms as it was
  return std::make_unique<Product>(r);
}

}  // namespace graft::cpu
