// A product on its own: c = activation(times * factor * (a b + a2 b2) + bias + residual (+ c)), every operand as its caller laid it out.
#include "reference.h"

namespace graft::reference {
namespace {

class ProductKernel : public Kernel {
 public:
  explicit ProductKernel(const ProductRequest& request) : r_(request) {}
  std::string name() const override { return "reference:product"; }

  void run(const Args& args) const override {
    const In a{args.in[0], r_.type}, b{args.in[1], r_.type}, bias{r_.bias ? args.in[2] : nullptr, DType::F32};
    const In a2{r_.k2 ? args.in[4] : nullptr, r_.type}, b2{r_.k2 ? args.in[5] : nullptr, r_.type};
    const double factor = r_.times * (r_.scaled ? load(args.in[3], DType::F32, 0) : 1);
    const Epilogue before{r_.epilogue.residual, Activation::None, 0};
    const Result saved{{r_.saves ? args.out[1] : nullptr, r_.result}, {r_.epilogue.residual ? args.residual : nullptr, r_.result}, before};
    const Result c{{args.out[0], r_.result}, {r_.epilogue.residual ? args.residual : nullptr, r_.result}, r_.epilogue};
    for (int64_t i = 0; i < r_.batch; i++)
      for (int64_t row = 0; row < r_.m; row++)
        for (int64_t column = 0; column < r_.n; column++) {
          double sum = 0;
          for (int64_t l = 0; l < r_.k; l++) sum += a[at(r_.a, i, row, l)] * b[at(r_.b, i, l, column)];
          for (int64_t l = 0; l < r_.k2; l++) sum += a2[at(r_.a2, i, row, l)] * b2[at(r_.b2, i, l, column)];
          sum = factor * sum + (bias ? bias[column] : 0);
          const int64_t place = at(r_.c, i, row, column);
          if (r_.accumulate) sum += c.out[place];
          c.put(place, sum);
          if (r_.saves) saved.put(place, sum);
        }
  }

 private:
  static int64_t at(const ProductRequest::Matrix& x, int64_t matrix, int64_t row, int64_t column) {
    return matrix * x.step + row * x.row + column * x.column;
  }
  ProductRequest r_;
};

}  // namespace

std::unique_ptr<Kernel> prepare_product(const ProductRequest& request) { return std::make_unique<ProductKernel>(request); }

}  // namespace graft::reference
