// Laws of single operations that neither differences nor PyTorch's results can show: random numbers, padding, weights of rows.
#include <limits>

#include "op_cases.h"

using namespace graft;
using namespace graft::test;

namespace {

class Laws {
 public:
  explicit Laws(Harness& harness) : harness_(harness), column_(make_reference_column()) {}

  void dropout() {
    OpCase c{"law", {{{7, 33}}}, {{"rate", 0.3}, {"active", 1}}, 7};
    harness_.test("dropout scales survivors, chosen by seed, node, sample, visit and element", [&] {
      Data data = make_data(*find_op("dropout"), c, harness_.seed());
      Outcome outcome = run("dropout", c, data, true);
      std::vector<double> expected, slope;
      uint64_t key = philox::key(42, "node.law");  // seed, visit and ids as Step sets them
      for (int64_t b = 0; b < 7; b++)
        for (int64_t i = 0; i < 33; i++) {
          int64_t id = 1000 + 7 * b + (b % 2 ? int64_t{1} << 33 : 0);
          slope.push_back(philox::uniform(key, id, 3, i) >= 0.3f ? 1 / 0.7 : 0);
          expected.push_back(slope.back() * data.inputs[0][expected.size()]);
        }
      for (size_t i = 0; i < slope.size(); i++) slope[i] *= data.dout[i];
      harness_.expect_close("result", expected, outcome.outputs[0], 1e-15, 1);
      harness_.expect_close("gradient", slope, outcome.gradients[0], 1e-15, 1);
    });
    c.attributes["per_sample"] = 1;
    harness_.test("dropout per sample keeps or drops whole samples, by the number of their first element", [&] {
      Data data = make_data(*find_op("dropout"), c, harness_.seed());
      Outcome outcome = run("dropout", c, data, true);
      std::vector<double> expected;
      const uint64_t key = philox::key(42, "node.law");
      int64_t kept = 0;
      for (int64_t b = 0; b < 7; b++) {
        const int64_t id = 1000 + 7 * b + (b % 2 ? int64_t{1} << 33 : 0);
        const bool survives = philox::uniform(key, id, 3, 0) >= 0.3f;
        kept += survives;
        for (int64_t i = 0; i < 33; i++) expected.push_back(survives ? data.inputs[0][expected.size()] / 0.7 : 0);
      }
      harness_.expect(kept > 0 && kept < 7, kept, " of 7 samples survive: the case shows nothing");
      harness_.expect_close("result", expected, outcome.outputs[0], 1e-15, 1);
    });
  }

  void padding() {
    harness_.test("batch norm: padded rows change neither results nor gradients of the others", [&] {
      std::vector<Operand> inputs{{{5, 3, 17}}, {{17}}, {{17}}, {{17}}, {{17}, Fill::Positive}};
      OpCase whole{"whole", inputs, {}, 5}, padded{"padded", inputs, {}, 8};
      padded.inputs[0].shape[0] = 8;
      padded.valid = 5;
      whole.batch_statistics = padded.batch_statistics = true;
      Data data = make_data(*find_op("batch_norm"), whole, harness_.seed()), longer = data;
      longer.inputs[0].resize(8 * 3 * 17, 1e6);
      longer.before[0].resize(8 * 3 * 17, 0);
      longer.dout.resize(8 * 3 * 17, 1e6);
      Outcome expected = run("batch_norm", whole, data, true), actual = run("batch_norm", padded, longer, true);
      for (size_t i = 5 * 3 * 17; i < actual.gradients[0].size(); i++)
        harness_.expect(actual.gradients[0][i] == 0, "gradient of padded element ", i, " is ", actual.gradients[0][i]);
      actual.outputs[0].resize(5 * 3 * 17);
      actual.gradients[0].resize(5 * 3 * 17);
      for (size_t i = 0; i < 3; i++) harness_.expect_close(text("output ", i), expected.outputs[i], actual.outputs[i], 0, 1);
      for (size_t i = 0; i < 3; i++) harness_.expect_close(text("gradient ", i), expected.gradients[i], actual.gradients[i], 0, 1);
      harness_.expect_close("running statistics", expected.statistics, actual.statistics, 0, 1);
    });
  }

  void rows_of_losses() {
    for (const char* op : {"softmax_cross_entropy", "bce_with_logits", "mse", "mae"})
      harness_.test(text(op, ": rows of weight 0 are not read, others count by their weight"), [&] {
        // Weights by Step: 1, 1.25, 1.5, then 0. A mean of single rows must give the whole.
        OpCase c = loss_case(op, 5);
        c.valid = 3;
        Data data = make_data(*find_op(op), c, harness_.seed());
        for (size_t i = 3 * 7; i < 5 * 7; i++) data.inputs[0][i] = std::numeric_limits<double>::quiet_NaN();
        Outcome whole = run(op, c, data, true);
        double sum = 0;
        std::vector<double> gradient(5 * 7, 0), weights{1, 1.25, 1.5};
        for (size_t r = 0; r < 3; r++) {
          Outcome one = run(op, loss_case(op, 1), row(data, r), true);
          sum += weights[r] * one.outputs[0][0] / 3.75;
          for (size_t i = 0; i < 7; i++) gradient[r * 7 + i] = weights[r] * one.gradients[0][i] / 3.75;
        }
        harness_.expect_close("loss", {sum}, whole.outputs[0], 1e-14, 1);
        harness_.expect_close("gradient", gradient, whole.gradients[0], 1e-14, 1);
      });
  }

  void targets() {
    for (int32_t target : {7, -1, 2000000})
      harness_.test(text("softmax_cross_entropy: target ", target, " of 7 classes gives NaN and no gradient"), [&] {
        OpCase c = loss_case("softmax_cross_entropy", 3);
        Data data = make_data(*find_op("softmax_cross_entropy"), c, harness_.seed());
        data.inputs[1][1] = target;
        Outcome outcome = run("softmax_cross_entropy", c, data, true);
        harness_.expect(std::isnan(outcome.outputs[0][0]) && std::isnan(outcome.loss[0]), "the loss is ", outcome.outputs[0][0]);
        for (size_t i = 0; i < outcome.gradients[0].size(); i++)
          harness_.expect(i / 7 == 1 ? outcome.gradients[0][i] == 0 : std::isfinite(outcome.gradients[0][i]), "gradient ", i, " is ",
                          outcome.gradients[0][i]);
      });
    harness_.test("softmax_cross_entropy counts the rows whose largest logit is the target", [&] {
      OpCase c = loss_case("softmax_cross_entropy", 3);
      Data data = make_data(*find_op("softmax_cross_entropy"), c, harness_.seed());
      for (size_t r = 0; r < 3; r++) data.inputs[0][r * 7 + (static_cast<size_t>(data.inputs[1][r]) + (r == 1)) % 7] = 50;
      harness_.expect_close("correct", {1 + 1.5}, {run("softmax_cross_entropy", c, data, false).loss[1]}, 0, 1);  // rows 0 and 2
    });
  }

 private:
  static OpCase loss_case(const std::string& op, int64_t rows) {
    OpCase c{"rows", {{{rows, 7}}, {{rows, 7}, Fill::Bits}}, {}, static_cast<int>(rows)};
    if (op == "softmax_cross_entropy") c.inputs = {{{rows, 7}}, {{rows}, Fill::Labels}, absent()};
    return c;
  }

  static Data row(const Data& data, size_t r) {
    Data one = data;
    for (auto& values : one.inputs) {
      size_t size = values.size() / 5;
      values = std::vector<double>(values.begin() + r * size, values.begin() + (r + 1) * size);
    }
    return one;
  }

  Outcome run(const std::string& name, const OpCase& c, const Data& data, bool gradients) {
    const OpDef& op = *find_op(name);
    Variation v{"", {}};
    for (size_t i = 0; gradients && i < c.inputs.size(); i++)
      v.modes.push_back(differentiable(op, c, i) ? GradMode::Overwrite : GradMode::Ignore);
    return run_case(harness_, *column_, op, c, data, DType::F64, v);
  }

  Harness& harness_;
  std::unique_ptr<Column> column_;
};

}  // namespace

int main(int argc, char** argv) {
  Harness harness(argc, argv);
  Laws laws(harness);
  laws.dropout();
  laws.padding();
  laws.rows_of_losses();
  laws.targets();
  return harness.finish();
}
