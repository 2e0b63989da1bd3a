// The flat arena of what is trained: weights, gradients, moments and anchors of all trainable tensors, end to end in the
// same order, so that the optimizer is one pass. Owned by the parameter store; a stage of fine-tuning that trains another
// set gets another arena, into which the values and moments of what stays are moved.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "buffer.h"

namespace graft {

using RowRanges = std::vector<std::pair<int64_t, int64_t>>;  // [first, second)

struct TrainableItem {
  int param = -1;
  RowRanges rows;         // empty: all rows. Otherwise gradient and moments exist for these rows only
  std::string mask_path;  // bit per element, or empty
  int64_t offset = 0, count = 0;  // elements in the arena, set by the store
  int64_t mask_offset = -1;       // first bit in the mask, or -1
  int64_t born = 0;               // updates before this tensor joined
};

// What a plan asks the store to train.
struct TrainSpec {
  std::vector<TrainableItem> items;
  OptimizerKind kind = OptimizerKind::Sgd;
  int moments = 0;
  bool anchor = false, average = false;
};

struct Trainables {
  std::vector<TrainableItem> items;
  int64_t elements = 0;  // offsets are multiples of 16 elements; padding stays zero
  OptimizerKind kind = OptimizerKind::Sgd;
  int moments = 0;
  int64_t updates = 0;  // so far
  Buffer weights, gradients, moment[2], average, anchor, mask;
  bool dirty = false;  // the gradients are those of a plan that does not add up

  // Whether a plan of this spec can use this arena as it is.
  bool serves(const TrainSpec& spec) const;
  const TrainableItem* find(int param) const {
    for (const auto& i : items)
      if (i.param == param) return &i;
    return nullptr;
  }
  size_t state_bytes() const { return moment[0].bytes() + moment[1].bytes() + average.bytes(); }
};

}  // namespace graft
