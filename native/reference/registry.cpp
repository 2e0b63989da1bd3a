// The table of operations.
#include <map>
#include <mutex>

#include "reference.h"

namespace graft {
namespace {

std::map<std::string, OpDef>& definitions() {
  static std::map<std::string, OpDef> table;
  return table;
}

std::map<std::string, reference::Implementation>& implementations() {
  static std::map<std::string, reference::Implementation> table;
  return table;
}

void fill() {
  static std::once_flag once;
  std::call_once(once, [] {
    reference::add_linear_and_matmul();
    reference::add_conv2d();
    reference::add_batch_norm();
    reference::add_lora_linear();
    reference::add_layer_norm();
    reference::add_activations();
    reference::add_broadcast();
    reference::add_pool();
    reference::add_movement();
    reference::add_dropout();
    reference::add_embed_tokens();
    reference::add_softmax();
    reference::add_attention();
    reference::add_losses();
    reference::add_linear_cross_entropy();
    reference::add_pictures();
  });
}

}  // namespace

void register_op(OpDef def) {
  std::string name = def.name;
  bool added = definitions().emplace(name, std::move(def)).second;
  ensure(added, "operation ", name, " is registered twice");
}

const OpDef* find_op(const std::string& name) {
  fill();
  auto it = definitions().find(name);
  return it == definitions().end() ? nullptr : &it->second;
}

std::vector<std::string> op_names() {
  fill();
  std::vector<std::string> names;
  for (const auto& entry : definitions()) names.push_back(entry.first);
  return names;
}

namespace reference {

void add_op(OpDef def, Implementation implementation) {
  implementations()[def.name] = implementation;
  register_op(std::move(def));
}

const Implementation& implementation_of(const std::string& op) {
  fill();
  auto it = implementations().find(op);
  ensure(it != implementations().end(), "the reference has no kernels for operation ", op);
  return it->second;
}

}  // namespace reference
}  // namespace graft
