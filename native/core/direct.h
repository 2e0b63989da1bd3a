// Kernels on memory of the caller, without a graph or a plan. Each call finds the kernel that was prepared for its sizes and runs
// it on the caller's addresses: nothing is copied. Small calls run alone on the calling thread, others on the device's lanes.
#pragma once
#include <functional>

#include "kernel_cache.h"
#include "lanes.h"
#include "region.h"
#include "scratch_pool.h"

namespace graft {

// c = activation(factor * op(a) op(b) + bias + residual (+ c)), for `batch` triples of matrices.
struct ProductCall {
  struct Matrix {
    Region region;
    int64_t row, step;  // elements from row to row, from matrix to matrix
  };
  bool transpose_a, transpose_b, accumulate;
  Activation activation;
  double factor;
  int64_t batch, m, n, k;
  Matrix a, b, c;
  Region bias, residual;  // residual lies as c does
};

struct CrossEntropyCall {
  int64_t rows, classes, ignored;
  double smoothing, factor, normalizer;
  Region logits, target, class_weight, gradient;
};
struct CrossEntropyResult {
  double loss, correct;
};

struct OptimizerCall {
  OptimizerKind kind;
  double momentum, beta1, beta2, eps;
  bool nesterov;
  double rate, decay, anchor_strength, clip;
  int64_t update, count;
  std::vector<std::pair<int64_t, int64_t>> ranges;  // of elements, [first, second); empty: all
  Region weight, gradient, first, second, anchor, mask;
};

// weight [rows, columns] += factor * b a on each slice; shapes and slices as of the operation lora_linear.
struct MergeCall {
  int64_t rows, columns, rank, width;
  double factor;
  std::vector<int64_t> starts;
  Region weight, a, b;
};

// The operation lora_linear. Forward writes y [rows, out] and t [rows, slices * rank], which backward reads; of backward's three
// gradients those are computed that are given. Without adapters a is [slices * rank, in] and b [slices * width, rank]; with them
// both have the adapter's axis first, and `adapter` tells that of each of `samples` equal parts of the rows, -1 is none.
struct LowRankCall {
  int64_t rows, in, out, rank, width;
  double factor;
  std::vector<int64_t> starts;  // of the slices
  int64_t adapters, samples;    // 0: one update for all rows
  bool backward, accumulate;    // accumulate: da and db are added to
  Region x, weight, bias, a, b, adapter, scales, y, t, dy, dx, da, db;
};

// Safe for any number of threads, as long as no two calls write the same memory.
class Direct {
 public:
  Direct(Column& column, Lanes& lanes) : column_(column), lanes_(lanes), scratch_(column) {}

  void product(const ProductCall& call);
  CrossEntropyResult cross_entropy(const CrossEntropyCall& call);
  // Returns the norm of the gradient before clipping, 0 where nothing is clipped.
  double update(const OptimizerCall& call);
  void merge(const MergeCall& call);
  void low_rank(const LowRankCall& call);

 private:
  struct Numbers;
  // Runs `kernel` on `args` with scratch and step block set.
  void run(const KernelCache::Key& key, bool small, const std::function<std::unique_ptr<Kernel>()>& prepare, Args args, Numbers& numbers);
  // The caller's fault unless the `count` numbers of an I32 region lie in least..most or are `other`; read before anything is written.
  void check_numbers(const char* what, const Region& region, int64_t count, int64_t least, int64_t most, int64_t other);

  Column& column_;
  Lanes& lanes_;
  KernelCache kernels_;
  ScratchPool scratch_;
};

}  // namespace graft
