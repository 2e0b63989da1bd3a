// Rows of several adapters in one batch on the CUDA column: which kernels are chosen, and what a number does that names no adapter.
// The arithmetic is held by ops_cuda_test.
#include <cmath>
#include <cstdlib>

#include "cuda/column.h"
#include "op_run.h"

using namespace graft;
using namespace graft::test;

namespace {

OpCase adapters(int64_t count, int64_t rank, Shape x, int64_t out) {
  const int64_t in = x[-1], samples = x[0];
  return {text(count, " adapters of rank ", rank), {{x}, {{out, in}}, absent(), {{count, rank, in}}, {{count, out, rank}}, absent(), {{samples}, Fill::Adapters}, {{count}}},
          {{"factor", 0.5}}, static_cast<int>(samples)};
}

const Variation kGradients{"", {GradMode::Overwrite, GradMode::Ignore, GradMode::Ignore, GradMode::Overwrite, GradMode::Overwrite, GradMode::Ignore, GradMode::Ignore, GradMode::Overwrite}};

std::string kernels(Column& column, const OpCase& c, DType type) {
  const OpDef& op = *find_op("lora_linear");
  return column.prepare(make_request(op, c, type, Pass::Forward, {}))->name() + " " + column.prepare(make_request(op, c, type, Pass::Backward, kGradients))->name();
}

void expect_both(Harness& harness, const std::string& names, const std::string& kernel) {
  harness.expect(names == kernel + " " + kernel, "kernels: ", names);
}

}  // namespace

int main(int argc, char** argv) {
  setenv("GRAFT_MATMUL", "own", 1);
  Harness harness(argc, argv);
  auto column = make_cuda_column(0), reference = make_reference_column();
  column->enter_lane(1);
  harness.test("adapters of a batch in bf16 run on tensor cores up to 1024 columns of all together", [&] {
    for (auto [count, rank] : {std::pair<int64_t, int64_t>{1, 8}, {3, 1}, {4, 256}, {128, 8}}) expect_both(harness, kernels(*column, adapters(count, rank, {4, 33}, 17), DType::BF16), "own:mma:product:cuda");
    expect_both(harness, kernels(*column, adapters(25, 41, {4, 33}, 17), DType::BF16), "own:simt:lora_linear:cuda");
    expect_both(harness, kernels(*column, adapters(3, 8, {4, 33}, 17), DType::F32), "own:simt:lora_linear:cuda");
  });
  harness.test("a number that names no adapter makes its rows NaN and leaves other rows and all gradients alone", [&] {
    const OpDef& op = *find_op("lora_linear");
    const OpCase c = adapters(3, 8, {7, 2, 33}, 17);
    Data data = make_data(op, c, harness.seed()), none = data;
    data.inputs[6] = {2, 3, 0, -1, -2, 1, 2};
    none.inputs[6] = {2, -1, 0, -1, -1, 1, 2};  // rows without an adapter, else as before
    const Outcome unknown = run_case(harness, *column, op, c, data, DType::BF16, kGradients), absent = run_case(harness, *column, op, c, none, DType::BF16, kGradients);
    const Outcome expected = run_case(harness, *reference, op, c, data, DType::F64, kGradients);
    const std::vector<double>&y = unknown.outputs[0], &other = absent.outputs[0];
    harness.expect(y.size() == 7 * 2 * 17, y.size(), " results");
    for (size_t i = 0; i < y.size(); i++) {
      const size_t sample = i / (2 * 17);
      harness.expect(sample == 1 || sample == 4 ? std::isnan(y[i]) : y[i] == other[i], "result ", i, " is ", y[i]);
      harness.expect(std::isnan(y[i]) == std::isnan(expected.outputs[0][i]), "result ", i, " is ", y[i], ", by the reference ", expected.outputs[0][i]);
    }
    harness.expect(unknown.outputs[1] == absent.outputs[1], "what is saved differs");
    harness.expect(unknown.gradients == absent.gradients, "gradients differ");
  });
  return harness.finish();
}
