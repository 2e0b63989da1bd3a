// Kernels on memory of the caller, without a graph or a plan. Each call finds the kernel that was prepared for its sizes and runs
// it on the caller's addresses: nothing is copied. On a column that enqueues a call goes to the caller's stream and returns at once,
// and no value that lies on the device is looked at; on the others small calls run alone on the calling thread, all else on the
// device's lanes, and `stream` is 0.
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
  Region results;  // [2]: the mean, the rows whose largest logit is the target
};

// The operation linear_cross_entropy: logits = x weight' + bias, which exist for as many rows at a time as `logits_bytes` hold (0: as
// many as the operation's default). Of the gradients those are computed that are given; dx may be x.
struct LinearCrossEntropyCall {
  CrossEntropyCall loss;  // without logits and gradient
  DType type;             // of x, weight and dx; all else is F32
  int64_t features, logits_bytes;
  bool accumulate;        // dweight and dbias are added to
  Region x, weight, bias, dx, dweight, dbias;
};

struct OptimizerCall {
  OptimizerKind kind;
  double momentum, beta1, beta2, eps;
  bool nesterov;
  double rate, decay, anchor_strength, clip, average_decay;
  int64_t update, count;
  std::vector<std::pair<int64_t, int64_t>> ranges;  // of elements, [first, second); empty: all
  Region weight, gradient, first, second, anchor, mask;
  Region norm;  // [1], optional: of the gradient before clipping
  Region average, copy;  // copy is BF16, optional
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
  DType type;  // of x, weight, a, b, y, dy and dx; all else is F32
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

  void product(const ProductCall& call, int64_t stream);
  void cross_entropy(const CrossEntropyCall& call, int64_t stream);
  void linear_cross_entropy(const LinearCrossEntropyCall& call, int64_t stream);
  void update(const OptimizerCall& call, int64_t stream);
  void merge(const MergeCall& call, int64_t stream);
  void low_rank(const LowRankCall& call, int64_t stream);

 private:
  struct Numbers;
  // Throws where the column stores no numbers of this type.
  void computes(DType type) const;
  // The caller's fault unless the column has such a stream and its kernels reach the operands, as far as it can tell.
  void reach(int64_t stream, const std::vector<const Region*>& operands) const;
  // Runs `kernel` on `args` with scratch and step block set.
  void run(const KernelCache::Key& key, bool small, const std::function<std::unique_ptr<Kernel>()>& prepare, Args args, Numbers& numbers,
           int64_t stream);
  // The caller's fault unless the `count` numbers of an I32 region lie in least..most or are `other`; read before anything is written.
  // A column that enqueues leaves that to its kernels, which answer with NaN.
  void check_numbers(const char* what, const Region& region, int64_t count, int64_t least, int64_t most, int64_t other);

  Column& column_;
  Lanes& lanes_;
  KernelCache kernels_;
  ScratchPool scratch_;
};

}  // namespace graft
