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

// a [adapters][pairs][in] and b transposed, [adapters][slices][rank][width], in F32.
class LowRankFactors {
 public:
  LowRankFactors(const LowRankSizes& sizes, bool a, bool b) : z_(sizes), a_(a), b_(b) {}
  size_t scratch_bytes() const;
  struct Addresses {
    const float *a, *b;
  };
  Addresses bring(void* const* in, void* scratch) const;

 private:
  LowRankSizes z_;
  bool a_, b_;
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
