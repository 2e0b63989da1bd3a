// linear_cross_entropy: products and the rows of cross_entropy.cu by turns, for so many rows at a time that their logits fit into
// `logits_bytes` of scratch memory. All on one stream, in one order: bitwise repeatable and recordable.
#include "cross_entropy.h"
#include "matmul/product.h"
#include "product.cuh"
#include "reduce.cuh"
#include "row_chunks.h"

namespace graft::cuda {
namespace {

enum { kX, kWeight, kBias, kTarget, kClassWeight };

// The products of a run of so many rows; null where the gradient is not wanted.
struct ChunkProducts {
  std::shared_ptr<Kernel> logits, dx, dw, added_dw;
};

template <class T>
std::unique_ptr<Kernel> linear_cross_entropy(const Device& d, const Request& r) {
  const DType type = r.inputs[kX].dtype;
  const int64_t classes = r.inputs[kWeight].shape[0], features = r.inputs[kWeight].shape[1], rows = r.inputs[kX].count() / features;
  const RowChunks chunks(rows, classes * static_cast<int64_t>(sizeof(T)), r.call().integer("logits_bytes"));
  const CrossEntropyShape shape(r, rows, classes, kTarget, kClassWeight);
  const auto loss = make_cross_entropy_rows(d, shape, type, r.inputs[kTarget].dtype);
  if (!loss) return nullptr;
  const bool biased = r.call().has(kBias);
  auto wanted = [&](size_t i) { return r.pass == Pass::Loss && wants(r, i); };
  const bool for_x = wanted(kX), for_weight = wanted(kWeight), for_bias = wanted(kBias);
  const bool adds_weight = mode_of(r, kWeight) == GradMode::Accumulate, adds_bias = mode_of(r, kBias) == GradMode::Accumulate;

  InnerProducts inner;
  inner.add("own:linear_cross_entropy:cuda");
  bool complete = true;
  auto product_of = [&](int64_t m, int64_t n, int64_t k, ProductRequest::Matrix a, ProductRequest::Matrix b, DType result, bool accumulate, bool bias) {
    ProductRequest p;
    p.m = m, p.n = n, p.k = k;
    p.a = a, p.b = b, p.c = {n, 1, 0};
    p.type = type, p.result = result;
    p.accumulate = accumulate;
    p.bias = bias;
    p.aligned = chunks.count() == 1 || chunks.rows(0) * features * static_cast<int64_t>(sizeof(T)) % 16 == 0;  // of runs behind the first
    auto kernel = inner.add(d, p);
    complete = complete && kernel;
    return kernel;
  };
  auto products_of = [&](int64_t m, bool first) {
    ChunkProducts p;
    p.logits = product_of(m, classes, features, {features, 1, 0}, {1, features, 0}, type, false, biased);
    if (for_x) p.dx = product_of(m, features, classes, {classes, 1, 0}, {features, 1, 0}, type, false, false);
    auto of_weight = [&](bool accumulate) { return product_of(classes, features, m, {1, classes, 0}, {features, 1, 0}, DType::F32, accumulate, false); };
    if (for_weight && first && !adds_weight) p.dw = of_weight(false);
    if (for_weight && (!p.dw || chunks.count() > 1)) p.added_dw = of_weight(true);
    return p;
  };
  const int64_t last_rows = chunks.rows(chunks.count() - 1);
  const ChunkProducts whole = products_of(chunks.rows(0), true), last = last_rows == chunks.rows(0) ? whole : products_of(last_rows, false);
  if (!complete) return nullptr;
  const size_t bookkeeping = shape.scratch_bytes(), logits_bytes = aligned(sizeof(T) * static_cast<size_t>(chunks.rows(0) * classes));
  const size_t sums = for_bias ? SumShape(1, chunks.rows(0), classes).scratch(1) : 0;
  if (for_bias) inner.add("own:simt:column_sums:cuda");
  return inner.kernel(d, [=, &d](const Args& a) {
    char* scratch = static_cast<char*>(a.scratch);
    T* logits = reinterpret_cast<T*>(scratch + bookkeeping);
    float* partial = reinterpret_cast<float*>(scratch + bookkeeping + logits_bytes);
    void* rest = scratch + bookkeeping + logits_bytes + sums;
    const CrossEntropyRun run{a.in[kTarget], shape.weighted ? a.in[kClassWeight] : nullptr, a.out[0], a.scratch, a.step};
    loss->begin(run);
    for (int64_t i = 0; i < chunks.count(); i++) {
      const int64_t first = chunks.first(i), count = chunks.rows(i);
      const ChunkProducts& p = count == chunks.rows(0) ? whole : last;
      const T* x = in<T>(a, kX) + first * features;
      ProductOperands o;
      o.a = x, o.b = a.in[kWeight], o.bias = biased ? a.in[kBias] : nullptr, o.c = logits, o.scratch = rest;
      run_product(*p.logits, o);
      loss->rows(run, first, count, logits, for_x || for_weight || for_bias ? logits : nullptr);
      if (for_weight) run_product(i == 0 && p.dw ? *p.dw : *p.added_dw, logits, x, a.din[kWeight], rest);
      if (for_bias) {
        const Gradient<float> db{static_cast<float*>(a.din[kBias]), i > 0 || adds_bias};
        middle_sums<1>(d, SumShape(1, count, classes), partial, ColumnTerm<T>{logits, classes}, PutColumnSum{db});
      }
      if (p.dx) run_product(*p.dx, logits, a.in[kWeight], static_cast<T*>(a.din[kX]) + first * features, rest);  // after the weight's: it may lie on x
    }
    loss->end(run);
  }, bookkeeping + logits_bytes + sums);
}

}  // namespace

std::unique_ptr<Kernel> make_linear_cross_entropy(const Device& d, const Request& r) {
  const DType type = r.inputs[kX].dtype;
  if (!storable(type) || r.inputs[kWeight].dtype != type || r.outputs[0].dtype != DType::F32 || mode_of(r, kX) == GradMode::Accumulate) return nullptr;
  return type == DType::BF16 ? linear_cross_entropy<Bf16>(d, r) : linear_cross_entropy<float>(d, r);
}

}  // namespace graft::cuda
