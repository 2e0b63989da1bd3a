// The reference against PyTorch: results, gradients and updates that fixtures/make_fixtures.py wrote.
#include <fstream>
#include <map>
#include <sstream>

#include "op_cases.h"

using namespace graft;
using namespace graft::test;

namespace {

// The fixtures hold 12 digits of doubles; sums of a hundred such numbers were made from exact inputs.
constexpr double kTolerance = 1e-10;

// One case of a fixture file: what its line says and the lines of numbers below it.
struct Fixture {
  std::string kind, label;
  std::map<std::string, double> options;
  std::map<std::string, std::vector<double>> numbers;   // by the words before them
  std::map<std::string, std::pair<std::string, Shape>> types;  // of inputs
  double option(const char* key, double fallback) const {
    auto it = options.find(key);
    return it == options.end() ? fallback : it->second;
  }
};

Shape shape_of(const std::string& dims) {
  Shape shape;
  std::istringstream parts(dims);
  std::string size;
  while (std::getline(parts, size, ',')) shape.dims[shape.rank++] = std::stoll(size);
  return shape;
}

std::vector<Fixture> read_fixtures(const std::string& name) {
  std::string path = std::string(GRAFT_TEST_FIXTURES) + "/" + name, line;
  std::ifstream file(path);
  require(file.good(), "fixtures ", path, " cannot be read");
  std::vector<Fixture> all;
  while (std::getline(file, line)) {
    std::istringstream words(line);
    std::string first, word;
    words >> first;
    if (first == "case") {
      Fixture& f = all.emplace_back();
      words >> f.kind >> f.label;
      while (words >> word) f.options[word.substr(0, word.find('='))] = std::stod(word.substr(word.find('=') + 1));
      continue;
    }
    Fixture& f = all.back();
    std::string key = first;
    if (first == "in" || first == "grad" || first == "gradients" || first == "after") {
      words >> word;
      key += " " + word;
    }
    if (first == "in") {
      std::string type, dims;
      words >> type >> dims;
      f.types[key] = {type, shape_of(dims)};
    }
    double v;
    while (words >> v) f.numbers[key].push_back(v);
  }
  return all;
}

OpCase case_of(const OpDef& op, const Fixture& f, Data& data) {
  OpCase c;
  c.label = f.label;
  c.batch = static_cast<int>(f.option("batch", 1));
  c.equal_rows = true;
  c.batch_statistics = f.option("statistics", 0) != 0;
  for (const auto& [key, value] : f.options)
    if (key != "batch" && key != "statistics") c.attributes[key] = value;
  for (size_t i = 0; i < op.inputs.size(); i++) {
    std::string key = "in " + std::to_string(i);
    auto type = f.types.find(key);
    if (type == f.types.end()) c.inputs.push_back(absent());
    else c.inputs.push_back({type->second.second, type->second.first == "i32" ? Fill::Labels : Fill::Normal});
    data.inputs.push_back(type == f.types.end() ? std::vector<double>{} : f.numbers.at(key));
  }
  data.dout = f.numbers.at("dout");
  data.before.resize(op.inputs.size());
  return c;
}

void check(Harness& harness, Column& column, const Fixture& f) {
  const OpDef* op = find_op(f.kind);
  require(op, "there is no operation ", f.kind);
  Data data;
  OpCase c = case_of(*op, f, data);
  Variation v{"", {}};
  for (size_t i = 0; i < c.inputs.size(); i++)
    v.modes.push_back(differentiable(*op, c, i) ? GradMode::Overwrite : GradMode::Ignore);
  Outcome outcome = run_case(harness, column, *op, c, data, DType::F64, v);
  harness.expect_close("result", f.numbers.at("result"), outcome.outputs[0], kTolerance, 1);
  double loss_weight = op->loss ? 1.5 : 1;  // of the step that cases run in
  for (size_t i = 0; i < c.inputs.size(); i++) {
    auto expected = f.numbers.find("grad " + std::to_string(i));
    harness.expect(!differentiable(*op, c, i) || expected != f.numbers.end(), "the fixture has no gradient of input ", i);
    if (expected == f.numbers.end()) continue;
    for (double& g : outcome.gradients[i]) g /= loss_weight;
    harness.expect_close(text("gradient ", i), expected->second, outcome.gradients[i], kTolerance, 1);
  }
  if (!c.batch_statistics) return;
  std::vector<double> running = f.numbers.at("running_mean");
  for (double v : f.numbers.at("running_var")) running.push_back(v);
  harness.expect_close("running statistics", running, outcome.statistics, kTolerance, 1);
}

OptimizerRequest optimizer_of(const Fixture& f, int64_t elements) {
  OptimizerRequest r;
  r.kind = f.kind == "sgd" ? OptimizerKind::Sgd : f.kind == "adam" ? OptimizerKind::Adam : OptimizerKind::AdamW;
  r.momentum = f.option("momentum", 0);
  r.nesterov = f.option("nesterov", 0) != 0;
  r.beta1 = f.option("beta1", 0.9);
  r.beta2 = f.option("beta2", 0.999);
  r.eps = f.option("eps", 1e-8);
  r.clip = f.options.count("clip") > 0;
  r.anchor = f.options.count("anchor") > 0;
  r.elements = elements;
  r.segments = {{0, elements, 0, -1}};
  return r;
}

// Weights and moments are F32 between steps, PyTorch's were double: 4 steps of rounding.
void check_optimizer(Harness& harness, Column& column, const Fixture& f) {
  const std::vector<double>& start = f.numbers.at("weights");
  TensorType type{DType::F32, {static_cast<int64_t>(start.size())}};
  std::vector<double> zeros(start.size(), 0);
  Buffer weights(column, type, start), anchor(column, type, start), first(column, type, zeros), second(column, type, zeros);
  auto kernel = column.prepare(optimizer_of(f, type.count()));
  Buffer scratch(column, kernel->scratch_bytes());
  StepHeader header;
  header.clip_norm = static_cast<float>(f.option("clip", 0));
  float rate = static_cast<float>(f.option("rate", 0)), decay = static_cast<float>(f.option("decay", 0));
  float pull = static_cast<float>(f.option("anchor", 0)), norm = 0;
  StepBlock block{};
  block.header = &header;
  block.rate = &rate;
  block.decay = &decay;
  block.anchor = &pull;
  block.gradient_norm = &norm;
  for (int step = 1; step <= 4; step++) {
    header.update = step;
    Buffer gradients(column, type, f.numbers.at("gradients " + std::to_string(step)));
    void* in[] = {gradients.address(), anchor.address(), nullptr, nullptr, nullptr, nullptr};
    void* out[] = {weights.address(), first.address(), second.address()};
    kernel->run(Args{in, out, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, scratch.address(), &block});
    harness.expect_close(text("weights after step ", step), f.numbers.at("after " + std::to_string(step)), weights.read(),
                         1e-6, 1);
  }
}

}  // namespace

int main(int argc, char** argv) {
  Harness harness(argc, argv);
  auto column = make_reference_column();
  for (const Fixture& f : read_fixtures("ops.txt"))
    harness.test(f.kind + "/" + f.label, [&] { check(harness, *column, f); });
  for (const Fixture& f : read_fixtures("optimizer.txt"))
    harness.test(f.kind + "/" + f.label, [&] { check_optimizer(harness, *column, f); });
  return harness.finish();
}
