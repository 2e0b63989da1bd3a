// embed_tokens: prefix tokens that every sample shares in front of its own, and the position embedding added to all:
// y [N, P + T, C], y[n, t] = (t < P ? token[t] : x[n, t - P]) + position[t] (Dosovitskiy et al. 2021, equation 1).
#include "reference.h"

namespace graft::reference {
namespace {

std::vector<TensorType> infer(const OpCall& call) {
  require_float(call, 0, "embed_tokens", "x");
  const Shape &x = call.inputs[0].shape, &token = call.inputs[1].shape, &position = call.inputs[2].shape;
  require(x.rank == 3, "embed_tokens: x must be [N, T, C], got ", x.str());
  require(token.rank == 3 && token[0] == 1 && token[1] >= 1 && token[2] == x[2], "embed_tokens: token must be [1, P, ", x[2], "], got ", token.str());
  TensorType y = call.inputs[0];
  y.shape[1] += token[1];
  const Shape expected{1, y.shape[1], x[2]};
  require(position == expected, "embed_tokens: position must be ", expected.str(), " for ", token[1], " tokens in front of x ", x.str(), ", got ", position.str());
  return {y};
}

void forward(const Run& run) {
  const int64_t samples = run.in_shape(0)[0], prefix = run.in_shape(1).count(), whole = run.in_shape(2).count(), own = whole - prefix;
  In x = run.in(0), token = run.in(1), position = run.in(2);
  for (int64_t n = 0; n < samples; n++)
    for (int64_t i = 0; i < whole; i++) run.out(0).put(n * whole + i, (i < prefix ? token[i] : x[n * own + i - prefix]) + position[i]);
}

void backward(const Run& run) {
  const int64_t samples = run.in_shape(0)[0], prefix = run.in_shape(1).count(), whole = run.in_shape(2).count(), own = whole - prefix;
  In g = run.result_gradient();
  for (int64_t n = 0; n < samples; n++)
    for (int64_t i = 0; i < own; i++) run.gradient(0).put(n * own + i, g[n * whole + prefix + i]);
  for (int64_t i = 0; i < whole; i++) {
    double sum = 0;
    for (int64_t n = 0; n < samples; n++) sum += g[n * whole + i];
    if (i < prefix) run.gradient(1).put(i, sum);
    run.gradient(2).put(i, sum);
  }
}

}  // namespace

void add_embed_tokens() {
  OpDef def;
  def.name = "embed_tokens";
  def.inputs = {{"x"}, {"token", Role::Vector}, {"position", Role::Vector}};
  def.infer = infer;
  def.backward_reads = reads_nothing;
  add_op(def, {forward, backward});
}

}  // namespace graft::reference
