// A graph as the caller describes it: inputs, parameters and nodes in order of creation, with types inferred as they come.
#pragma once
#include <algorithm>
#include <string>
#include <unordered_map>
#include <vector>

#include "op.h"

namespace graft {

struct Node {
  const OpDef* op;
  std::string name;
  Attributes attributes;     // complete: defaults filled in
  std::vector<int> inputs;   // value ids, -1 where an optional input is absent
  std::vector<int> outputs;  // value ids: result, then saved values
  Role role(size_t input) const { return op->inputs[std::min(input, op->inputs.size() - 1)].role; }
};

struct Value {
  enum class Kind { Input, Parameter, Result, Saved };
  Kind kind;
  std::string name;
  TensorType type;
  int node = -1;
};

class Graph {
 public:
  int input(const std::string& name, DType dtype, const Shape& shape);
  int parameter(const std::string& name, const Shape& shape);
  // Returns the id of the result. `attributes` is "key=number,...".
  int node(const std::string& op, const std::string& name, std::vector<int> inputs, const std::string& attributes);
  void output(const std::string& name, int value);
  // Another node in the place of node `index`, with the same outputs.
  void replace(int index, Node node) { nodes_[index] = std::move(node); }

  const Value& value(int id) const;
  const std::vector<Value>& values() const { return values_; }
  const std::vector<Node>& nodes() const { return nodes_; }
  const std::vector<std::pair<std::string, int>>& outputs() const { return outputs_; }
  // Value id of a named output, input or node result; -1 where there is none.
  int find(const std::string& name) const;

 private:
  int add_value(Value value);
  void claim(const std::string& name);

  std::vector<Value> values_;
  std::vector<Node> nodes_;
  std::vector<std::pair<std::string, int>> outputs_;
  std::unordered_map<std::string, int> names_;  // inputs, parameters, results
};

// Types of a node's inputs; absent ones have rank -1.
std::vector<TensorType> input_types(const Graph& graph, const std::vector<int>& inputs);

}  // namespace graft
