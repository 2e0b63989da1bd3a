// Look-up of a plan's inputs and of what can be read after a run.
#include "plan.h"

#include "nearest_name.h"

namespace graft {

const Operand* Plan::input(const std::string& name) const {
  auto it = inputs_.find(name);
  return it == inputs_.end() ? nullptr : &it->second;
}

std::string Plan::input_names() const {
  std::string list;
  for (const auto& [name, operand] : inputs_) list += (list.empty() ? "" : ", ") + name;
  return list.empty() ? "none" : list;
}

const Operand& Plan::readable(const std::string& name) const {
  auto it = readable_.find(name);
  if (it != readable_.end()) return it->second;
  std::vector<std::string> known;
  for (const auto& [n, operand] : readable_) known.push_back(n);
  throw Error(GRAFT_INVALID_ARGUMENT, text("this plan keeps no value ", name, "; nearest is ", nearest_name(name, known)));
}

std::string Plan::title() const {
  const std::string ends = steps_.empty() ? "" : text(" from ", steps_.front().node, " to ", steps_.back().node);
  return text(options_.train ? "train" : "eval", ", batch ", options_.batch, ", ", name_of(options_.compute), ", ", steps_.size(), " steps", ends);
}

}  // namespace graft
