// Plans as text: every step with its kernel, operands, modes and bytes, and the memory by group.
#include "json.h"
#include "plan.h"

namespace graft {
namespace {

const char* name_of(Place::Space space) {
  switch (space) {
    case Place::Space::None: return "none";
    case Place::Space::Workspace: return "arena";
    case Place::Space::Resident: return "resident";
    case Place::Space::Form: return "packed";
    case Place::Space::Plain: return "plain";
    case Place::Space::Weights: return "trained";
    case Place::Space::Gradients: return "gradients";
    case Place::Space::Moment0:
    case Place::Space::Moment1: return "moments";
    case Place::Space::Average: return "average";
    case Place::Space::Anchor: return "anchor";
    case Place::Space::Mask: return "mask";
  }
  return "?";
}

const char* name_of(Activation a) {
  static const char* const names[] = {"", "relu", "relu6", "leaky_relu", "sigmoid", "gelu", "gelu_tanh", "silu"};
  return names[static_cast<int>(a)];
}

void operand(Json& json, const char* role, const Operand& x, const char* mode = nullptr) {
  if (x.place.space == Place::Space::None) return;
  json.begin_object().field("role", role).field("value", x.name).field("type", graft::name_of(x.type.dtype)).field("shape", x.type.shape.str());
  json.field("space", name_of(x.place.space)).field("bytes", static_cast<int64_t>(x.type.bytes()));
  if (x.place.space == Place::Space::Workspace) json.field("offset", static_cast<int64_t>(x.place.offset));
  if (mode) json.field("mode", mode);
  json.end_object();
}

}  // namespace

std::string Plan::describe() const {
  static const char* const modes[] = {"ignore", "overwrite", "accumulate"};
  Json json;
  json.begin_object().field("mode", options_.train ? "train" : "eval").field("precision", graft::name_of(options_.compute)).field("asked_precision", graft::name_of(asked_precision_));
  json.field("batch", options_.batch).field("column", device_->column->name()).key("steps").begin_array();
  for (const Step& s : steps_) {
    json.begin_object().field("node", s.node).field("op", s.op).field("pass", s.pass).field("kernel", s.kernel->name());
    json.field("phase", s.phase == GRAFT_FORWARD ? "forward" : s.phase == GRAFT_GRADIENTS ? "gradients" : "update");
    if (s.without_gradients) json.field("only_without", "gradients");
    if (s.folded) json.field("folded", true);
    if (s.epilogue.residual) json.field("residual", true);
    if (s.epilogue.activation != Activation::None) json.field("activation", name_of(s.epilogue.activation));
    json.key("operands").begin_array();
    for (const auto& x : s.in) operand(json, "in", x);
    for (const auto& x : s.out) operand(json, s.pass == "backward" && !s.din.empty() ? "saved" : "out", x);
    operand(json, "residual", s.residual);
    operand(json, "activated", s.activated);
    operand(json, "gradient", s.dout);
    operand(json, "gradient", s.dout2);
    for (size_t i = 0; i < s.din.size(); i++) operand(json, "gradient of in", s.din[i], modes[static_cast<int>(s.modes[i])]);
    operand(json, "gradient of residual", s.dresidual);
    operand(json, "scratch", s.scratch);
    json.end_array();
    if (!s.spared.empty()) {
      json.key("not_kept").begin_array();
      for (const auto& x : s.spared)
        json.begin_object().field("value", x.name).field("shape", x.type.shape.str()).field("bytes", static_cast<int64_t>(x.type.bytes())).end_object();
      json.end_array();
    }
    json.end_object();
  }
  json.end_array().end_object();
  return json.text();
}

std::string Plan::memory_text() const {
  const PlanMemory& m = memory_;
  Json json;
  auto field = [&](const char* key, size_t bytes) { json.field(key, static_cast<int64_t>(bytes)); };
  json.begin_object();
  field("arena", m.arena);
  field("arena_unshared", m.activations);
  field("packed_weights", m.packed);
  field("trained_weights", m.trained);
  field("gradients", m.gradients);
  field("moments", m.moments);
  field("anchor_and_masks", m.anchor);
  field("plain", m.plain);
  field("step_block", m.step_block);
  if (m.resident) field("resident_inputs", m.resident);
  if (m.feeds) field("next_inputs", m.feeds);
  field("total", m.total());
  json.end_object();
  return json.text();
}

}  // namespace graft
