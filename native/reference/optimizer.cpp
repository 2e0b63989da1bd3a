// The optimizer: one pass over the arena of trainables, formulas as torch.optim (dampening 0, moments start at zero).
//   g = clip factor * gradient + anchor * (w - w0)
//   SGD    g += decay w; m = momentum m + g; w -= rate (nesterov ? g + momentum m : m)
//   Adam   g += decay w; m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g g;
//          w -= rate / (1 - b1^t) * m / (sqrt(v) / sqrt(1 - b2^t) + eps), t = update - born
//   AdamW  as Adam, but w *= 1 - rate decay before it instead of decay in g
// After it the moving average e = average e + (1 - average) w, and the copy of w rounded to bf16, where they are kept.
// Masked elements keep weight, moments, average and copy and count neither in the norm of the gradients nor in the watched sums. The
// watched sums of segment i, in update_norms[i], are of squares: what the update moved, and the weight before it.
#include <cmath>

#include "number_formats.h"
#include "reference.h"

namespace graft::reference {
namespace {

enum { Gradients = 0, Anchor = 1, Mask = 5 };  // inputs
enum { Weights = 0, FirstMoment = 1, SecondMoment = 2, Average = 3, Narrow = 4 };

class OptimizerKernel : public Kernel {
 public:
  explicit OptimizerKernel(const OptimizerRequest& request) : request_(request) {}

  std::string name() const override {
    const char* names[] = {"sgd", "adam", "adamw"};
    return std::string("reference:") + names[static_cast<int>(request_.kind)];
  }

  void run(const Args& args) const override {
    const StepHeader& header = *args.step->header;
    double factor = 1;
    if (request_.clip) {
      double norm = gradient_norm(args);
      *args.step->gradient_norm = static_cast<float>(norm);
      if (header.clip_norm > 0) factor = std::min(1.0, header.clip_norm / (norm + 1e-6));
    }
    for (size_t s = 0; s < request_.segments.size(); s++) {
      double moved = 0, weight = 0;
      for_live(args, request_.segments[s], [&](int64_t i) {
        float& w = static_cast<float*>(args.out[Weights])[i];
        double before = w;
        w = static_cast<float>(updated(args, request_.segments[s], i, factor));
        if (request_.average != 0) {
          float& e = static_cast<float*>(args.out[Average])[i];
          e = static_cast<float>(request_.average * e + (1 - request_.average) * w);
        }
        if (request_.narrow) static_cast<uint16_t*>(args.out[Narrow])[i] = float_to_bf16(w);
        moved += (w - before) * (w - before);
        weight += before * before;
      });
      if (!request_.watch) continue;
      args.step->update_norms[2 * s] = moved;
      args.step->update_norms[2 * s + 1] = weight;
    }
  }

 private:
  template <class Visit>
  static void for_live(const Args& args, const Segment& segment, Visit visit) {
    const uint8_t* mask = static_cast<const uint8_t*>(args.in[Mask]);
    for (int64_t i = 0; i < segment.count; i++) {
      int64_t bit = segment.mask_offset + i;
      if (segment.mask_offset < 0 || (mask[bit / 8] >> (bit % 8) & 1)) visit(segment.offset + i);
    }
  }

  double gradient_norm(const Args& args) const {
    const float* g = static_cast<const float*>(args.in[Gradients]);
    double sum = 0;
    for (const Segment& segment : request_.segments)
      for_live(args, segment, [&](int64_t i) { sum += static_cast<double>(g[i]) * g[i]; });
    return std::sqrt(sum);
  }

  // The new value of weight i; its moments are updated on the way.
  double updated(const Args& args, const Segment& segment, int64_t i, double factor) const {
    const int group = segment.group;
    double rate = args.step->rate[group], decay = args.step->decay[group];
    double w = static_cast<const float*>(args.out[Weights])[i];
    double g = factor * static_cast<const float*>(args.in[Gradients])[i];
    if (request_.anchor) g += args.step->anchor[group] * (w - static_cast<const float*>(args.in[Anchor])[i]);
    if (request_.kind == OptimizerKind::AdamW) w *= 1 - rate * decay;
    else g += decay * w;
    return request_.kind == OptimizerKind::Sgd ? w - rate * sgd_direction(args, i, g) : w - rate * adam_direction(args, segment, i, g);
  }

  double sgd_direction(const Args& args, int64_t i, double g) const {
    if (request_.momentum == 0) return g;
    float& m = static_cast<float*>(args.out[FirstMoment])[i];
    double next = request_.momentum * m + g;
    m = static_cast<float>(next);
    return request_.nesterov ? g + request_.momentum * next : next;
  }

  double adam_direction(const Args& args, const Segment& segment, int64_t i, double g) const {
    float& m = static_cast<float*>(args.out[FirstMoment])[i];
    float& v = static_cast<float*>(args.out[SecondMoment])[i];
    double t = static_cast<double>(args.step->header->update - segment.born);
    double m_next = request_.beta1 * m + (1 - request_.beta1) * g, v_next = request_.beta2 * v + (1 - request_.beta2) * g * g;
    m = static_cast<float>(m_next);
    v = static_cast<float>(v_next);
    double m_hat = m_next / (1 - std::pow(request_.beta1, t));
    return m_hat / (std::sqrt(v_next) / std::sqrt(1 - std::pow(request_.beta2, t)) + request_.eps);
  }

  OptimizerRequest request_;
};

}  // namespace

std::unique_ptr<Kernel> prepare_optimizer(const OptimizerRequest& request) {
  return std::make_unique<OptimizerKernel>(request);
}

}  // namespace graft::reference
