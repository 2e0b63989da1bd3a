// The own kernels of one instruction set, as a table of functions. Each file of this folder is compiled once per instruction
// set and fills its part; dispatch.cpp picks the table. Nothing here may have a function body: it would be compiled for
// several instruction sets under one name.
#pragma once
#include <stddef.h>
#include <stdint.h>

namespace graft::cpu {

enum class Store : int { F32, BF16 };

// In the order of graft::Activation.
enum class Function : int { None, Relu, Relu6, LeakyRelu, Sigmoid, GeluExact, GeluTanh, Silu };

// What a fused kernel does as it stores or before it starts: y = f(result + residual).
struct Tail {
  Function function;
  float slope;
};

// Batch norm over [rows, channels]; the type is that of all activations.
struct NormCall {
  Store type;
  int64_t rows, channels;
  Tail tail;
  const void* dout;
  const void* dout2;      // null: none
  const void* activated;  // null: no activation, or its slope is from `signs`, or that of (x - mean) * slope_scale + slope_shift
  const uint8_t* signs;   // Service::Signs of all elements in place of `activated`, where the first row's are at element `first`; null: none
  int64_t first;
  const float* slope_scale;
  const float* slope_shift;  // null: not so
  const void* x;          // null: no sum with x is wanted
  const float* mean;
  void* g;                // where the gradient before the tail goes; null: nowhere
  void* dx;
  const float* scale;     // frozen form: dx = g * scale, written in the one pass; null: no dx yet
};

// Gradients of a layer norm over rows of n: g = dout + dout2.
struct LayerNormCall {
  Store type;
  int64_t rows, n;
  const void* dout;
  const void* dout2;    // null: none
  const void* x;
  const float* weight;  // null: 1
  const float* mean;
  const float* rstd;
  void* dx;             // null: not wanted; may be dout
};

// A window over NHWC.
struct Window {
  Store type;
  int64_t batch, height, width, channels, out_height, out_width;
  int64_t kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_left, pad_bottom, pad_right;
  bool count_padding;
  bool wide_position;  // positions are 4 bytes, else 1
};

// Up to three dimensions [a, b, c] with steps of 0 or the plain step per operand.
struct Spread {
  int64_t size[3];
  int64_t left[3], right[3];
};

struct LossCall {
  Store type;              // of logits and gradient
  int64_t rows, columns;
  const void* logits;
  void* gradient;          // may be the logits; null: none
  const int32_t* labels;   // or, where null,
  const float* targets;    // [rows, columns]
  const float* class_weight;  // null: 1
  const uint8_t* counts;      // [rows] 0: the row is not read, its gradient is 0
  const float* row_factor;    // [rows] of the row's gradient
  float smoothing;
  double* loss;               // [rows]
  float* correct;             // [rows] 1 or 0
};

// By heads: query and result have `queries` rows a sample, key and value `keys`; elements of a head lie together.
struct AttentionCall {
  Store type;
  int64_t batch, heads, queries, keys, size;
  int64_t query_row, key_row;  // elements from token to token, of the gradients too; the result and dout are dense
  const int32_t* counts;       // [batch] keys that count; null: all
  bool causal;
  float scale;
  int threads;                 // at most
  const void *query, *key, *value;
  void* result;
  float* lse;                  // [batch, heads, queries]
  const void* dout;
  void *dquery, *dkey, *dvalue;  // null: not wanted
  void* scratch;
};

// The products of a low-rank update. Steps are elements from row to row. Factors that take part in a sum are of the type of the
// activations: with bf16, a and t are bf16, and a row of u has pairs of bf16, of j and j + 1, so that u has half as many (0 where there
// is no j + 1; whatever t has there must not be a NaN).
// t[row, j] = sum over columns of z[row, c] a[j, c].
struct LowRankDown {
  Store type;
  const void* z;
  int64_t z_step, rows, columns, rank;
  const void* a;
  int64_t a_step;
  float* t;
  int64_t t_step;
};

// out[row, c] = tail(base[row, c] + factor * sum over j of t[row, j] u[j, c] + residual[row, c]); out and residual have one type and
// step. In F32 out may be the base; the residual may be out. With rank 0 nothing of t and u is read.
struct LowRankAdd {
  const void* t;
  int64_t t_step, rows, columns, rank;
  const void* u;
  int64_t u_step;
  float factor;
  const float* base;  // null: 0
  int64_t base_step;
  Store type;
  void* out;
  int64_t out_step;
  const void* residual;  // null: none
  Tail tail;
};

// sums[j, c] += sum over rows of t[row, j] g[row, c].
struct LowRankGradient {
  Store type;
  const void* g;
  int64_t g_step, rows, columns, rank;
  const float* t;
  int64_t t_step;
  float* sums;
  int64_t sums_step;
  bool fine;  // with bf16, t counts in two parts, to 16 bits
};

struct UpdateBlock {
  int64_t offset, count;  // elements
  int64_t mask_bit;       // -1: all live
  int32_t group, segment;
};

struct UpdateCall {
  const UpdateBlock* blocks;
  int64_t block_count;
  const float* gradient;
  const float* anchor;  // null: none
  const uint8_t* mask;
  float* weight;
  float* first;   // null: SGD without momentum
  float* second;
  const float* rate;          // per group
  const float* decay;
  const float* anchor_strength;
  float clip_factor;
  float momentum;
  // Of Adam: 1 - beta1, beta2, 1 - beta2; per segment 1 / correction1 and 1 / sqrt(correction2), correction = 1 - beta^update.
  float rest1, beta2, rest2, eps;
  const float* corrections;   // [segments][2]
  bool nesterov, coupled;     // coupled: decay is part of the gradient
  float* average;             // moving average of the weights, null: none
  float rest;                 // of it: what a new weight counts
  void* narrow;               // the weights in bf16, null: no copy
  double* norms;              // [block_count][2] squares of the update and of the weight before it; null: not watched
};

struct Simd {
  const char* name;

  // pointwise.cpp
  void (*convert)(Store from, const void* x, Store to, void* y, int64_t n);
  void (*zero)(void* x, int64_t bytes);
  void (*copy)(const void* x, void* y, int64_t bytes);
  void (*sum)(Store type, const void* const* x, int count, void* y, int64_t n);
  void (*scale)(Store type, const void* x, void* y, float factor, float offset, int64_t n, bool accumulate);
  void (*forward)(Function f, float slope, Store type, const void* x, void* y, int64_t n);
  // dx = (dout + dout2) * f'(v); v is the result of the relu family and of sigmoid, the argument of gelu and silu.
  void (*backward)(Function f, float slope, Store type, const void* dout, const void* dout2, const void* v, void* dx, int64_t n, bool accumulate);
  int64_t (*nonfinite)(Store type, const void* x, int64_t n);
  // Service::Signs; below: NaN where none is given.
  void (*signs)(Store type, const void* x, float below, uint8_t* bits, int64_t n);

  // broadcast.cpp
  void (*add)(Store type, const Spread& s, const void* a, const void* b, void* y, Tail tail);
  void (*multiply)(Store type, const Spread& s, const void* a, const void* b, void* y, bool accumulate);
  // sums[column] (+)= sum over rows of x[row, column]; ordered by blocks of rows whatever the number of threads.
  void (*column_sums)(Store type, const void* x, int64_t rows, int64_t columns, float* sums, bool accumulate, void* scratch);
  // y[a, c] (+)= sum over b of x[a, b, c] * other[a, b, c] (other: null = 1).
  void (*middle_sums)(Store type, int64_t a, int64_t b, int64_t c, const void* x, const void* other, Store to, void* y, bool accumulate);

  // y[n, i] = (i < prefix ? token[i] : x[n, i - prefix]) + position[i] for i < whole.
  void (*embed_tokens)(Store type, const void* x, const float* token, const float* position, void* y, int64_t samples, int64_t prefix, int64_t whole);

  // batch_norm.cpp
  void (*norm_statistics)(Store type, const void* x, int64_t rows, int64_t channels, float* mean, float* variance, void* scratch);
  void (*norm_apply)(Store type, const void* x, const void* residual, void* y, int64_t rows, int64_t channels, const float* mean, const float* s,
                     const float* t, Tail tail);
  // sums[0][c] = sum of g, sums[1][c] = sum of g * (x - mean).
  void (*norm_reduce)(const NormCall& call, double* sums, void* scratch);
  // dx = p * g + q * (x - mean) + r; rows from `live` on become 0.
  void (*norm_combine)(Store type, const void* g, const void* x, void* dx, int64_t rows, int64_t live, int64_t channels, const float* mean,
                       const float* p, const float* q, const float* r);

  // layer_norm.cpp
  void (*layer_norm)(Store type, const void* x, const float* weight, const float* bias, void* y, float* mean, float* rstd, int64_t rows, int64_t n, float eps);
  // dx and, where `sums` is given, sums[0..n) of g and sums[n..2n) of g * normal, in one pass over the rows.
  void (*layer_norm_gradients)(const LayerNormCall& call, double* sums, void* scratch);

  // pool.cpp
  void (*max_pool)(const Window& w, const void* x, void* y, void* position);  // position null: not saved
  void (*max_pool_data)(const Window& w, const void* dout, const void* position, void* dx);
  void (*average_pool)(const Window& w, const void* x, void* y);
  void (*average_pool_data)(const Window& w, const void* dout, void* dx);
  void (*depthwise_data)(const Window& w, const void* dout, const void* weight, void* dx);  // weight [KH, KW, C]

  // softmax.cpp
  void (*softmax)(Store type, bool log, const void* x, void* y, int64_t rows, int64_t n);
  void (*softmax_data)(Store type, bool log, const void* dout, const void* dout2, const void* y, void* dx, int64_t rows, int64_t n);

  // cross_entropy.cpp
  void (*cross_entropy)(const LossCall& call);

  // attention.cpp, attention_gradients.cpp; on BF16 where the instruction set has its products. Scratch in bytes.
  size_t (*attention_scratch)(const AttentionCall& call);
  void (*attention)(const AttentionCall& call);
  size_t (*attention_gradients_scratch)(const AttentionCall& call);
  void (*attention_gradients)(const AttentionCall& call);

  // dropout.cpp: y = survives ? (x + x2) * factor : 0; with `whole` the number of element 0 is that of its sample.
  void (*dropout)(Store type, const void* x, const void* x2, void* y, int64_t samples, int64_t per_sample, const int64_t* ids, uint64_t key, int32_t visit,
                  float rate, float factor, bool whole);

  // low_rank.cpp, on the calling thread alone
  void (*low_rank_down)(const LowRankDown& call);
  void (*low_rank_add)(const LowRankAdd& call);
  void (*low_rank_gradient)(const LowRankGradient& call);

  // optimizer.cpp
  void (*square_sums)(const UpdateCall& call, double* per_block);
  void (*sgd)(const UpdateCall& call);
  void (*adam)(const UpdateCall& call);
};

// A sum over rows is made of at most this many partial sums, of at least so many rows each.
constexpr int64_t kReductionBlocks = 64, kRowsPerBlock = 128;

}  // namespace graft::cpu
