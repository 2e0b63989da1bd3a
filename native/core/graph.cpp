#include "graph.h"

#include <algorithm>

#include "nearest_name.h"
#include "number.h"

namespace graft {
namespace {

Attributes parse_attributes(const OpDef& op, const std::string& node, const std::string& source) {
  Attributes given;
  size_t at = 0;
  while (at < source.size()) {
    size_t end = std::min(source.find(',', at), source.size());
    std::string pair = source.substr(at, end - at);
    size_t equals = pair.find('=');
    require(equals != std::string::npos, "node ", node, ": attribute \"", pair, "\" is not key=number");
    std::string key = pair.substr(0, equals);
    bool known = std::any_of(op.attributes.begin(), op.attributes.end(), [&](const AttributeDef& a) { return key == a.name; });
    if (!known) {
      std::string list;
      for (const auto& a : op.attributes) list += std::string(list.empty() ? "" : ", ") + a.name;
      throw Error(GRAFT_INVALID_ARGUMENT, text("node ", node, ": ", op.name, " has no attribute ", key, "; it has: ", list.empty() ? "none" : list));
    }
    require(!given.count(key), "node ", node, ": attribute ", key, " is given twice");
    given[key] = parse_number(pair.substr(equals + 1), "attribute " + key + " of node " + node);
    at = end + 1;
  }
  for (const auto& a : op.attributes) {
    if (given.count(a.name)) continue;
    require(!a.required, "node ", node, ": ", op.name, " needs attribute ", a.name);
    given[a.name] = a.fallback;
  }
  return given;
}

void check_shape(const std::string& name, const Shape& shape) {
  int64_t count = 1;
  for (int i = 0; i < shape.rank; i++) {
    require(shape.dims[i] > 0, name, ": dimension ", i, " is ", shape.dims[i], "; expected at least 1 in ", shape.str());
    require(count <= kMostElements / shape.dims[i], name, " ", shape.str(), " has more than 2^40 elements");
    count *= shape.dims[i];
  }
}

}  // namespace

std::vector<TensorType> input_types(const Graph& graph, const std::vector<int>& inputs) {
  std::vector<TensorType> types;
  for (int id : inputs) {
    if (id >= 0) {
      types.push_back(graph.value(id).type);
    } else {
      types.emplace_back();
      types.back().shape.rank = -1;
    }
  }
  return types;
}

int Graph::add_value(Value value) {
  values_.push_back(std::move(value));
  return static_cast<int>(values_.size()) - 1;
}

void Graph::claim(const std::string& name) {
  require(!name.empty(), "a value of the graph has an empty name");
  require(!names_.count(name), "the name ", name, " is used twice in the graph");
  names_[name] = static_cast<int>(values_.size());
}

int Graph::input(const std::string& name, DType dtype, const Shape& shape) {
  check_shape("input " + name, shape);
  require(shape.rank >= 1, "input ", name, " has no dimensions; the first is the batch");
  claim(name);
  return add_value({Value::Kind::Input, name, {dtype, shape}, -1});
}

int Graph::parameter(const std::string& name, const Shape& shape) {
  check_shape("parameter " + name, shape);
  claim(name);
  return add_value({Value::Kind::Parameter, name, {DType::F32, shape}, -1});
}

int Graph::node(const std::string& op_name, const std::string& name, std::vector<int> inputs, const std::string& attributes) {
  const OpDef* op = find_op(op_name);
  if (!op) {
    throw Error(GRAFT_INVALID_ARGUMENT, text("node ", name, ": no operation ", op_name, "; nearest is ", nearest_name(op_name, op_names())));
  }
  bool variadic = !op->inputs.empty() && op->inputs.back().variadic;
  require(inputs.size() <= op->inputs.size() || variadic, "node ", name, ": ", op_name, " takes at most ", op->inputs.size(),
          " inputs, ", inputs.size(), " came");
  if (!variadic) inputs.resize(op->inputs.size(), -1);
  for (size_t i = 0; i < inputs.size(); i++) {
    const InputDef& def = op->inputs[std::min(i, op->inputs.size() - 1)];
    require(inputs[i] < static_cast<int>(values_.size()), "node ", name, ": input ", def.name, " is value ", inputs[i],
            ", the graph has ", values_.size());
    require(inputs[i] >= 0 || def.optional, "node ", name, ": ", op_name, " needs input ", def.name);
  }
  require(!variadic || inputs.size() >= op->inputs.size(), "node ", name, ": ", op_name, " needs at least ", op->inputs.size(), " inputs");

  Node node{op, name, parse_attributes(*op, name, attributes), std::move(inputs), {}};
  std::vector<TensorType> types = input_types(*this, node.inputs);
  std::vector<TensorType> results;
  try {
    results = op->infer(OpCall{node.attributes, types});
  } catch (const Error& e) {
    throw Error(e.status(), text("node ", name, " (", op_name, "): ", e.what()));
  }
  for (const auto& t : results) check_shape("node " + name + ": result", t.shape);
  claim(name);
  int index = static_cast<int>(nodes_.size());
  for (size_t i = 0; i < results.size(); i++) {
    auto kind = i == 0 ? Value::Kind::Result : Value::Kind::Saved;
    node.outputs.push_back(add_value({kind, i == 0 ? name : name + "#" + std::to_string(i), results[i], index}));
  }
  nodes_.push_back(std::move(node));
  return nodes_.back().outputs[0];
}

void Graph::output(const std::string& name, int id) {
  require(!name.empty(), "an output has an empty name");
  value(id);
  for (const auto& o : outputs_) require(o.first != name, "the output name ", name, " is used twice");
  outputs_.emplace_back(name, id);
}

const Value& Graph::value(int id) const {
  require(id >= 0 && id < static_cast<int>(values_.size()), "value ", id, " does not exist; the graph has ", values_.size());
  return values_[id];
}

int Graph::find(const std::string& name) const {
  for (const auto& o : outputs_)
    if (o.first == name) return o.second;
  auto it = names_.find(name);
  return it == names_.end() ? -1 : it->second;
}

}  // namespace graft
