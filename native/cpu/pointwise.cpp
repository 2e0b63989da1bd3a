// Activations, scale, dropout; add and multiply with broadcasting.
#include "core/philox.h"
#include "kernels.h"

namespace graft::cpu {
namespace {

struct Unary {
  Function function;
  float slope;
};

Unary unary_of(const Request& r) {
  const std::string name = r.name();
  if (name == "relu") return {Function::Relu, 0};
  if (name == "relu6") return {Function::Relu6, 0};
  if (name == "leaky_relu") return {Function::LeakyRelu, static_cast<float>(r.call().number("slope"))};
  if (name == "sigmoid") return {Function::Sigmoid, 0};
  if (name == "silu") return {Function::Silu, 0};
  ensure(name == "gelu", "no activation: ", name);
  return {r.call().integer("tanh") ? Function::GeluTanh : Function::GeluExact, 0};
}

bool same_types(const Request& r) {
  for (const TensorType& t : r.inputs)
    if (t.shape.rank >= 0 && t.dtype != r.outputs[0].dtype) return false;
  return storable(r.outputs[0].dtype);
}

// The result's dimensions in groups of neighbours that both operands treat alike, at most three.
struct Groups {
  int count = 0;
  int64_t size[3] = {1, 1, 1};
  bool kept[2][3] = {};

  // False where three groups are not enough.
  bool collapse(const Shape& a, const Shape& b, const Shape& y) {
    for (int d = 0; d < y.rank; d++) {
      if (y[d] == 1) continue;
      int da = d - (y.rank - a.rank), db = d - (y.rank - b.rank);
      bool in_a = da >= 0 && a[da] != 1, in_b = db >= 0 && b[db] != 1;
      if (count == 0 || kept[0][count - 1] != in_a || kept[1][count - 1] != in_b) {
        if (count == 3) return false;
        kept[0][count] = in_a;
        kept[1][count] = in_b;
        size[count++] = 1;
      }
      size[count - 1] *= y[d];
    }
    // Groups stand at the end, so that the last one is the run of neighbours.
    for (; count < 3; count++)
      for (int g = 2; g >= 0; g--) {
        size[g] = g ? size[g - 1] : 1;
        for (auto& k : kept) k[g] = g ? k[g - 1] : true;
      }
    return true;
  }
  bool whole(int operand) const {
    for (int g = 0; g < 3; g++)
      if (!kept[operand][g] && size[g] != 1) return false;
    return true;
  }
  Spread spread() const {
    Spread s{};
    int64_t left = 1, right = 1;
    for (int g = 2; g >= 0; g--) {
      s.size[g] = size[g];
      s.left[g] = kept[0][g] ? left : 0;
      s.right[g] = kept[1][g] ? right : 0;
      if (kept[0][g]) left *= size[g];
      if (kept[1][g]) right *= size[g];
    }
    return s;
  }
  // Whether the operand's gradient is a sum over one group in the middle: kept, summed, kept.
  bool middle(int operand, int64_t& a, int64_t& b, int64_t& c) const {
    a = b = c = 1;
    int state = 0;
    for (int g = 0; g < 3; g++) {
      if (size[g] == 1) continue;
      if (kept[operand][g]) {
        if (state == 0) a *= size[g];
        else {
          c *= size[g];
          state = 2;
        }
      } else {
        if (state == 2) return false;
        b *= size[g];
        state = 1;
      }
    }
    return true;
  }
};

// The gradient of one operand of add (other < 0) or multiply.
std::function<void(const Args&)> operand_gradient(const Request& r, const Groups& groups, int operand, bool product) {
  const Store type = store_of(r.outputs[0].dtype);
  const bool accumulate = mode_of(r, operand) == GradMode::Accumulate;
  const int other = 1 - operand;
  if (groups.whole(operand)) {
    if (!product) {
      const int64_t n = r.outputs[0].count();
      if (accumulate) return [=](const Args& a) { simd().scale(type, a.dout, a.din[operand], 1, 0, n, true); };
      return [=](const Args& a) { simd().copy(a.dout, a.din[operand], n * (type == Store::BF16 ? 2 : 4)); };
    }
    Spread s = groups.spread();
    if (other == 0) std::copy(s.left, s.left + 3, s.right);
    int64_t step = 1;
    for (int g = 2; g >= 0; g--) {
      s.left[g] = step;
      step *= s.size[g];
    }
    return [=](const Args& a) { simd().multiply(type, s, a.dout, a.in[other], a.din[operand], accumulate); };
  }
  int64_t a0, b0, c0;
  if (!groups.middle(operand, a0, b0, c0) || (product && !groups.whole(other))) return nullptr;
  return [=](const Args& a) { simd().middle_sums(type, a0, b0, c0, a.dout, product ? a.in[other] : nullptr, type, a.din[operand], accumulate); };
}

}  // namespace

std::unique_ptr<Kernel> make_unary(const Request& r) {
  if (!same_types(r) || r.epilogue.any()) return nullptr;
  const Store type = store_of(r.outputs[0].dtype);
  const int64_t n = r.outputs[0].count();
  const bool accumulate = mode_of(r, 0) == GradMode::Accumulate, second = r.second_gradient;
  if (r.name() == "scale") {
    const float factor = static_cast<float>(r.call().number("factor")), offset = static_cast<float>(r.call().number("offset"));
    if (r.pass == Pass::Forward) return own("scale", 0, [=](const Args& a) { simd().scale(type, a.in[0], a.out[0], factor, offset, n, false); });
    if (second) return nullptr;
    return own("scale", 0, [=](const Args& a) { simd().scale(type, a.dout, a.din[0], factor, 0, n, accumulate); });
  }
  const Unary u = unary_of(r);
  if (r.pass == Pass::Forward) return own(r.name(), 0, [=](const Args& a) { simd().forward(u.function, u.slope, type, a.in[0], a.out[0], n); });
  const bool reads_x = r.name() == "gelu" || r.name() == "silu";
  return own(r.name(), 0, [=](const Args& a) {
    simd().backward(u.function, u.slope, type, a.dout, second ? a.dout2 : nullptr, reads_x ? a.in[0] : a.out[0], a.din[0], n, accumulate);
  });
}

std::unique_ptr<Kernel> make_binary(const Request& r) {
  Groups groups;
  if (!same_types(r) || r.epilogue.residual || r.second_gradient) return nullptr;
  if (!groups.collapse(r.inputs[0].shape, r.inputs[1].shape, r.outputs[0].shape)) return nullptr;
  const Store type = store_of(r.outputs[0].dtype);
  const bool product = r.name() == "multiply";
  if (r.pass == Pass::Forward) {
    const Spread s = groups.spread();
    if (product) {
      if (r.epilogue.any()) return nullptr;
      return own("multiply", 0, [=](const Args& a) { simd().multiply(type, s, a.in[0], a.in[1], a.out[0], false); });
    }
    const Tail tail = tail_of(r.epilogue);
    return own("add", 0, [=](const Args& a) { simd().add(type, s, a.in[0], a.in[1], a.out[0], tail); });
  }
  if (r.epilogue.any()) return nullptr;
  std::function<void(const Args&)> left, right;
  if (wants(r, 0) && !(left = operand_gradient(r, groups, 0, product))) return nullptr;
  if (wants(r, 1) && !(right = operand_gradient(r, groups, 1, product))) return nullptr;
  // The gradient of an operand of the result's shape may lie on the result's gradient: it is written last.
  bool left_last = groups.whole(0);
  return own(r.name(), 0, [=](const Args& a) {
    if (left && !left_last) left(a);
    if (right) right(a);
    if (left && left_last) left(a);
  });
}

std::unique_ptr<Kernel> make_dropout(const Request& r) {
  if (!same_types(r) || mode_of(r, 0) == GradMode::Accumulate || r.epilogue.any()) return nullptr;
  const Store type = store_of(r.outputs[0].dtype);
  const int64_t n = r.outputs[0].count(), batch = r.batch;
  const bool backward = r.pass == Pass::Backward, second = r.second_gradient;
  const double rate = r.call().number("rate");
  const bool whole = r.call().integer("per_sample") != 0;
  if (r.call().integer("active") == 0) {
    if (second)
      return own("sum", 0, [=](const Args& a) {
        const void* parts[] = {a.dout, a.dout2};
        simd().sum(type, parts, 2, a.din[0], n);
      });
    const int64_t bytes = n * (type == Store::BF16 ? 2 : 4);
    return own("copy", 0, [=](const Args& a) { backward ? simd().copy(a.dout, a.din[0], bytes) : simd().copy(a.in[0], a.out[0], bytes); });
  }
  const uint64_t node = philox::hash(r.node);
  const float keep = static_cast<float>(1 / (1 - rate));
  return own("dropout", 0, [=](const Args& a) {
    const StepHeader& h = *a.step->header;
    simd().dropout(type, backward ? a.dout : a.in[0], second ? a.dout2 : nullptr, backward ? a.din[0] : a.out[0], batch, n / batch, a.step->row_id,
                   philox::key(h.seed, node), h.visit, static_cast<float>(rate), keep, whole);
  });
}

}  // namespace graft::cpu
