// What the planner knows of an operation: its signature, its shape rule and what its backward reads. The definitions stand
// in reference/; core only looks them up.
#pragma once
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "error.h"
#include "tensor.h"

namespace graft {

// How an input takes part in reduced precision.
enum class Role {
  Data,    // an activation, in the plan's compute type
  Weight,  // a matrix or filter, in the compute type, packed as the column likes
  Vector,  // F32 always: biases, norm parameters, statistics
  Exact,   // in the type it was given: labels, targets
  Full,    // an activation that must be F32: logits of a loss, what a global pool averages
};

enum class Activation : uint8_t { None, Relu, Relu6, LeakyRelu, Sigmoid, GeluExact, GeluTanh, Silu };

struct InputDef {
  const char* name;
  Role role = Role::Data;
  bool optional = false;
  bool variadic = false;  // the last input only: one or more
};

// The element type of an input's gradient: parameters gather theirs in full precision, activations in their own type.
inline DType gradient_type(Role role, DType input) {
  return (role == Role::Weight || role == Role::Vector) && input != DType::F64 ? DType::F32 : input;
}

struct AttributeDef {
  const char* name;
  double fallback = 0;
  bool required = false;
};

using Attributes = std::map<std::string, double>;

// A node as shape rules and kernels see it. Absent optional inputs have rank -1.
struct OpCall {
  const Attributes& attributes;
  const std::vector<TensorType>& inputs;
  double number(const char* key) const {
    auto it = attributes.find(key);
    ensure(it != attributes.end(), "attribute ", key, " was never declared");
    return it->second;
  }
  int64_t integer(const char* key) const {
    double x = number(key);
    require(std::trunc(x) == x && std::fabs(x) <= 0x1p53, "attribute ", key, " must be a whole number, got ", x);
    return static_cast<int64_t>(x);
  }
  bool has(size_t input) const { return input < inputs.size() && inputs[input].shape.rank >= 0; }
};

struct OpDef {
  std::string name;
  std::vector<InputDef> inputs;
  std::vector<AttributeDef> attributes;
  // Types of all outputs: [0] is the result, the rest are saved for backward (statistics, window positions). The result's
  // dtype is chosen by the planner where it is a float; saved values keep the type given here. Throws Error naming what is wrong.
  std::vector<TensorType> (*infer)(const OpCall&);
  // Whether backward reads input i (first) or output i (second), when gradients of the inputs in `wanted` are asked for.
  struct Reads {
    std::vector<bool> inputs, outputs;
  };
  Reads (*backward_reads)(const OpCall&, const std::vector<bool>& wanted) = nullptr;

  bool loss = false;            // result [1]; Pass::Loss also writes the gradients of inputs that are wanted
  size_t differentiable = 1;    // loss: the first so many inputs have gradients
  bool view = false;            // result shares the bytes of input 0 (reshape)
  bool pointwise = false;       // result may lie on input 0, and the gradient of input 0 on the result's gradient
  bool passes_gradient = false; // backward hands the result's gradient on unchanged to every input of the result's shape (add)
  // A unary function that other kernels may apply as they store; backward reads the result alone.
  Activation activation = Activation::None;
  bool statistics = false;      // batch norm: inputs 3 and 4 are running statistics, updated where they are tracked
};

// Definitions by name; null where there is none. Filled once by reference/.
const OpDef* find_op(const std::string& name);
std::vector<std::string> op_names();
void register_op(OpDef def);

}  // namespace graft
