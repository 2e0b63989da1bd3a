// A linear layer that softmax cross-entropy alone reads becomes one operation with it, which never holds the logits of all rows.
#include "passes.h"

namespace graft {
namespace {

// From so many classes on. The logits of fewer are not the largest tensors of a step (8192 are four times the 2048 features of a
// ResNet-50), and two steps may have the weight packed for each of its products.
constexpr int64_t kLeastClasses = 8192;

class LossFuser {
 public:
  LossFuser(const Graph& graph, const PlanOptions& options) : graph_(graph), made_(graph), readers_(graph.values().size(), 0) {
    for (const Node& node : graph.nodes())
      for (int v : node.inputs)
        if (v >= 0) readers_[v]++;
    for (const auto& [name, v] : graph.outputs()) readers_[v]++;
    for (const auto& name : options.kept)
      if (const int v = graph.find(name); v >= 0) readers_[v]++;
  }

  Graph run() {
    for (size_t n = 0; n < graph_.nodes().size(); n++) {
      const Node& loss = graph_.nodes()[n];
      if (loss.op->name == "softmax_cross_entropy") fuse(static_cast<int>(n), loss);
    }
    return std::move(made_);
  }

 private:
  void fuse(int at, const Node& loss) {
    const Value& logits = graph_.value(loss.inputs[0]);
    if (logits.kind != Value::Kind::Result || readers_[loss.inputs[0]] != 1 || logits.type.shape[-1] < kLeastClasses) return;
    const Node& layer = graph_.nodes()[logits.node];
    if (layer.op->name != "linear") return;
    Node fused;
    fused.op = find_op("linear_cross_entropy");
    fused.name = layer.name + "+" + loss.name;
    for (const AttributeDef& a : fused.op->attributes) fused.attributes[a.name] = a.fallback;
    for (const auto& [name, value] : loss.attributes) fused.attributes[name] = value;
    fused.inputs = layer.inputs;
    fused.inputs.insert(fused.inputs.end(), loss.inputs.begin() + 1, loss.inputs.end());
    fused.outputs = loss.outputs;
    made_.replace(at, std::move(fused));  // nothing needs the layer's own node any more
  }

  const Graph& graph_;
  Graph made_;
  std::vector<int> readers_;
};

}  // namespace

Graph fuse_losses(const Graph& graph, const PlanOptions& options) { return LossFuser(graph, options).run(); }

}  // namespace graft
