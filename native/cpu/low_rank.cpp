#include "low_rank.h"

#include <omp.h>

#include "core/number_formats.h"

namespace graft::cpu {

int team_thread() { return omp_get_thread_num(); }

// Rows of a block, of wide matrices fewer.
constexpr int64_t kBlockRows = 64, kWide = 2048;

LowRankSizes::LowRankSizes(const Request& r)
    : in(r.inputs[kWeight].shape[1]), out(r.inputs[kWeight].shape[0]), rank(r.inputs[kB].shape[-1]), slices(r.call().integer("slices")),
      width(r.call().integer("width")), adapters(1), threads(cpu::threads()), factor(static_cast<float>(r.call().number("factor"))),
      type(store_of(r.inputs[kX].dtype)), grouped(r.call().has(kAdapter)), scaled(r.call().has(kScales)), separate(r.call().has(kZ)),
      a_type(store_of(r.inputs[kA].dtype)), b_type(store_of(r.inputs[kB].dtype)) {
  rows = rows_per_sample = r.inputs[kX].count() / in;
  if (width == 0) width = out;
  pairs = slices * rank;
  if (grouped) {
    adapters = r.inputs[kA].shape[0];
    rows_per_sample = rows / r.inputs[kAdapter].shape[0];
  }
  // A multiple of a few, so that no thread is left with one more. The cut does not depend on the number of threads.
  const int64_t most = in + out > kWide ? kBlockRows / 2 : kBlockRows;
  blocks = (rows + most - 1) / most;
  blocks = blocks > 8 ? (blocks + 7) / 8 * 8 : (blocks + 1) / 2 * 2;
  per_block = std::max<int64_t>(1, (rows + blocks - 1) / blocks);
  blocks = (rows + per_block - 1) / per_block;
  int64_t column = 0;
  for (int64_t i = 0; i < slices; i++) {
    const int64_t start = r.call().integer(text("start", i).c_str());
    if (start > column) segments.push_back({column, start - column, -1});
    segments.push_back({start, width, i});
    column = start + width;
  }
  if (column < out) segments.push_back({column, out - column, -1});
}

size_t LowRankFactors::scratch_bytes() const {
  size_t bytes = 0;
  if (a_ && z_.a_type != Store::F32) bytes += aligned(4 * static_cast<size_t>(z_.adapters * z_.pairs * z_.in));
  if (b_) bytes += aligned(4 * static_cast<size_t>(z_.adapters * z_.slices * z_.rank * z_.width));
  return bytes;
}

LowRankFactors::Addresses LowRankFactors::bring(void* const* in, void* scratch) const {
  Cut cut(scratch);
  Addresses to{static_cast<const float*>(in[kA]), nullptr};
  if (a_ && z_.a_type != Store::F32) {
    const int64_t n = z_.adapters * z_.pairs * z_.in;
    float* a = cut.take<float>(n);
    simd().convert(z_.a_type, in[kA], Store::F32, a, n);
    to.a = a;
  }
  if (!b_) return to;
  float* b = cut.take<float>(z_.adapters * z_.slices * z_.rank * z_.width);
  constexpr int64_t kColumns = 256;  // at a time
  const int64_t pieces = (z_.width + kColumns - 1) / kColumns, rank = z_.rank, width = z_.width;
  auto turn = [&](const auto* from, auto&& value) {
    over_team(z_.threads, z_.adapters * z_.slices * pieces, [&](int64_t i, int) {
      const int64_t matrix = i / pieces * rank * width, end = std::min(width, (i % pieces + 1) * kColumns);
      for (int64_t n = i % pieces * kColumns; n < end; n++)
        for (int64_t j = 0; j < rank; j++) b[matrix + j * width + n] = value(from[matrix + n * rank + j]);
    });
  };
  if (z_.b_type == Store::F32) turn(static_cast<const float*>(in[kB]), [](float x) { return x; });
  else turn(static_cast<const uint16_t*>(in[kB]), bf16_to_float);
  to.b = b;
  return to;
}

namespace {

// While it lives, the calling thread makes primitives that run within one thread of a team.
class OneThread {
 public:
  OneThread() : before_(omp_get_max_threads()) { omp_set_num_threads(1); }
  ~OneThread() { omp_set_num_threads(before_); }

 private:
  int before_;
};

}  // namespace

BlockProduct::BlockProduct(const Request& r, const LowRankSizes& z, WeightForm form, int64_t depth, int64_t columns, bool bias, DType to)
    : per_block_(std::min(z.rows, z.per_block)), bias_(bias) {
  using dnnl::matmul;
  const DType from = r.inputs[kX].dtype;
  // As the linear layer's own product of all rows: plans of both then share the packed weight.
  const Desc any = any_desc({depth, columns}, r.compute);
  const Desc weight = matmul::primitive_desc(engine(), plain_desc({z.rows, depth}, from), any, plain_desc({z.rows, columns}, r.outputs[0].dtype),
                                             caller_scratch()).weights_desc();
  OneThread one;
  auto prepare = [&](int64_t rows) {
    const Desc x = plain_desc({rows, depth}, from), y = plain_desc({rows, columns}, to), b = plain_desc({1, columns}, DType::F32);
    auto description = bias ? matmul::primitive_desc(engine(), x, weight, b, y, caller_scratch())
                            : matmul::primitive_desc(engine(), x, weight, y, caller_scratch());
    std::vector<Prepared::Slot> slots{{DNNL_ARG_SRC, x}, {DNNL_ARG_WEIGHTS, weight}, {DNNL_ARG_DST, y}};
    if (bias) slots.push_back({DNNL_ARG_BIAS, b});
    return prepared<matmul::primitive_desc, matmul>(description, std::move(slots));
  };
  whole_ = prepare(per_block_);
  if (const int64_t rest = z.rows % per_block_) rest_ = prepare(rest);
  weight_ = std::make_unique<WeightOperand>(r, form, weight);
}

void BlockProduct::run(int64_t rows, const void* x, void* weight, void* bias, void* y, void* scratch) const {
  const Prepared& product = rows == per_block_ ? *whole_ : *rest_;
  if (bias_) product.run({const_cast<void*>(x), weight, y, bias, scratch});
  else product.run({const_cast<void*>(x), weight, y, scratch});
}

std::unique_ptr<Kernel> make_lora_linear(const Request& r) {
  const DType type = r.inputs[kX].dtype;
  const bool served = storable(type) && r.compute == type && r.outputs[0].dtype == type && storable(r.inputs[kA].dtype) && storable(r.inputs[kB].dtype) &&
                      (!r.call().has(kZ) || r.inputs[kZ].dtype == type) && !r.second_gradient;
  if (!served) return nullptr;
  if (r.pass == Pass::Forward) return make_lora_forward(r);
  return r.epilogue.any() ? nullptr : make_lora_backward(r);
}

}  // namespace graft::cpu
