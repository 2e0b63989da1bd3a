// The optimizer: the arena of trainables in blocks of one segment, prepared once; one pass over them, with clipping one read
// of the gradients before it.
#include <cmath>

#include "kernels.h"

namespace graft::cpu {
namespace {

enum { Gradients = 0, Anchor = 1, Mask = 5 };             // inputs
enum { Weights = 0, FirstMoment = 1, SecondMoment = 2, Average = 3, Narrow = 4 };  // outputs

// Elements of a block: small enough to share evenly, large enough that streams are long.
constexpr int64_t kElements = 65536;

class Optimizer : public Kernel {
 public:
  explicit Optimizer(const OptimizerRequest& request) : request_(request) {
    for (size_t s = 0; s < request.segments.size(); s++) {
      const Segment& segment = request.segments[s];
      for (int64_t at = 0; at < segment.count; at += kElements) {
        UpdateBlock b{};
        b.offset = segment.offset + at;
        b.count = std::min(kElements, segment.count - at);
        b.mask_bit = segment.mask_offset < 0 ? -1 : segment.mask_offset + at;
        b.group = segment.group;
        b.segment = static_cast<int32_t>(s);
        blocks_.push_back(b);
      }
    }
  }

  void run(const Args& a) const override {
    Cut scratch(a.scratch);
    const int64_t blocks = static_cast<int64_t>(blocks_.size());
    const StepBlock& step = *a.step;
    UpdateCall call = prepared_call(a, scratch.take<float>(2 * static_cast<int64_t>(request_.segments.size())));
    if (request_.clip) call.clip_factor = clip_factor(call, step, scratch.take<double>(blocks));
    if (request_.watch) call.norms = scratch.take<double>(2 * blocks);
    if (request_.kind == OptimizerKind::Sgd) simd().sgd(call);
    else simd().adam(call);
    if (!request_.watch) return;
    std::fill(step.update_norms, step.update_norms + 2 * request_.segments.size(), 0.0);
    for (int64_t b = 0; b < blocks; b++)
      for (int k = 0; k < 2; k++) step.update_norms[2 * blocks_[b].segment + k] += call.norms[2 * b + k];
  }

  std::string name() const override {
    const char* names[] = {"sgd", "adam", "adamw"};
    return text("own:", names[static_cast<int>(request_.kind)], ":", simd().name);
  }
  size_t scratch_bytes() const override { return aligned(8 * request_.segments.size()) + aligned(8 * blocks_.size()) + aligned(16 * blocks_.size()); }

 private:
  UpdateCall prepared_call(const Args& a, float* corrections) const {
    const bool adam = request_.kind != OptimizerKind::Sgd;
    UpdateCall call{};
    call.blocks = blocks_.data();
    call.block_count = static_cast<int64_t>(blocks_.size());
    call.gradient = static_cast<const float*>(a.in[Gradients]);
    call.anchor = request_.anchor ? static_cast<const float*>(a.in[Anchor]) : nullptr;
    for (const UpdateBlock& b : blocks_)
      if (b.mask_bit >= 0) call.mask = static_cast<const uint8_t*>(a.in[Mask]);
    call.weight = static_cast<float*>(a.out[Weights]);
    if (adam || request_.momentum != 0) call.first = static_cast<float*>(a.out[FirstMoment]);
    if (adam) call.second = static_cast<float*>(a.out[SecondMoment]);
    call.average = request_.average != 0 ? static_cast<float*>(a.out[Average]) : nullptr;
    call.rest = static_cast<float>(1 - request_.average);
    call.narrow = request_.narrow ? a.out[Narrow] : nullptr;
    call.rate = a.step->rate;
    call.decay = a.step->decay;
    call.anchor_strength = a.step->anchor;
    call.clip_factor = 1;
    call.momentum = static_cast<float>(request_.momentum);
    call.nesterov = request_.nesterov;
    call.coupled = request_.kind == OptimizerKind::Adam;
    if (!adam) return call;
    call.rest1 = static_cast<float>(1 - request_.beta1);
    call.beta2 = static_cast<float>(request_.beta2);
    call.rest2 = static_cast<float>(1 - request_.beta2);
    call.eps = static_cast<float>(request_.eps);
    for (size_t s = 0; s < request_.segments.size(); s++) {
      const double update = static_cast<double>(a.step->header->update - request_.segments[s].born);
      corrections[2 * s] = static_cast<float>(1 / (1 - std::pow(request_.beta1, update)));
      corrections[2 * s + 1] = static_cast<float>(1 / std::sqrt(1 - std::pow(request_.beta2, update)));
    }
    call.corrections = corrections;
    return call;
  }

  static float clip_factor(const UpdateCall& call, const StepBlock& step, double* squares) {
    simd().square_sums(call, squares);
    double sum = 0;
    for (int64_t b = 0; b < call.block_count; b++) sum += squares[b];
    const double norm = std::sqrt(sum);
    *step.gradient_norm = static_cast<float>(norm);
    const float limit = step.header->clip_norm;
    return limit > 0 ? static_cast<float>(std::min(1.0, limit / (norm + 1e-6))) : 1;
  }

  OptimizerRequest request_;
  std::vector<UpdateBlock> blocks_;
};

}  // namespace

std::unique_ptr<Kernel> make_optimizer(const OptimizerRequest& r) { return std::make_unique<Optimizer>(r); }

}  // namespace graft::cpu
