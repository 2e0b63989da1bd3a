// Small networks for the tests of planner, store and sessions: a graph with its parameters, and one plan bound and fed.
#pragma once
#include <map>
#include <memory>

#include "graph.h"
#include "harness.h"
#include "set_numbers.h"

namespace graft::test {

inline std::shared_ptr<Device> reference_device(int lanes = 1) { return std::make_shared<Device>(make_reference_column(), lanes, 1); }
inline std::shared_ptr<Device> cpu_device(int lanes = 1) {
  return std::make_shared<Device>(make_cpu_column(make_reference_column()), lanes, 1);
}

// A graph under construction together with the store of its parameters; every parameter gets values from seed and name.
class Net {
 public:
  explicit Net(std::shared_ptr<Device> d, uint64_t seed = 1) : device(std::move(d)), params(std::make_shared<Params>(device)), seed(seed) {}

  int input(const std::string& name, const Shape& shape, DType type = DType::F32) {
    inputs[name] = {type, shape};
    return graph.input(name, type, shape);
  }
  int parameter(const std::string& name, const Shape& shape, double scale = 0.5, double mean = 0) {
    declare(name, shape, false, scale, mean);
    return graph.parameter(name, shape);
  }
  int node(const std::string& op, const std::string& name, std::vector<int> in, const std::string& attributes = "") {
    return graph.node(op, name, std::move(in), attributes);
  }
  int conv(const std::string& name, int x, int64_t channels, int64_t size = 3, bool bias = false) {
    const Shape& s = graph.value(x).type.shape;
    int w = parameter(name + ".weight", {channels, size, size, s[-1]}, 1 / std::sqrt(static_cast<double>(size * size * s[-1])));
    int b = bias ? parameter(name + ".bias", {channels}) : -1;
    std::string p = std::to_string(size / 2);
    return node("conv2d", name, {x, w, b}, "pad_top=" + p + ",pad_left=" + p + ",pad_bottom=" + p + ",pad_right=" + p);
  }
  int norm(const std::string& name, int x) {
    const Shape channels{graph.value(x).type.shape[-1]};
    int gamma = parameter(name + ".weight", channels, 0.2, 1), beta = parameter(name + ".bias", channels, 0.2);
    for (const char* statistic : {".running_mean", ".running_var"})
      declare(name + statistic, channels, true, 0.1, statistic[9] == 'v' ? 1 : 0);
    int mean = graph.parameter(name + ".running_mean", channels), var = graph.parameter(name + ".running_var", channels);
    return node("batch_norm", name, {x, gamma, beta, mean, var});
  }
  int linear(const std::string& name, int x, int64_t features) {
    const int64_t in = graph.value(x).type.shape[-1];
    int w = parameter(name + ".weight", {features, in}, 1 / std::sqrt(static_cast<double>(in)));
    return node("linear", name, {x, w, parameter(name + ".bias", {features})});
  }
  // The mean of squares against an input of the same shape, "NAME.target".
  int loss(const std::string& name, int x) { return node("mse", name, {x, input(name + ".target", graph.value(x).type.shape)}); }

  std::vector<float> values(const std::string& name, int64_t count, double scale = 1, double mean = 0) const {
    Random random(seed, name);
    std::vector<float> v(count);
    for (float& x : v) x = static_cast<float>(mean + scale * random.normal());
    return v;
  }
  std::vector<float> read(const std::string& name) const {
    std::vector<float> v(params->shape(params->id(name)).count());
    params->read(name, v.data(), static_cast<int64_t>(v.size()));
    return v;
  }
  void write(const std::string& name, const std::vector<float>& v) { params->write(name, v.data(), static_cast<int64_t>(v.size())); }
  std::shared_ptr<Plan> compile(const std::string& options) { return Plan::compile(device, graph, params, options); }

  std::shared_ptr<Device> device;
  std::shared_ptr<Params> params;
  Graph graph;
  std::map<std::string, TensorType> inputs;
  uint64_t seed;

 private:
  void declare(const std::string& name, const Shape& shape, bool buffer, double scale, double mean) {
    params->declare(name, shape, buffer, "head");
    write(name, values(name, shape.count(), scale, mean));
  }
};

// A plan of a net, bound to a workspace and fed: float inputs with normal numbers, integer inputs with 0, 1, 2, 0, ...
class Bench {
 public:
  Bench(Net& net, const std::string& options, std::shared_ptr<Workspace> shared = nullptr)
      : net(net), plan(net.compile(options)), workspace(shared ? shared : std::make_shared<Workspace>(net.device)), session(plan, workspace) {
    for (int g = 0; g < plan->sizes().groups; g++) session.set("rate", g, 0.1);
    feed();
  }
  void feed() {
    for (const auto& [name, type] : net.inputs) {
      if (is_float(type.dtype)) {
        std::vector<float> v = net.values("input " + name, type.count());
        session.write(name, v.data(), 4 * v.size());
      } else {
        std::vector<int32_t> v(type.count());
        for (size_t i = 0; i < v.size(); i++) v[i] = static_cast<int32_t>(i % 3);
        session.write(name, v.data(), 4 * v.size());
      }
    }
  }
  void run(int phases) { session.run(phases); }
  std::vector<float> read(const std::string& name) {
    std::vector<float> v(session.size(name));
    session.read(name, v.data(), 4 * v.size());
    return v;
  }
  double loss(int i = 0) {
    std::vector<double> r(2 * plan->sizes().losses + 1);
    session.results(r.data(), static_cast<int>(r.size()));
    return r[i];
  }

  Net& net;
  std::shared_ptr<Plan> plan;
  std::shared_ptr<Workspace> workspace;
  NumberedSession session;
};

// Steps of these operations and passes, "" for any.
inline std::vector<const Step*> steps_of(const Plan& plan, const std::string& op, const std::string& pass = "", const std::string& node = "") {
  std::vector<const Step*> found;
  for (const Step& s : plan.steps())
    if ((op.empty() || s.op == op) && (pass.empty() || s.pass == pass) && (node.empty() || s.node.find(node) != std::string::npos)) found.push_back(&s);
  return found;
}

inline std::vector<double> widen(const std::vector<float>& v) { return {v.begin(), v.end()}; }

inline double largest(const std::vector<float>& v) {
  double m = 0;
  for (float x : v) m = std::max(m, std::fabs(static_cast<double>(x)));
  return m;
}

// Equal within `tolerance` of the largest expected element.
inline void expect_near(Harness& harness, const std::string& what, const std::vector<float>& expected, const std::vector<float>& actual,
                        double tolerance) {
  harness.expect_close(what, widen(expected), widen(actual), tolerance, std::max(largest(expected), 1e-6));
}

}  // namespace graft::test
