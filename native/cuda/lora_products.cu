// lora_linear in bf16 with the update inside the products: y = [x | p(s t)] [w | b b]^T + bias, and on the way back
// dx = [g | p(s u)] [w; a; a]. p(v) are the two bf16 parts of an F32 number, v to 16 bits, side by side: so t and u lose nothing that
// bf16 results show, and the update costs a few more slices of a product that runs anyway.
// Of several adapters the factors stand side by side as if they were one, and p(s t), p(s u) are 0 in the columns of all but the row's
// own: so rows need no order. A zero times what is no number is none, so what is not finite in one adapter's factors, or in one row, shows
// in results of other rows and in gradients of other adapters.
#include "lora_parts.cuh"
#include "matmul/product.h"
#include "reduce.cuh"

namespace graft::cuda {
namespace {

// Columns of t for all adapters together. In a row of [x | p(s t)] all but one adapter's are zeros that are multiplied all the same, each
// twice: beyond this they cost more than x itself in layers of 2048 features, and kernels that leave other adapters out take over.
constexpr int64_t kMostColumns = 1024;

ProductRequest::Matrix rows_of(int64_t length) { return {length, 1, 0}; }
ProductRequest::Matrix columns_of(int64_t length) { return {1, length, 0}; }  // the transpose of a matrix with rows of `length`

ProductRequest product_request(int64_t m, int64_t n, int64_t k, ProductRequest::Matrix a, ProductRequest::Matrix b, DType result, bool accumulate = false) {
  ProductRequest p;
  p.type = DType::BF16, p.result = result;
  p.m = m, p.n = n, p.k = k;
  p.a = a, p.b = b, p.c = rows_of(n);
  p.accumulate = accumulate;
  return p;
}

Branch branch_at(const Request& r, const Branch& branch, const Args& args) {
  Branch u = branch;
  if (r.call().has(kAdapter)) u.adapter = in<int32_t>(args, kAdapter);
  if (r.call().has(kScales)) u.scales = in<float>(args, kScales);
  return u;
}

std::unique_ptr<Kernel> forward(const Device& d, const Request& r) {
  const Branch branch = branch_of(r);
  const int64_t own = branch.columns();
  const Doubled to(branch.adapters * own);
  InnerProducts inner;
  ProductRequest request = product_request(branch.rows, branch.out, branch.in, rows_of(branch.in), columns_of(branch.in), DType::BF16);
  request.k2 = to.line, request.a2 = rows_of(to.line), request.b2 = columns_of(to.line);
  request.bias = r.call().has(kBias);
  request.epilogue = r.epilogue;
  const auto down = inner.add(d, product_request(branch.rows, to.columns, branch.in, rows_of(branch.in), columns_of(branch.in), DType::F32)), y = inner.add(d, request);
  if (!down || !y) return nullptr;
  const bool grouped = r.call().has(kAdapter);
  const size_t z = r.call().has(kZ) ? kZ : kX;
  const auto cut = [=](void* scratch, Bf16*& parts, Bf16*& twice, float*& all) {
    Cut from(scratch);
    parts = from.take<Bf16>(branch.rows * to.line), twice = from.take<Bf16>(branch.out * to.line);
    all = grouped ? from.take<float>(branch.rows * to.columns) : nullptr;
    return from.rest();
  };
  Bf16 *parts, *twice;
  float* all;
  const size_t bytes = reinterpret_cast<size_t>(cut(nullptr, parts, twice, all));
  return inner.kernel(d, [=, &d](const Args& args) {
    const Branch u = branch_at(r, branch, args);
    Bf16 *parts, *twice;
    float *all, *t = static_cast<float*>(args.out[1]);
    void* rest = cut(args.scratch, parts, twice, all);
    run_product(*down, args.in[z], args.in[kA], grouped ? all : t, rest);
    if (grouped) over_all(d, u.rows * own, PickOwn{u, own, all, t});
    over_all(d, u.rows * to.line, SplitNumbers{u, to, own, t, NAN, parts});
    over_all(d, u.out * to.line, SpreadB{u, to, own, to.line, in<Bf16>(args, kB), twice});
    ProductOperands o;
    o.a = args.in[kX], o.b = args.in[kWeight], o.a2 = parts, o.b2 = twice, o.bias = request.bias ? args.in[kBias] : nullptr;
    o.residual = args.residual, o.c = args.out[0], o.scratch = rest;
    run_product(*y, o);
  }, bytes);
}

class Backward {
 public:
  Backward(const Device& d, const Request& r)
      : d_(d), r_(r), branch_(branch_of(r)), own_(branch_.columns()), to_(branch_.adapters * own_), grouped_(r.call().has(kAdapter)),
        separate_(r.call().has(kZ)), branch_input_(separate_ ? kZ : kX), sums_(1, branch_.rows, branch_.out) {
    const Branch& u = branch_;
    const int64_t c = to_.columns, line = to_.line;
    u_parts_ = wants(r, kA) || wants(r, branch_input_);
    through_ = u_parts_ || wants(r, kScales);
    if (through_ && grouped_) up_ = add(product_request(u.rows, c, u.out, rows_of(u.out), rows_of(to_.padded), DType::F32));
    if (through_ && !grouped_) up_ = add(product_request(u.rows, u.rank, u.width, rows_of(u.out), rows_of(u.rank), DType::F32), c);
    if (wants(r, kWeight)) dw_ = add(product_request(u.out, u.in, u.rows, columns_of(u.out), rows_of(u.in), DType::F32, accumulates(kWeight)));
    if (wants(r, kA)) da_ = add(both_parts(product_request(c, u.in, u.rows, columns_of(line), rows_of(u.in), DType::F32, accumulates(kA))));
    if (wants(r, kB) && grouped_) db_ = add(both_parts(product_request(u.out, c, u.rows, columns_of(u.out), rows_of(line), DType::F32)));
    if (wants(r, kB) && !grouped_) db_ = add(both_parts(product_request(u.width, u.rank, u.rows, columns_of(u.out), rows_of(line), DType::F32, accumulates(kB))));
    if (wants(r, kX)) {
      ProductRequest dx = product_request(u.rows, u.in, u.out, rows_of(u.out), rows_of(u.in), DType::BF16, accumulates(kX));
      if (!separate_) dx.k2 = line, dx.a2 = rows_of(line), dx.b2 = rows_of(u.in);
      dx_ = add(dx);
    }
    if (separate_ && wants(r, kZ)) dz_ = add(product_request(u.rows, u.in, line, rows_of(line), rows_of(u.in), DType::BF16, accumulates(kZ)));
    if (wants(r, kBias)) inner_.add("own:simt:column_sums:cuda");
    cut(nullptr, scratch_);
  }
  std::unique_ptr<Kernel> kernel() const {
    if (missing_) return nullptr;
    return inner_.kernel(d_, [self = *this](const Args& args) { self.run(args); }, scratch_);
  }

 private:
  struct Pieces {
    float *through, *through_all, *db_all, *sums;
    Bf16 *u_parts, *t_parts, *a_twice, *b_spread;
  };
  Pieces cut(void* scratch, size_t& bytes) const {
    Cut from(scratch);
    Pieces p{};
    const int64_t parts = branch_.rows * to_.line;
    const bool all = through_ && grouped_;
    p.through = from.take<float>(through_ ? branch_.rows * own_ : 0);
    p.through_all = from.take<float>(all ? branch_.rows * to_.columns : 0);
    p.db_all = from.take<float>(db_ && grouped_ ? branch_.out * to_.columns : 0);
    p.sums = from.take<float>(wants(r_, kBias) ? static_cast<int64_t>(sums_.scratch(1) / sizeof(float)) : 0);
    p.u_parts = from.take<Bf16>(u_parts_ ? parts : 0);
    p.t_parts = from.take<Bf16>(db_ ? parts : 0);
    p.a_twice = from.take<Bf16>(u_parts_ ? to_.line * branch_.in : 0);
    p.b_spread = from.take<Bf16>(all ? branch_.out * to_.padded : 0);
    bytes = static_cast<size_t>(from.take<char>(0) - static_cast<char*>(scratch));
    return p;
  }
  bool accumulates(size_t input) const { return mode_of(r_, input) == GradMode::Accumulate; }
  std::shared_ptr<Kernel> add(ProductRequest p, int64_t row = 0) {
    if (row > 0) p.c = rows_of(row);
    auto kernel = inner_.add(d_, p);
    if (!kernel) missing_ = true;
    return kernel;
  }
  // A product whose one factor is in parts is the sum over both, the other factor the same.
  static ProductRequest both_parts(ProductRequest p) {
    p.k2 = p.k, p.a2 = p.a, p.b2 = p.b;
    return p;
  }

  void run(const Args& args) const {
    size_t bytes = 0;
    const Branch u = branch_at(r_, branch_, args);
    const Pieces own = cut(args.scratch, bytes);
    void* rest = static_cast<char*>(args.scratch) + aligned(bytes);
    const Bf16 *g = static_cast<const Bf16*>(args.dout), *z = in<Bf16>(args, branch_input_);
    const Gradient<float> dbias = gradient_of<float>(r_, args, kBias), dscales = gradient_of<float>(r_, args, kScales);
    if (dbias.address) middle_sums<1>(d_, sums_, own.sums, ColumnTerm<Bf16>{g, u.out}, PutColumnSum{dbias});
    if (dw_) run_product(*dw_, g, args.in[kX], args.din[kWeight], rest);
    if (through_) pass_b(u, g, in<Bf16>(args, kB), own, rest);
    if (dscales.address) add_scale_gradients(d_, u, static_cast<const float*>(args.out[1]), own.through, dscales);
    if (da_) {
      ProductOperands o = operands(own.u_parts, z, args.din[kA], rest);
      o.a2 = own.u_parts + to_.padded, o.b2 = z;
      run_product(*da_, o);
    }
    if (db_) b_gradient(args, u, g, own, rest);
    // Last: what is read above may be freed behind dx.
    if ((dx_ && !separate_) || dz_) over_all(d_, to_.line * u.in, StackA{to_, u.in, in<Bf16>(args, kA), own.a_twice});
    if (dx_) {
      ProductOperands o = operands(g, args.in[kWeight], args.din[kX], rest);
      if (!separate_) o.a2 = own.u_parts, o.b2 = own.a_twice;
      run_product(*dx_, o);
    }
    if (dz_) run_product(*dz_, own.u_parts, own.a_twice, args.din[kZ], rest);
  }
  // u and its parts.
  void pass_b(const Branch& u, const Bf16* g, const Bf16* b, const Pieces& own, void* rest) const {
    if (grouped_) {
      over_all(d_, u.out * to_.padded, SpreadB{u, to_, own_, to_.padded, b, own.b_spread});
      run_product(*up_, g, own.b_spread, own.through_all, rest);
      over_all(d_, u.rows * own_, PickOwn{u, own_, own.through_all, own.through});
    } else {
      for (int64_t i = 0; i < u.slices; i++) run_product(*up_, g + u.starts[i], b + i * u.width * u.rank, own.through + i * u.rank, rest);
    }
    if (u_parts_) over_all(d_, u.rows * to_.line, SplitNumbers{u, to_, own_, own.through, 0, own.u_parts});
  }
  void b_gradient(const Args& args, const Branch& u, const Bf16* g, const Pieces& own, void* rest) const {
    over_all(d_, u.rows * to_.line, SplitNumbers{u, to_, own_, static_cast<const float*>(args.out[1]), 0, own.t_parts});
    const auto product_of = [&](const Bf16* rows, const Bf16* t, float* c) {
      ProductOperands o = operands(rows, t, c, rest);
      o.a2 = rows, o.b2 = t + to_.padded;
      run_product(*db_, o);
    };
    const Gradient<float> db = gradient_of<float>(r_, args, kB);
    if (grouped_) {
      product_of(g, own.t_parts, own.db_all);
      over_all(d_, u.adapters * u.slices * u.width * u.rank, GatherB{u, own_, own.db_all, db});
    } else {
      for (int64_t i = 0; i < u.slices; i++) product_of(g + u.starts[i], own.t_parts + i * u.rank, db.address + i * u.width * u.rank);
    }
  }
  static ProductOperands operands(const void* a, const void* b, void* c, void* scratch) {
    ProductOperands o;
    o.a = a, o.b = b, o.c = c, o.scratch = scratch;
    return o;
  }

  const Device& d_;
  Request r_;
  Branch branch_;
  int64_t own_;  // columns of t
  Doubled to_;   // of all adapters
  bool grouped_, separate_, u_parts_ = false, through_ = false, missing_ = false;
  size_t branch_input_, scratch_ = 0;
  SumShape sums_;
  InnerProducts inner_;
  std::shared_ptr<Kernel> up_, dw_, da_, db_, dx_, dz_;
};

}  // namespace

std::unique_ptr<Kernel> make_lora_products(const Device& d, const Request& r) {
  if (r.outputs[0].dtype != DType::BF16) return nullptr;
  // Where a plain product does not get an own tensor-core kernel (GRAFT_MATMUL), one with a second pair shall not either.
  const Branch u = branch_of(r);
  if (r.call().has(kAdapter) && u.adapters * u.columns() > kMostColumns) return nullptr;
  const std::string plain = make_product(d, product_request(u.rows, u.out, u.in, rows_of(u.in), columns_of(u.in), DType::BF16))->name();
  if (plain.rfind("own:", 0) != 0 || plain.rfind("own:simt:", 0) == 0) return nullptr;
  if (r.pass == Pass::Forward) return forward(d, r);
  if (r.second_gradient || r.epilogue.any()) return nullptr;
  return Backward(d, r).kernel();
}

}  // namespace graft::cuda
