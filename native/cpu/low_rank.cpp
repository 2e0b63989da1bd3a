#include "low_rank.h"

#include <omp.h>

#include "core/number_formats.h"

namespace graft::cpu {

int team_thread() { return omp_get_thread_num(); }

// Rows of a block; of few rows less, so that there is work for more threads.
constexpr int64_t kBlockRows = 128, kFewRows = 1024;

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
  const int64_t most = rows < kFewRows ? kBlockRows / 2 : kBlockRows;
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

LowRankFactors::LowRankFactors(const LowRankSizes& sizes, Factor down, Factor up)
    : threads_(sizes.threads), down_(form_of(sizes, down, false)), up_(form_of(sizes, up, true)) {}

LowRankFactors::Form LowRankFactors::form_of(const LowRankSizes& z, Factor factor, bool paired) const {
  Form f;
  if (factor == Factor::None) return f;
  const bool a = factor == Factor::A;
  f.there = true;
  f.input = a ? kA : kB;
  f.from = a ? z.a_type : z.b_type;
  f.to = z.type;
  f.paired = paired && z.type == Store::BF16;
  f.as_given = a && !f.paired && f.from == f.to;
  f.matrices = a ? z.adapters : z.adapters * z.slices;
  f.rows = a ? z.pairs : z.rank;
  f.columns = a ? z.in : z.width;
  f.row_step = a ? z.in : 1;
  f.column_step = a ? 1 : z.rank;
  f.bytes = static_cast<size_t>(f.columns) *
            (f.paired ? 4 * static_cast<size_t>((f.rows + 1) / 2) : (f.to == Store::F32 ? 4 : 2) * static_cast<size_t>(f.rows));
  return f;
}

LowRankFactors::Addresses LowRankFactors::bring(void* const* in, void* scratch) const {
  return {bring(down_, in, scratch), bring(up_, in, static_cast<char*>(scratch) + aligned(needed(down_)))};
}

const void* LowRankFactors::bring(const Form& f, void* const* in, void* to) const {
  if (!f.there) return nullptr;
  if (f.as_given) return in[f.input];
  constexpr int64_t kColumns = 256;  // at a time
  const int64_t pieces = (f.columns + kColumns - 1) / kColumns;
  auto fill = [&](const auto* from, auto&& value) {
    over_team(threads_, f.matrices * pieces, [&](int64_t i, int) {
      const auto* matrix = from + i / pieces * f.rows * f.columns;
      char* there = static_cast<char*>(to) + static_cast<size_t>(i / pieces) * f.bytes;
      const int64_t begin = i % pieces * kColumns, end = std::min(f.columns, begin + kColumns);
      auto at = [&](int64_t row, int64_t column) -> float { return row < f.rows ? value(matrix[row * f.row_step + column * f.column_step]) : 0; };
      auto bits = [&](int64_t row, int64_t column) { return float_to_bf16(at(row, column)); };
      for (int64_t row = 0; row < f.rows; row += f.paired ? 2 : 1)
        for (int64_t c = begin; c < end; c++) {
          if (f.paired) reinterpret_cast<uint32_t*>(there)[row / 2 * f.columns + c] = bits(row, c) | static_cast<uint32_t>(bits(row + 1, c)) << 16;
          else if (f.to == Store::BF16) reinterpret_cast<uint16_t*>(there)[row * f.columns + c] = bits(row, c);
          else reinterpret_cast<float*>(there)[row * f.columns + c] = at(row, c);
        }
    });
  };
  if (f.from == Store::F32) fill(static_cast<const float*>(in[f.input]), [](float x) { return x; });
  else fill(static_cast<const uint16_t*>(in[f.input]), bf16_to_float);
  return to;
}

const void* UpwardT::bring(const float* t, int64_t rows, void* scratch) const {
  if (z_.type == Store::F32) return t;
  if (dense()) {
    simd().convert(Store::F32, t, z_.type, scratch, rows * z_.pairs);
    return scratch;
  }
  uint16_t* to = static_cast<uint16_t*>(scratch);
  for (int64_t row = 0; row < rows; row++, to += step()) {
    simd().convert(Store::F32, t + row * z_.pairs, z_.type, to, z_.pairs);
    std::fill(to + z_.pairs, to + step(), uint16_t{0});
  }
  return scratch;
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
  weight_ = std::make_unique<WeightOperand>(r, form, weight, z.rows);
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
