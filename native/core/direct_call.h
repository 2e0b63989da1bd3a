// What the calls of core/direct have in common: checks of numbers, the step block of a run.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstring>

#include "direct.h"

namespace graft {

// Begins the keys of the cache.
enum class Family : int64_t { Product, CrossEntropy, LinearCrossEntropy, Update, Merge, LowRank };

// Up to here a lane's help costs more than it brings: handing a call over takes about as long as a core needs for this much.
constexpr int64_t kSmallFlops = int64_t{1} << 21, kSmallElements = int64_t{1} << 15;

inline int64_t bits(double x) {
  int64_t i;
  std::memcpy(&i, &x, sizeof i);
  return i;
}

inline void positive(const char* name, int64_t size) {
  require(size >= 1 && size <= kMostElements, name, " is ", size, "; expected 1 to 2^40");
}

inline void finite(const char* name, double x) { require(std::isfinite(x), name, " is ", x, "; expected a finite number"); }

inline void at_least_zero(const char* name, double x) { require(std::isfinite(x) && x >= 0, name, " is ", x, "; expected 0 or more"); }

inline void within_one(const char* name, double x) { require(x >= 0 && x < 1, name, " is ", x, "; expected at least 0 and below 1"); }

inline int64_t product_of(const char* what, int64_t x, int64_t y) {
  require(x == 0 || y <= kMostElements / x, what, ": ", x, " times ", y, " elements are more than 2^40");
  return x * y;
}

constexpr StepSizes kSizes{1, 1, 1, 1};

// What a run needs beside operands: a step block for one group, one loss and one sample, and the numbers in it.
struct Direct::Numbers {
  Numbers() : block(StepBlock::at(bytes, kSizes)) {
    new (block.header) StepHeader();
    block.header->valid_rows = 1;
    block.row_weight[0] = 1;
    block.loss_weight[0] = 1;
  }
  // A number of its own, behind the step block: in[3], the factor of a product, or out[0], the result of a loss.
  enum class Extra { None, Factor, Result };
  Extra extra = Extra::None;
  float number = 1;
  // Where the caller wants what the step block takes of results: the column's memory, like every operand.
  float *loss = nullptr, *correct = nullptr, *gradient_norm = nullptr;
  alignas(64) char bytes[1024] = {};
  StepBlock block;
};

}  // namespace graft
