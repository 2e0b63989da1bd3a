// Everything that changes from run to run, in column memory: kernels read it through these addresses and never take such a
// number as an argument, so a captured list of steps can be replayed.
#pragma once
#include <cstddef>
#include <cstdint>

namespace graft {

struct StepHeader {
  uint64_t seed = 0;
  int64_t update = 0;      // number of the current update, 1 for the first (bias correction of Adam)
  int32_t visit = 0;       // how often the samples were seen before: the epoch
  int32_t valid_rows = 0;  // rows of the batch that count; the others are padding
  float normalizer = 0;    // rows (or summed weights) that a mean loss divides by; 0 = those of this run
  float clip_norm = 0;     // largest global norm of the gradients; 0 = no clipping
  int32_t judged_losses = 0;  // of columns that enqueue: an update is left out where one of the first so many losses is not finite
};

// Numbers of a plan that size its block.
struct StepSizes {
  int groups = 1;
  int losses = 0;
  int batch = 1;
  int trainables = 0;
};

// Addresses into one block, or offsets when `base` is null.
struct StepBlock {
  StepHeader* header;
  float* rate;          // [groups]
  float* decay;         // [groups]
  float* anchor;        // [groups] strength of the pull to the pretrained weights
  float* loss_weight;   // [losses]
  float* row_weight;    // [batch], 0 for padding
  int64_t* row_id;      // [batch] sample ids, keys of random numbers
  // Results.
  float* loss;          // [losses]
  float* correct;       // [losses] weighted rows whose largest logit is the target
  float* gradient_norm; // [1]
  double* update_norms; // [trainables][2]: sum of squares of update and of weight

  static StepBlock at(void* base, const StepSizes& n) {
    char* p = static_cast<char*>(base);
    size_t at = 0;
    auto take = [&](size_t bytes) { void* r = p + at; at += (bytes + 63) / 64 * 64; return r; };
    StepBlock b;
    b.header = static_cast<StepHeader*>(take(sizeof(StepHeader)));
    b.rate = static_cast<float*>(take(4 * n.groups));
    b.decay = static_cast<float*>(take(4 * n.groups));
    b.anchor = static_cast<float*>(take(4 * n.groups));
    b.loss_weight = static_cast<float*>(take(4 * n.losses));
    b.row_weight = static_cast<float*>(take(4 * n.batch));
    b.row_id = static_cast<int64_t*>(take(8 * n.batch));
    b.loss = static_cast<float*>(take(4 * n.losses));
    b.correct = static_cast<float*>(take(4 * n.losses));
    b.gradient_norm = static_cast<float*>(take(4));
    b.update_norms = static_cast<double*>(take(16 * n.trainables));
    return b;
  }
  static size_t bytes(const StepSizes& n) {
    auto up = [](size_t b) { return (b + 63) / 64 * 64; };
    return up(sizeof(StepHeader)) + 3 * up(4 * n.groups) + up(4 * n.losses) + up(4 * n.batch) + up(8 * n.batch) +
           2 * up(4 * n.losses) + up(4) + up(16 * n.trainables);
  }
  // Bytes from the start that the host writes before a run; what follows are results.
  static size_t written_bytes(const StepSizes& n) {
    auto up = [](size_t b) { return (b + 63) / 64 * 64; };
    return up(sizeof(StepHeader)) + 3 * up(4 * n.groups) + up(4 * n.losses) + up(4 * n.batch) + up(8 * n.batch);
  }
};

}  // namespace graft
