// What both passes of lora_linear share: how rows are cut into blocks and into runs with one adapter, products of one block, and the
// low-rank factors as the own kernels read them.
//
// A block of rows is small enough for a core's second cache: the low-rank products read what the product with the weight reads
// and change what it has just stored, so that memory sees no more than the linear layer alone. Each block is one thread's.
#pragma once
#include <exception>

#include "kernels.h"
#include "weight.h"

namespace graft::cpu {

// Operands of lora_linear.
enum LowRankInput { kX, kWeight, kBias, kA, kB, kZ, kAdapter, kScales };

// The calling thread's number in its team.
int team_thread();

// f(i, thread) for i in [0, n), spread over the threads in runs that depend on both alone; rethrows what one of them threw.
template <class F>
void over_team(int threads, int64_t n, const F& f) {
  std::exception_ptr fault;
#pragma omp parallel for num_threads(threads) schedule(static) if (n > 1)
  for (int64_t i = 0; i < n; i++) {
    try {
      f(i, team_thread());
    } catch (...) {
#pragma omp critical(graft_over_team)
      fault = std::current_exception();
    }
  }
  if (fault) std::rethrow_exception(fault);
}

struct LowRankSizes {
  explicit LowRankSizes(const Request& r);

  int64_t rows, in, out, rank, slices, width, adapters, rows_per_sample;
  int64_t pairs;     // columns of t: slices * rank
  int64_t per_block, blocks;
  int threads;
  float factor;
  Store type;        // of all activations
  bool grouped, scaled, separate;  // adapters; scales; the branch reads z
  Store a_type, b_type;

  // A run of columns that one slice writes, or none: -1.
  struct Segment {
    int64_t start, width, slice;
  };
  std::vector<Segment> segments;

  int64_t begin(int64_t block) const { return std::min(rows, block * per_block); }
  char* at(void* activations, int64_t row, int64_t columns, int64_t column = 0) const {
    return static_cast<char*>(activations) + (type == Store::BF16 ? 2 : 4) * (row * columns + column);
  }
  float factor_of(const void* const* in, int64_t adapter) const {
    return scaled ? factor * static_cast<const float*>(in[kScales])[adapter] : factor;
  }

  static constexpr int64_t kNone = -1, kInvalid = -2;
  // f(first row, rows, adapter) for the runs of rows within [begin, end) that have one adapter.
  template <class F>
  void over_runs(const void* adapter, int64_t begin, int64_t end, const F& f) const {
    if (!grouped) return f(begin, end - begin, int64_t{0});
    const int32_t* ids = static_cast<const int32_t*>(adapter);
    for (int64_t row = begin; row < end;) {
      const int32_t id = ids[row / rows_per_sample];
      int64_t next = row;
      while (next < end && ids[next / rows_per_sample] == id) next = (next / rows_per_sample + 1) * rows_per_sample;
      next = std::min(next, end);
      f(row, next - row, id < kNone || id >= adapters ? kInvalid : static_cast<int64_t>(id));
      row = next;
    }
  }
};

// The factors as simd/table.h wants them: a as it is, [adapters] matrices [pairs][in]; b transposed, [adapters][slices] matrices
// [rank][width]. A pass contracts with one of them (`down`) and goes back with the other (`up`).
class LowRankFactors {
 public:
  enum class Factor { None, A, B };
  LowRankFactors(const LowRankSizes& sizes, Factor down, Factor up);
  size_t scratch_bytes() const { return aligned(needed(down_)) + aligned(needed(up_)); }

  struct Addresses {
    const void *down, *up;
  };
  Addresses bring(void* const* in, void* scratch) const;
  // The part of one adapter, or of one adapter's slice.
  const void* down(const Addresses& a, int64_t matrix) const { return static_cast<const char*>(a.down) + static_cast<size_t>(matrix) * down_.bytes; }
  const void* up(const Addresses& a, int64_t matrix) const { return static_cast<const char*>(a.up) + static_cast<size_t>(matrix) * up_.bytes; }

 private:
  struct Form {
    bool there = false, as_given = false, paired = false;
    size_t input = 0;
    Store from = Store::F32, to = Store::F32;
    int64_t matrices = 0, rows = 0, columns = 0, row_step = 0, column_step = 0;  // of what is given
    size_t bytes = 0;                                                           // of one matrix
  };
  static size_t needed(const Form& form) { return form.as_given ? 0 : static_cast<size_t>(form.matrices) * form.bytes; }
  Form form_of(const LowRankSizes& sizes, Factor factor, bool paired) const;
  const void* bring(const Form& form, void* const* in, void* to) const;

  int threads_;
  Form down_, up_;
};

// t as the way back reads it: F32 as it lies, or in bf16 in scratch.
class UpwardT {
 public:
  explicit UpwardT(const LowRankSizes& sizes) : z_(sizes) {}
  size_t scratch_bytes() const { return z_.type == Store::F32 ? 0 : aligned(2 * static_cast<size_t>(z_.per_block * step())); }
  // Of an odd rank, a slice's last pair reaches into what follows it: zeros behind each row.
  bool dense() const { return z_.type == Store::F32 || z_.rank % 2 == 0; }
  int64_t step() const { return dense() ? z_.pairs : z_.pairs / 2 * 2 + 2; }
  const void* bring(const float* t, int64_t rows, void* scratch) const;
  // Column `column` of row `row`.
  const void* at(const void* t, int64_t row, int64_t column = 0) const { return z_.at(const_cast<void*>(t), row, step(), column); }

 private:
  const LowRankSizes& z_;
};

// x w (+ bias) for a block of rows, on the calling thread. The weight has the layout that the linear layer's product wants.
class BlockProduct {
 public:
  // The right factor is [depth, columns]; `to` is the result's type.
  BlockProduct(const Request& r, const LowRankSizes& sizes, WeightForm form, int64_t depth, int64_t columns, bool bias, DType to);
  void run(int64_t rows, const void* x, void* weight, void* bias, void* y, void* scratch) const;
  WeightOperand& weight() const { return *weight_; }
  size_t scratch_bytes() const { return aligned(std::max(whole_->scratch_bytes(), rest_ ? rest_->scratch_bytes() : 0)); }
  const std::string& implementation() const { return whole_->implementation(); }

 private:
  int64_t per_block_;
  bool bias_;
  std::unique_ptr<Prepared> whole_, rest_;
  std::unique_ptr<WeightOperand> weight_;
};

std::unique_ptr<Kernel> make_lora_forward(const Request& r);
std::unique_ptr<Kernel> make_lora_backward(const Request& r);

}  // namespace graft::cpu
