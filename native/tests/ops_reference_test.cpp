// The reference against mathematics: gradients against central differences in double, every gradient mode, every epilogue.
#include <set>

#include "op_cases.h"

using namespace graft;
using namespace graft::test;

namespace {

constexpr double kStep = 1e-6;       // of the central difference
constexpr double kTolerance = 1e-6;  // relative: rounding of the difference is 1e-16 / 1e-6, its truncation 1e-12
constexpr size_t kProbes = 24;       // elements of an input that are probed, spread over it

// The number whose gradient backward computes: sum of dout * y, or the weighted loss.
double objective(Harness& harness, Column& column, const OpDef& op, const OpCase& c, const Data& data, const Variation& v) {
  Variation forward = v;
  forward.modes.clear();
  forward.in_place = false;
  Outcome outcome = run_case(harness, column, op, c, data, DType::F64, forward);
  if (op.loss) return 1.5 * outcome.outputs[0][0];
  double sum = 0;
  for (size_t i = 0; i < data.dout.size(); i++)
    sum += outcome.outputs[0][i] * (data.dout[i] + (v.second_gradient ? data.dout2[i] : 0));
  return sum;
}

void check_gradient(Harness& harness, Column& column, const OpDef& op, const OpCase& c, Data& data, const Variation& v,
                    std::vector<double>& values, const std::vector<double>& gradient, const std::string& what) {
  double largest = 0.01;
  for (double g : gradient) largest = std::max(largest, std::fabs(g));
  size_t stride = values.size() / kProbes + 1;
  for (size_t i = 0; i < values.size(); i += stride) {
    double x = values[i];
    values[i] = x + kStep;
    double up = objective(harness, column, op, c, data, v);
    values[i] = x - kStep;
    double down = objective(harness, column, op, c, data, v);
    values[i] = x;
    double difference = (up - down) / (2 * kStep);
    harness.expect(std::fabs(difference - gradient[i]) <= kTolerance * largest, what, "[", i, "]: expected ",
                   Harness::precise(difference), " by central difference, got ", Harness::precise(gradient[i]));
  }
}

std::vector<double> activated_of(Harness& harness, Column& column, const OpDef& op, const OpCase& c, const Data& data, Variation v) {
  v.modes.clear();
  return run_case(harness, column, op, c, data, DType::F64, v).outputs[0];
}

void check_case(Harness& harness, Column& column, const OpDef& op, const OpCase& c, const Variation& v, bool differences) {
  Data data = make_data(op, c, harness.seed());
  std::vector<double> activated = v.epilogue.any() ? activated_of(harness, column, op, c, data, v) : std::vector<double>{};
  Outcome outcome = run_case(harness, column, op, c, data, DType::F64, v, activated);
  for (double y : outcome.outputs[0])
    if (!std::isfinite(y)) return harness.fail("the result holds ", y);
  Variation plain = v;
  for (GradMode& mode : plain.modes)
    if (mode == GradMode::Accumulate) mode = GradMode::Overwrite;
  plain.in_place = false;
  Outcome expected = run_case(harness, column, op, c, data, DType::F64, plain, activated);
  harness.expect_close("result", expected.outputs[0], outcome.outputs[0], 0, 1);
  for (size_t i = 0; i < outcome.gradients.size(); i++) {
    std::vector<double> sum = expected.gradients[i];
    if (v.modes[i] == GradMode::Accumulate)
      for (size_t k = 0; k < sum.size(); k++) sum[k] += data.before[i][k];
    harness.expect_close(text("gradient ", i), sum, outcome.gradients[i], 0, 1);
    if (differences && v.modes[i] == GradMode::Overwrite)
      check_gradient(harness, column, op, c, data, v, data.inputs[i], outcome.gradients[i], text("gradient ", i));
  }
  if (differences && v.epilogue.residual)
    check_gradient(harness, column, op, c, data, v, data.residual, outcome.residual_gradient, "gradient of the residual");
}

void every_operation_is_tested(Harness& harness) {
  harness.test("every operation has cases", [&] {
    std::set<std::string> tested;
    for (const OpTest& t : all_op_tests()) tested.insert(t.op);
    for (const std::string& name : op_names()) harness.expect(tested.count(name) == 1, name, " has no cases");
  });
}

void gradients(Harness& harness, Column& column) {
  for (const OpTest& t : all_op_tests())
    for (const OpCase& c : t.cases) {
      const OpDef& op = *find_op(t.op);
      for (const Variation& v : gradient_variations(op, c))
        harness.test(t.op + "/" + c.label + "/" + v.label, [&] {
          check_case(harness, column, op, c, v, v.label == "overwrite" || v.label == "second_gradient");
        });
      Epilogue relu;
      relu.activation = Activation::Relu;
      Request request = make_request(op, c, DType::F64, Pass::Forward, {});
      if (column.fuses(request, relu) && &c - t.cases.data() < 4)
        for (const Variation& v : epilogue_variations(op, c))
          harness.test(t.op + "/" + c.label + "/" + v.label, [&] { check_case(harness, column, op, c, v, true); });
    }
}

}  // namespace

int main(int argc, char** argv) {
  Harness harness(argc, argv);
  auto column = make_reference_column();
  column->enter_lane(1);
  every_operation_is_tested(harness);
  gradients(harness, *column);
  return harness.finish();
}
