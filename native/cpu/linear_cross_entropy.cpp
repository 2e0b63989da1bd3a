// linear_cross_entropy: products by oneDNN on the plain weight, the loss by own kernels, for so many rows at a time that their logits
// fit into `logits_bytes`. Runs of rows follow each other in order, so every sum has one.
#include <algorithm>

#include "core/row_chunks.h"
#include "cross_entropy.h"

namespace graft::cpu {
namespace {

enum { X, Weight, Bias, Target, ClassWeight };

class LinearCrossEntropy : public Kernel {
 public:
  explicit LinearCrossEntropy(const Request& r)
      : type_(r.inputs[X].dtype), modes_(r.pass == Pass::Loss ? r.modes : std::vector<GradMode>(r.inputs.size(), GradMode::Ignore)), classes_(r.inputs[Weight].shape[0]),
        features_(r.inputs[Weight].shape[1]), rows_(r.inputs[X].count() / features_), chunks_(rows_, classes_ * size_of(type_), r.call().integer("logits_bytes")),
        bias_(r.call().has(Bias)), loss_(r, type_, rows_, classes_, Target, ClassWeight) {
    for (int64_t rows : {chunks_.rows(0), chunks_.rows(chunks_.count() - 1)}) {
      Products& p = rows == chunks_.rows(0) ? whole_ : last_;
      if (p.logits) continue;
      p.logits = product(rows, classes_, features_, {features_, 1, 0}, {1, features_, 0}, type_, false, bias_);
      if (modes_[X] != GradMode::Ignore) p.dx = product(rows, features_, classes_, {classes_, 1, 0}, {features_, 1, 0}, type_, false, false);
      if (modes_[Weight] == GradMode::Ignore) continue;
      if (modes_[Weight] == GradMode::Overwrite && &p == &whole_) p.dw = weight_product(rows, false);
      if (!p.dw || chunks_.count() > 1) p.added_dw = weight_product(rows, true);
    }
    logits_at_ = loss_.scratch_bytes();
    inner_at_ = logits_at_ + aligned(static_cast<size_t>(chunks_.rows(0) * classes_) * size_of(type_));
    if (modes_[Bias] != GradMode::Ignore) inner_ = std::max(inner_, column_sums_scratch(chunks_.rows(0), classes_));
  }

  void run(const Args& a) const override {
    char *scratch = static_cast<char*>(a.scratch), *logits = scratch + logits_at_, *inner = scratch + inner_at_;
    const bool gradients = std::any_of(modes_.begin(), modes_.end(), [](GradMode m) { return m != GradMode::Ignore; });
    loss_.begin(a, scratch);
    for (int64_t i = 0; i < chunks_.count(); i++) {
      const int64_t first = chunks_.first(i), rows = chunks_.rows(i), at = first * features_ * static_cast<int64_t>(size_of(type_));
      const Products& p = rows == chunks_.rows(0) ? whole_ : last_;
      void* x = shifted(a.in[X], at);
      multiply(*p.logits, x, a.in[Weight], bias_ ? a.in[Bias] : nullptr, logits, inner);
      loss_.rows(a, scratch, first, rows, logits, gradients ? logits : nullptr);
      if (modes_[Weight] != GradMode::Ignore) multiply(i == 0 && p.dw ? *p.dw : *p.added_dw, logits, x, nullptr, a.din[Weight], inner);
      if (modes_[Bias] != GradMode::Ignore)
        simd().column_sums(store_of(type_), logits, rows, classes_, static_cast<float*>(a.din[Bias]), i > 0 || modes_[Bias] == GradMode::Accumulate, inner);
      if (p.dx) multiply(*p.dx, logits, a.in[Weight], nullptr, shifted(a.din[X], at), inner);  // after the weight's: it may lie on x
    }
    loss_.end(a, scratch);
  }
  std::string name() const override {
    return text("own:linear_cross_entropy:", simd().name, ":", chunks_.count(), "x", chunks_.rows(0), " + ", whole_.logits->name());
  }
  size_t scratch_bytes() const override { return inner_at_ + inner_; }
  PackSpec pack(size_t i) const override { return i == Weight ? PackSpec{type_, "", size_of(type_) * static_cast<size_t>(classes_ * features_)} : PackSpec{}; }

 private:
  struct Products {
    std::unique_ptr<Kernel> logits, dx, dw, added_dw;
  };

  std::unique_ptr<Kernel> product(int64_t m, int64_t n, int64_t k, ProductRequest::Matrix a, ProductRequest::Matrix b, DType result, bool accumulate, bool bias) {
    ProductRequest p;
    p.m = m, p.n = n, p.k = k;
    p.a = a, p.b = b, p.c = {n, 1, 0};
    p.type = type_, p.result = result;
    p.accumulate = accumulate;
    p.bias = bias;
    auto kernel = make_product(p);
    ensure(kernel != nullptr, "no product for linear_cross_entropy");
    inner_ = std::max(inner_, kernel->scratch_bytes());
    return kernel;
  }
  std::unique_ptr<Kernel> weight_product(int64_t rows, bool accumulate) {
    return product(classes_, features_, rows, {1, classes_, 0}, {features_, 1, 0}, DType::F32, accumulate, false);
  }
  static void multiply(const Kernel& product, void* a, void* b, void* bias, void* c, void* scratch) {
    void *in[] = {a, b, bias, nullptr, nullptr, nullptr}, *out[] = {c, nullptr};
    Args args{};
    args.in = in;
    args.out = out;
    args.scratch = scratch;
    product.run(args);
  }

  DType type_;
  std::vector<GradMode> modes_;
  int64_t classes_, features_, rows_;
  RowChunks chunks_;
  bool bias_;
  CrossEntropy loss_;
  Products whole_, last_;
  size_t logits_at_ = 0, inner_at_ = 0, inner_ = 0;
};

}  // namespace

std::unique_ptr<Kernel> make_linear_cross_entropy(const Request& r) {
  const DType type = r.inputs[X].dtype;
  if (!CrossEntropy::takes(type, r, Target) || r.compute != type || r.outputs[0].dtype != DType::F32 || mode_of(r, X) == GradMode::Accumulate) return nullptr;
  return std::make_unique<LinearCrossEntropy>(r);
}

}  // namespace graft::cpu
