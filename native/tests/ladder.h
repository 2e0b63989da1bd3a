// A column against the reference. Truth is the reference on F64 storage of the unrounded data.
//   F32:  normalised mean square error at most the operation's own bound (op_cases.h).
//   BF16: largest error at most twice that of the reference on bf16 storage, plus 1e-5 of the largest true value. Both
//         runs read data rounded to bf16, so a kernel may round once more inside, and no further.
// A case with a tensor of few elements is drawn several times, so that no single number's luck decides.
// Everything runs twice and must give the same bits.
#pragma once
#include <set>

#include "op_cases.h"
#include "product_cases.h"
#include "service_cases.h"

namespace graft::test {

constexpr double kBf16Floor = 1e-5;
constexpr size_t kLeastElements = 64;  // of a tensor, all draws together

inline double largest(const std::vector<double>& values) {
  double most = 0;
  for (double v : values) most = std::max(most, std::fabs(v));
  return most;
}

// Index of the largest |a - b|; a NaN on one side alone is infinitely far.
inline std::pair<size_t, double> farthest(const std::vector<double>& a, const std::vector<double>& b) {
  size_t at = 0;
  double most = -1;
  for (size_t i = 0; i < a.size(); i++) {
    double error = std::isnan(a[i]) && std::isnan(b[i]) ? 0 : std::fabs(a[i] - b[i]);
    if (std::isnan(error)) error = INFINITY;
    if (error > most) most = error, at = i;
  }
  return {at, most};
}

// Sum of squared differences; a NaN on one side alone is infinitely far.
inline double squares(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); i++)
    if (!(std::isnan(a[i]) && std::isnan(b[i]))) sum += (a[i] - b[i]) * (a[i] - b[i]);
  return std::isnan(sum) ? INFINITY : sum;
}

// What is compared: every tensor of an outcome, by name.
using Tensors = std::vector<std::pair<std::string, std::vector<double>>>;

inline void append(Tensors& all, const Tensors& more) {
  if (all.empty()) all.resize(more.size());
  for (size_t i = 0; i < more.size(); i++) {
    all[i].first = more[i].first;
    all[i].second.insert(all[i].second.end(), more[i].second.begin(), more[i].second.end());
  }
}

inline size_t draws_of(const Tensors& one, size_t most) {
  size_t smallest = kLeastElements;
  for (const auto& [name, values] : one)
    if (!values.empty()) smallest = std::min(smallest, values.size());
  return std::min(most, (kLeastElements + smallest - 1) / smallest);
}

inline Tensors tensors(const OpDef& op, const OpCase& c, const Outcome& o) {
  Tensors all;
  for (size_t i = 0; i < o.outputs.size(); i++)
    if (i == 0 || !op.statistics || c.batch_statistics)  // the running form saves nothing
      all.push_back({i == 0 ? "result" : text("saved ", i), o.outputs[i]});
  for (size_t i = 0; i < o.gradients.size(); i++) all.push_back({text("gradient ", i), o.gradients[i]});
  all.push_back({"residual gradient", o.residual_gradient});
  all.push_back({"running statistics", o.statistics});
  all.push_back({"loss and correct", o.loss});
  return all;
}

// The checks of one column.
class Ladder {
 public:
  Ladder(Harness& harness, Column& column) : harness_(harness), reference_(make_reference_column()), column_(column) {}

  void operations(const std::set<std::string>& without = {}) {
    for (const OpTest& t : all_op_tests())
      for (const OpCase& c : t.cases) {
        if (without.count(t.op)) continue;
        const OpDef& op = *find_op(t.op);
        for (const Variation& v : gradient_variations(op, c)) variation(t, op, c, v);
        for (const Variation& v : epilogue_variations(op, c)) variation(t, op, c, v);
      }
    std::string names;
    for (const std::string& op : on_reference_) names += " " + op;
    if (!names.empty()) std::printf("reference kernels served:%s\n", names.c_str());
  }

  void infinite_logits() {
    const OpDef& op = *find_op("softmax_cross_entropy");
    const OpCase c{"rows", {{{4, 2051}}, {{4}, Fill::Labels}, absent()}, {}, 4};
    const Variation gradient{"", {GradMode::Overwrite, GradMode::Ignore, GradMode::Ignore}};
    Data data = make_data(op, c, harness_.seed());
    std::vector<double>& logits = data.inputs[0];
    harness_.test("softmax_cross_entropy: classes at -infinity get no gradient", [&] {
      for (size_t r = 0; r < 4; r++)  // from the first of a piece of 1024 to a whole piece and more
        for (size_t i = 1; i <= 600 * r; i++)
          if (i != data.inputs[1][r]) logits[r * 2051 + i] = -INFINITY;
      Outcome expected = run_case(harness_, *reference_, op, c, data, DType::F64, gradient);
      Outcome actual = run_case(harness_, column_, op, c, data, DType::F32, gradient);
      harness_.expect_close("loss", expected.outputs[0], actual.outputs[0], 4e-7, 1);
      harness_.expect_close("gradient", expected.gradients[0], actual.gradients[0], 4e-7, 1);
      for (size_t i = 0; i < logits.size(); i++)
        if (std::isinf(logits[i])) harness_.expect(actual.gradients[0][i] == 0, "gradient ", i, " is ", actual.gradients[0][i]);
    });
    for (size_t at : {0, 1023, 1024, 2050})
      harness_.test(text("softmax_cross_entropy: a NaN at logit ", at, " makes the loss NaN"), [&] {
        Data broken = data;
        broken.inputs[0][at] = NAN;
        harness_.expect(std::isnan(run_case(harness_, column_, op, c, broken, DType::F32, gradient).outputs[0][0]), "the loss is a number");
      });
  }

  // Rows of any length and any alignment, F32 and bf16, as the direct calls hand them in; `long_rows` adds one that no multiprocessor holds.
  void cross_entropy_rows(const std::vector<DType>& types, bool long_rows) {
    const OpDef& op = *find_op("softmax_cross_entropy");
    const Variation apart{"", {GradMode::Overwrite, GradMode::Ignore, GradMode::Ignore}};
    Variation in_place = apart, forward = apart;
    in_place.in_place = true;
    forward.modes[0] = GradMode::Ignore;
    const Operand labels{{5}, Fill::Labels};
    auto rows_of = [&](int64_t k, Operand target, Operand weight, Attributes attributes) {
      OpCase c{text(k, "_classes", target.fill == Fill::Labels ? "" : "_soft", weight.present ? "_weighted" : "", attributes.empty() ? "" : "_smoothed"),
               {{{5, k}}, target, weight}, std::move(attributes), 5};
      c.valid = 4;
      if (target.fill == Fill::Labels) c.ignored = 2;
      return c;
    };
    std::vector<OpCase> cases;
    for (int64_t k : {2, 7, 250, 2065, 5003})
      for (bool smoothed : {false, true}) {
        const Attributes a = smoothed ? Attributes{{"label_smoothing", 0.1}} : Attributes{};
        cases.push_back(rows_of(k, labels, absent(), a));
        cases.push_back(rows_of(k, labels, {{k}, Fill::Positive}, a));
        cases.push_back(rows_of(k, {{5, k}, Fill::Distribution}, absent(), a));
      }
    if (long_rows) cases.push_back(rows_of(60013, labels, absent(), {{"label_smoothing", 0.1}}));
    for (const OpCase& c : cases)
      for (DType type : types)
        harness_.test(text("softmax_cross_entropy: rows of ", c.label, " in ", name_of(type)), [&] {
          Data data = make_data(op, c, harness_.seed());
          for (double& x : data.inputs[0]) x = rounded(x, type);
          const Outcome expected = run_case(harness_, *reference_, op, c, data, DType::F64, apart);
          for (const Variation* v : std::initializer_list<const Variation*>{&apart, &in_place, &forward}) {
            const Outcome actual = run_logits(op, c, data, type, *v);
            harness_.expect_close("loss and correct", expected.loss, actual.loss, 1e-6, 1e-3);
            if (v == &forward) continue;
            const double most = largest(expected.gradients[0]);  // bf16 rounds once, as it is stored
            for (size_t i = 0; i < actual.gradients[0].size(); i++) {
              const double e = expected.gradients[0][i], allowed = (type == DType::BF16 ? 0x1.02p-8 * std::fabs(e) : 0) + 1e-6 * most;
              harness_.expect(std::fabs(actual.gradients[0][i] - e) <= allowed, "gradient ", i, " is ", actual.gradients[0][i], "; expected ", e);
            }
            harness_.expect(actual.bytes == run_logits(op, c, data, type, *v).bytes, "the second run gave other bits");
          }
        });
  }

  void products() {
    for (const ProductCase& c : product_cases()) {
      if (!column_.computes(c.request.type) || !column_.computes(c.request.result)) continue;
      harness_.test("product/" + c.label, [&] {
        std::vector<double> expected = run_product(harness_, *reference_, c), actual = run_product(harness_, column_, c);
        // As operations are measured: F32 by the normalised mean square error, bf16 with its own rounding on top.
        if (c.request.result == DType::BF16) harness_.expect_close("c", expected, actual, 0x1p-7, 1);
        if (c.request.result == DType::F32) expect_small_error(expected, actual);
        harness_.expect(actual == run_product(harness_, column_, c), "the second run gave other bits");
      });
    }
  }

  void services() {
    for (const ServiceCase& c : service_cases())
      harness_.test("service/" + c.label, [&] {
        auto expected = run_service(harness_, *reference_, c), actual = run_service(harness_, column_, c);
        // A fused multiply-add or another order of a sum moves the last digit; BF16 results round once from F32.
        double tolerance = c.request.outputs[0].dtype == DType::BF16 ? 0x1p-8 : 4e-7;
        if (c.request.service == Service::Convert || c.request.service == Service::Signs) tolerance = 0;
        for (size_t i = 0; i < expected.size(); i++)
          if (c.request.service == Service::MergeLowRank && c.request.outputs[i].dtype == DType::BF16) harness_.expect_close("merged", expected[i], actual[i], 0x1p-7, 1);
          else if (c.request.service == Service::MergeLowRank) expect_small_error(expected[i], actual[i]);  // a product
          else harness_.expect_close(text("output ", i), expected[i], actual[i], tolerance, 1);
        harness_.expect(actual == run_service(harness_, column_, c), "the second run gave other bits");
      });
    for (const OptimizerCase& c : optimizer_cases())
      harness_.test("optimizer/" + c.label, [&] {
        OptimizerState expected = run_optimizer(harness_, *reference_, c, 3), actual = run_optimizer(harness_, column_, c, 3);
        // Arithmetic is F32 here and double there: some roundings a step, three steps.
        for (size_t i = 0; i < expected.arrays.size(); i++)
          harness_.expect_close(i == 0 ? "weights" : i == 3 ? "average" : text("moment ", i), expected.arrays[i], actual.arrays[i], 3e-6, 1);
        harness_.expect_close("norm and watched sums", expected.sums, actual.sums, 1e-5, 1e-6);
        OptimizerState again = run_optimizer(harness_, column_, c, 3);
        harness_.expect(actual.arrays == again.arrays && actual.sums == again.sums, "the second run gave other bits");
      });
    harness_.test("service/count_nonfinite", [&] {
      for (DType type : {DType::F32, DType::BF16}) {
        std::vector<double> values(1033, 1);
        values[0] = values[517] = NAN;
        values[1032] = -INFINITY;
        Buffer buffer(column_, {type, {1033}}, values);
        int64_t found = column_.count_nonfinite(buffer.address(), buffer.type());
        harness_.expect(found == 3, name_of(type), ": expected 3, got ", found);
      }
    });
  }

 private:
  bool supported(const OpDef& op, const OpCase& c, const Variation& v, DType storage) {
    bool gradients = !v.modes.empty();
    Request forward = make_request(op, c, storage, op.loss && gradients ? Pass::Loss : Pass::Forward, v);
    if (v.epilogue.any() && !column_.fuses(forward, v.epilogue)) return false;
    if (!gradients) return true;
    if (op.loss) {
      for (size_t i = 0; i < v.modes.size(); i++)
        if (v.modes[i] == GradMode::Accumulate && !column_.accumulates(forward, i)) return false;
      return true;
    }
    Request backward = make_request(op, c, storage, Pass::Backward, v);
    if (v.epilogue.any() && !column_.fuses(backward, v.epilogue)) return false;
    if (v.second_gradient && !column_.takes_second_gradient(backward)) return false;
    for (size_t i = 0; i < v.modes.size(); i++)
      if (v.modes[i] == GradMode::Accumulate && !column_.accumulates(backward, i)) return false;
    return true;
  }

  void variation(const OpTest& t, const OpDef& op, const OpCase& c, const Variation& v) {
    for (DType storage : {DType::F32, DType::BF16}) {
      if (!column_.computes(storage) || (op.loss && storage == DType::BF16 && op.inputs[0].role == Role::Full)) continue;  // F32 in every plan
      if (!supported(op, c, v, storage)) continue;
      harness_.test(t.op + "/" + c.label + "/" + v.label + "/" + name_of(storage), [&] { compare(t, op, c, v, storage); });
    }
  }

  void compare(const OpTest& t, const OpDef& op, const OpCase& c, const Variation& v, DType storage) {
    Tensors expected, rough, actual;
    std::string kernels;
    for (size_t draw = 0, draws = 1; draw < draws; draw++) {
      Data data = make_data(op, c, 1000 * harness_.seed() + draw);
      std::vector<double> activated = activated_of(op, c, v, data, storage);
      Variation apart = v;
      apart.in_place = false;
      append(expected, tensors(op, c, run_case(harness_, *reference_, op, c, data, DType::F64, apart, activated)));
      if (storage == DType::BF16)
        append(rough, tensors(op, c, run_case(harness_, *reference_, op, c, data, storage, apart, activated)));
      Outcome fast = run_case(harness_, column_, op, c, data, storage, v, activated);
      append(actual, tensors(op, c, fast));
      if (v.signs) {
        Variation by_result = v;
        by_result.signs = false;
        harness_.expect(fast.bytes == run_case(harness_, column_, op, c, data, storage, by_result, activated).bytes, fast.kernels, ": signs and the result itself give other bits");
      }
      if (draw > 0) continue;
      kernels = fast.kernels;
      harness_.expect(fast.bytes == run_case(harness_, column_, op, c, data, storage, v, activated).bytes, kernels,
                      ": the second run gave other bits");
      draws = draws_of(expected, op.differentiable > 1 ? 16 : kLeastElements);  // a loss with a layer inside: its gradients are not small, its one number is also another operation's
    }
    if (kernels.find("reference:") != std::string::npos) on_reference_.insert(op.name);
    for (size_t i = 0; i < expected.size(); i++) {
      const std::string& what = expected[i].first;
      if (storage == DType::F32) check_f32(t, kernels, what, expected[i].second, actual[i].second);
      else check_bf16(kernels, what, expected[i].second, rough[i].second, actual[i].second);
    }
  }

  // Of products in F32, whose sums may be taken in another order.
  void expect_small_error(const std::vector<double>& expected, const std::vector<double>& actual) {
    const double error = squares(expected, actual), energy = squares(std::vector<double>(expected.size(), 0), expected);
    harness_.expect(error <= kReordered * energy, "normalised mean square error ", error / energy, ", expected at most ", kReordered);
  }

  // A plan's losses take F32; here the logits are stored as `type`.
  Outcome run_logits(const OpDef& op, const OpCase& c, const Data& data, DType type, const Variation& v) {
    return CaseRun(harness_, column_, op, c, data, DType::F32, v, {}, type).outcome;
  }

  // What backward reads with an activation fused, as `storage` holds it.
  std::vector<double> activated_of(const OpDef& op, const OpCase& c, Variation v, const Data& data, DType storage) {
    if (v.epilogue.activation == Activation::None || v.modes.empty()) return {};
    v.modes.clear();
    std::vector<double> y = run_case(harness_, *reference_, op, c, data, DType::F64, v).outputs[0];
    for (double& value : y) value = rounded(value, storage);
    return y;
  }

  void check_f32(const OpTest& t, const std::string& kernels, const std::string& what, const std::vector<double>& expected,
                 const std::vector<double>& actual) {
    double error = squares(expected, actual), energy = squares(std::vector<double>(expected.size(), 0), expected);
    if (error <= t.nmse * energy) return;
    size_t i = farthest(expected, actual).first;
    harness_.fail(kernels, ": ", what, ": normalised mean square error ", error / energy, ", expected at most ", t.nmse,
                  "; farthest at [", i, "]: expected ", Harness::precise(expected[i]), ", got ", Harness::precise(actual[i]));
  }

  void check_bf16(const std::string& kernels, const std::string& what, const std::vector<double>& expected,
                  const std::vector<double>& rough, const std::vector<double>& actual) {
    if (expected.empty()) return;
    double allowed = 2 * farthest(expected, rough).second + kBf16Floor * largest(expected);
    auto [i, error] = farthest(expected, actual);
    if (error <= allowed) return;
    harness_.fail(kernels, ": ", what, "[", i, "]: expected ", Harness::precise(expected[i]), ", got ", Harness::precise(actual[i]),
                  ": error ", error, ", allowed ", allowed);
  }

  Harness& harness_;
  std::unique_ptr<Column> reference_;
  Column& column_;
  std::set<std::string> on_reference_;
};

}  // namespace graft::test
