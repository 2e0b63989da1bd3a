// Operands of lora_linear's products (lora_products.cu), of one adapter or of several side by side: numbers in two bf16 parts, b in the
// columns of its adapter and slice, a one part below the other.
#pragma once
#include "lora.cuh"

namespace graft::cuda {

// A matrix of so many lines of both parts, each padded with zeros to a multiple of eight.
struct Doubled {
  int64_t columns;       // of the numbers
  Divisor padded, line;  // of one part, of both
  explicit Doubled(int64_t columns) : columns(columns), padded((columns + 7) / 8 * 8), line(2 * padded) {}
};

// What of the results for all adapters [rows, adapters * own] is the row's own: [rows, own], 0 where it has none.
struct PickOwn {
  Branch u;
  Divisor own;
  const float* all;
  float* picked;
  __device__ void operator()(int64_t at) const {
    const int64_t row = at / own, g = u.adapter_of(row);
    picked[at] = g >= 0 ? all[(row * u.adapters + g) * own + at % own] : 0;
  }
};

// p(s v) of numbers [rows, own], in the columns of the row's adapter; 0 in others.
struct SplitNumbers {
  Branch u;
  Doubled to;
  Divisor own;    // columns of one adapter
  const float* v;
  float unknown;  // for rows whose adapter's number names none
  Bf16* parts;
  __device__ void operator()(int64_t at) const {
    const int64_t row = at / to.line, place = at % to.line, column = place % to.padded, g = u.adapter_of(row);
    float number = 0;
    if (column < to.columns) {
      if (g == -2) number = unknown;
      else if (column / own == g) number = u.scale(g) * v[row * own + column % own];
    }
    const Bf16 high = stored<Bf16>(number);
    parts[at] = place < to.padded ? high : stored<Bf16>(number - float_of(high));
  }
};

// b of all adapters once or twice, each adapter and each slice in its own columns: [out, line], 0 elsewhere.
struct SpreadB {
  Branch u;
  Doubled to;
  Divisor own, line;
  const Bf16* b;
  Bf16* spread;
  __device__ void operator()(int64_t at) const {
    const int64_t n = at / line, column = at % line % to.padded, slice = u.slice_of(n), j = column % own - slice * u.rank;
    spread[at] = column < to.columns && slice >= 0 && j >= 0 && j < u.rank ? b[u.at_b(column / own, slice, n, j)] : Bf16{0};
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

// The gradient of b from g^T p(s t) of all columns, [out, adapters * own].
struct GatherB {
  Branch u;
  Divisor own;
  const float* all;
  Gradient<float> db;
  __device__ void operator()(int64_t at) const {
    const int64_t j = at % u.rank, n = at / u.rank % u.width, outer = at / u.rank / u.width, slice = outer % u.slices, g = outer / u.slices;
    db.put(at, all[((u.starts[slice] + n) * u.adapters + g) * own + slice * u.rank + j]);
  }
};

}  // namespace graft::cuda
