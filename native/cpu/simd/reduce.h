// Sums over the rows of [rows, columns]: blocks of rows that depend on the shape alone, each summed in float over short runs
// and then in double, the blocks added in order. So the result is the same for any number of threads.
#pragma once
#include "value.h"

namespace graft::cpu::GRAFT_ISA_NAMESPACE {

// Rows summed in float before they go into double.
constexpr int64_t kRun = 64;

// scratch: per block, `series` times columns doubles, then as many floats.
// f(begin, end, float* series...) adds the rows [begin, end), at most kRun of them.
template <int series, class F>
inline void reduce_rows(int64_t rows, int64_t columns, void* scratch, double* sums, const F& f) {
  int64_t per_block = most<int64_t>(kRowsPerBlock, (rows + kReductionBlocks - 1) / kReductionBlocks);
  int64_t blocks = (rows + per_block - 1) / per_block;
  int64_t width = series * columns;
  double* totals = static_cast<double*>(scratch);
  float* runs = reinterpret_cast<float*>(totals + blocks * width);
  over_items(blocks, per_block * columns, [&](int64_t b) {
    double* total = totals + b * width;
    float* run = runs + b * width;
    for (int64_t c = 0; c < width; c++) total[c] = 0;
    int64_t end = least(rows, (b + 1) * per_block);
    for (int64_t r = b * per_block; r < end; r += kRun) {
#pragma omp simd
      for (int64_t c = 0; c < width; c++) run[c] = 0;
      f(r, least(end, r + kRun), run);
#pragma omp simd
      for (int64_t c = 0; c < width; c++) total[c] += run[c];
    }
  });
  for (int64_t c = 0; c < width; c++) sums[c] = 0;
  for (int64_t b = 0; b < blocks; b++) {
#pragma omp simd
    for (int64_t c = 0; c < width; c++) sums[c] += totals[b * width + c];
  }
}

}  // namespace graft::cpu::GRAFT_ISA_NAMESPACE
