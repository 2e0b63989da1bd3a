// lora_linear of one adapter in bf16 with the update inside the products: y = [x | p(s t)] [w | b b]^T + bias, and on the way back
// dx = [g | p(s u)] [w; a; a]. p(v) are the two bf16 parts of an F32 number, v to 16 bits, side by side: so t and u lose nothing that
// bf16 results show, and the update costs a few more slices of a product that runs anyway.
#include "lora.cuh"
#include "matmul/product.h"
#include "reduce.cuh"

namespace graft::cuda {

// A matrix of so many lines of both parts, each padded with zeros to a multiple of eight.
struct Doubled {
  int64_t columns;       // of the numbers
  Divisor padded, line;  // of one part, of both
  explicit Doubled(int64_t columns) : columns(columns), padded((columns + 7) / 8 * 8), line(2 * padded) {}
};

// p(factor * v) of numbers [rows, columns].
struct SplitNumbers {
  Doubled to;
  const float* v;
  float factor;
  Bf16* parts;
  __device__ void operator()(int64_t at) const {
    const int64_t row = at / to.line, place = at % to.line, column = place % to.padded;
    const float number = column < to.columns ? factor * v[row * to.columns + column] : 0;
    const Bf16 high = stored<Bf16>(number);
    parts[at] = place < to.padded ? high : stored<Bf16>(number - float_of(high));
  }
};

// b twice, each slice in its own columns: [out, line], 0 elsewhere.
struct SpreadB {
  Branch u;
  Doubled to;
  const Bf16* b;
  Bf16* twice;
  __device__ void operator()(int64_t at) const {
    const int64_t n = at / to.line, column = at % to.line % to.padded, slice = u.slice_of(n);
    const int64_t j = column - slice * u.rank;
    twice[at] = slice >= 0 && j >= 0 && j < u.rank ? b[u.at_b(0, slice, n, j)] : Bf16{0};
  }
};

// a twice, one below the other: [line, in], 0 between.
struct StackA {
  Doubled to;
  Divisor in;
  const Bf16* a;
  Bf16* twice;
  __device__ void operator()(int64_t at) const {
    const int64_t j = at / in % to.padded;
    twice[at] = j < to.columns ? a[j * in + at % in] : Bf16{0};
  }
};

namespace {

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

std::unique_ptr<Kernel> forward(const Device& d, const Request& r) {
  const Branch u = branch_of(r);
  const Doubled to(u.columns());
  InnerProducts inner;
  ProductRequest request = product_request(u.rows, u.out, u.in, rows_of(u.in), columns_of(u.in), DType::BF16);
  request.k2 = to.line, request.a2 = rows_of(to.line), request.b2 = columns_of(to.line);
  request.bias = r.call().has(kBias);
  request.epilogue = r.epilogue;
  const auto t = inner.add(d, product_request(u.rows, to.columns, u.in, rows_of(u.in), columns_of(u.in), DType::F32)), y = inner.add(d, request);
  if (!t || !y) return nullptr;
  const size_t z = r.call().has(kZ) ? kZ : kX, own = 2 * aligned(2 * static_cast<size_t>(std::max<int64_t>(u.rows, u.out) * to.line));
  return inner.kernel(d, [=, &d](const Args& args) {
    Cut scratch(args.scratch);
    Bf16 *parts = scratch.take<Bf16>(std::max<int64_t>(u.rows, u.out) * to.line), *twice = scratch.take<Bf16>(std::max<int64_t>(u.rows, u.out) * to.line);
    void* rest = static_cast<char*>(args.scratch) + own;
    run_product(*t, args.in[z], args.in[kA], args.out[1], rest);
    over_all(d, u.rows * to.line, SplitNumbers{to, static_cast<const float*>(args.out[1]), u.factor, parts});
    over_all(d, u.out * to.line, SpreadB{u, to, in<Bf16>(args, kB), twice});
    ProductOperands o;
    o.a = args.in[kX], o.b = args.in[kWeight], o.a2 = parts, o.b2 = twice, o.bias = request.bias ? args.in[kBias] : nullptr;
    o.residual = args.residual, o.c = args.out[0], o.scratch = rest;
    run_product(*y, o);
  }, own);
}

class Backward {
 public:
  Backward(const Device& d, const Request& r)
      : d_(d), r_(r), u_(branch_of(r)), to_(u_.columns()), separate_(r.call().has(kZ)), branch_input_(separate_ ? kZ : kX), sums_(1, u_.rows, u_.out) {
    const int64_t c = to_.columns, line = to_.line;
    through_ = wants(r, kA) || wants(r, branch_input_);
    if (through_) up_ = add(product_request(u_.rows, u_.rank, u_.width, rows_of(u_.out), rows_of(u_.rank), DType::F32), c);
    if (wants(r, kWeight)) dw_ = add(product_request(u_.out, u_.in, u_.rows, columns_of(u_.out), rows_of(u_.in), DType::F32, accumulates(kWeight)));
    if (wants(r, kA)) da_ = add(both_parts(product_request(c, u_.in, u_.rows, columns_of(line), rows_of(u_.in), DType::F32, accumulates(kA))));
    if (wants(r, kB)) db_ = add(both_parts(product_request(u_.width, u_.rank, u_.rows, columns_of(u_.out), rows_of(line), DType::F32, accumulates(kB))));
    if (wants(r, kX)) {
      ProductRequest dx = product_request(u_.rows, u_.in, u_.out, rows_of(u_.out), rows_of(u_.in), DType::BF16, accumulates(kX));
      if (!separate_) dx.k2 = line, dx.a2 = rows_of(line), dx.b2 = rows_of(u_.in);
      dx_ = add(dx);
    }
    if (separate_ && wants(r, kZ)) dz_ = add(product_request(u_.rows, u_.in, line, rows_of(line), rows_of(u_.in), DType::BF16, accumulates(kZ)));
    if (wants(r, kBias)) inner_.add("own:simt:column_sums:cuda");
    cut(nullptr, own_);
  }
  std::unique_ptr<Kernel> kernel() const {
    if (missing_) return nullptr;
    return inner_.kernel(d_, [self = *this](const Args& args) { self.run(args); }, own_);
  }

 private:
  struct Pieces {
    float *through, *sums;
    Bf16 *u_parts, *t_parts, *a_twice;
  };
  Pieces cut(void* scratch, size_t& bytes) const {
    Cut from(scratch);
    Pieces p{};
    const int64_t parts = u_.rows * to_.line;
    p.through = from.take<float>(through_ ? u_.rows * to_.columns : 0);
    p.sums = from.take<float>(wants(r_, kBias) ? static_cast<int64_t>(sums_.scratch(1) / sizeof(float)) : 0);
    p.u_parts = from.take<Bf16>(through_ ? parts : 0);
    p.t_parts = from.take<Bf16>(db_ ? parts : 0);
    p.a_twice = from.take<Bf16>(through_ ? to_.line * u_.in : 0);
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
    const Pieces own = cut(args.scratch, bytes);
    void* rest = static_cast<char*>(args.scratch) + aligned(own_);
    const Bf16 *g = static_cast<const Bf16*>(args.dout), *z = in<Bf16>(args, branch_input_);
    const Gradient<float> dbias = gradient_of<float>(r_, args, kBias);
    if (dbias.address) middle_sums<1>(d_, sums_, own.sums, ColumnTerm<Bf16>{g, u_.out}, PutColumnSum{dbias});
    if (dw_) run_product(*dw_, g, args.in[kX], args.din[kWeight], rest);
    if (through_) {
      for (int64_t i = 0; i < u_.slices; i++)
        run_product(*up_, g + u_.starts[i], in<Bf16>(args, kB) + i * u_.width * u_.rank, own.through + i * u_.rank, rest);
      over_all(d_, u_.rows * to_.line, SplitNumbers{to_, own.through, u_.factor, own.u_parts});
    }
    if (da_) {
      ProductOperands o = operands(own.u_parts, z, args.din[kA], rest);
      o.a2 = own.u_parts + to_.padded, o.b2 = z;
      run_product(*da_, o);
    }
    if (db_) over_all(d_, u_.rows * to_.line, SplitNumbers{to_, static_cast<const float*>(args.out[1]), u_.factor, own.t_parts});
    for (int64_t i = 0; db_ && i < u_.slices; i++) {
      const Bf16 *rows = g + u_.starts[i], *t = own.t_parts + i * u_.rank;
      ProductOperands o = operands(rows, t, static_cast<float*>(args.din[kB]) + i * u_.width * u_.rank, rest);
      o.a2 = rows, o.b2 = t + to_.padded;
      run_product(*db_, o);
    }
    // Last: what is read above may be freed behind dx.
    if ((dx_ && !separate_) || dz_) over_all(d_, to_.line * u_.in, StackA{to_, u_.in, in<Bf16>(args, kA), own.a_twice});
    if (dx_) {
      ProductOperands o = operands(g, args.in[kWeight], args.din[kX], rest);
      if (!separate_) o.a2 = own.u_parts, o.b2 = own.a_twice;
      run_product(*dx_, o);
    }
    if (dz_) run_product(*dz_, own.u_parts, own.a_twice, args.din[kZ], rest);
  }
  static ProductOperands operands(const void* a, const void* b, void* c, void* scratch) {
    ProductOperands o;
    o.a = a, o.b = b, o.c = c, o.scratch = scratch;
    return o;
  }

  const Device& d_;
  Request r_;
  Branch u_;
  Doubled to_;
  bool separate_, through_ = false, missing_ = false;
  size_t branch_input_, own_ = 0;
  SumShape sums_;
  InnerProducts inner_;
  std::shared_ptr<Kernel> up_, dw_, da_, db_, dx_, dz_;
};

}  // namespace

std::unique_ptr<Kernel> make_lora_products(const Device& d, const Request& r) {
  if (r.outputs[0].dtype != DType::BF16 || r.call().has(kAdapter)) return nullptr;
  // Where a plain product does not get an own tensor-core kernel (GRAFT_MATMUL), one with a second pair shall not either.
  const Branch u = branch_of(r);
  const std::string plain = make_product(d, product_request(u.rows, u.out, u.in, rows_of(u.in), columns_of(u.in), DType::BF16))->name();
  if (plain.rfind("own:", 0) != 0 || plain.rfind("own:simt:", 0) == 0) return nullptr;
  if (r.pass == Pass::Forward) return forward(d, r);
  if (r.second_gradient || r.epilogue.any()) return nullptr;
  return Backward(d, r).kernel();
}

}  // namespace graft::cuda
