// Candidates for a matrix product. A maker gives null where its kernel does not fit the request; make_product (kernels.h) takes one.
#pragma once
#include <algorithm>

#include "kernels.h"

namespace graft::cuda {

// Any strides and types, exact F32 sums; no second pair.
std::unique_ptr<Kernel> make_simt_product(const Device& d, const ProductRequest& r);
// bf16 factors whose lines are contiguous; compute capability 8.0 and later.
std::unique_ptr<Kernel> make_mma_product(const Device& d, const ProductRequest& r);
// bf16 factors and results whose lines are contiguous and begin at multiples of 16 bytes, as must the operands; compute capability 9.x.
// Never run on a device: not taken by itself.
std::unique_ptr<Kernel> make_wgmma_product(const Device& d, const ProductRequest& r);
// F32 factors rounded to TF32, where the request permits it; as make_mma_product otherwise.
std::unique_ptr<Kernel> make_tf32_product(const Device& d, const ProductRequest& r);
// F32 factors as sums of bf16 parts, where the request permits it.
std::unique_ptr<Kernel> make_parts_product(const Device& d, const ProductRequest& r);

// What operations of plans permit their F32 products, on the calling thread.
F32Product permitted_f32(const Device& d);

// The products that an operation is made of, while it is prepared: their names, and scratch memory that they take in turns.
class InnerProducts {
 public:
  // Null where no kernel fits.
  std::shared_ptr<Kernel> add(const Device& d, ProductRequest r) {
    r.f32 = permitted_f32(d);
    std::shared_ptr<Kernel> kernel = make_product(d, r);
    if (!kernel) return nullptr;
    add(kernel->name());
    scratch_ = std::max(scratch_, aligned(kernel->scratch_bytes()));
    return kernel;
  }
  void add(const std::string& name) {
    if (names_.find(name) == std::string::npos) names_ += (names_.empty() ? "" : " + ") + name;
  }
  size_t scratch_bytes() const { return scratch_; }
  // The operation's kernel: `run` gives the products what lies behind `own_scratch` bytes.
  std::unique_ptr<Kernel> kernel(const Device& d, std::function<void(const Args&)> run, size_t own_scratch = 0) const {
    return std::make_unique<OwnKernel>(d, names_, aligned(own_scratch) + scratch_, std::move(run));
  }

 private:
  std::string names_;
  size_t scratch_ = 0;
};

// What a product inside an operation works on; the rest is null.
struct ProductOperands {
  const void *a = nullptr, *b = nullptr, *bias = nullptr, *factor = nullptr, *a2 = nullptr, *b2 = nullptr;
  void *residual = nullptr, *c = nullptr, *scratch = nullptr;
};

inline void run_product(const Kernel& kernel, const ProductOperands& o) {
  void* in[] = {const_cast<void*>(o.a), const_cast<void*>(o.b), const_cast<void*>(o.bias), const_cast<void*>(o.factor), const_cast<void*>(o.a2), const_cast<void*>(o.b2)};
  void* out[] = {o.c, nullptr};
  Args args{};
  args.in = in;
  args.out = out;
  args.residual = o.residual;
  args.scratch = o.scratch;
  kernel.run(args);
}
inline void run_product(const Kernel& kernel, const void* a, const void* b, void* c, void* scratch) {
  ProductOperands o;
  o.a = a, o.b = b, o.c = c, o.scratch = scratch;
  run_product(kernel, o);
}

}  // namespace graft::cuda
