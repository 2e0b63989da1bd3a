// The cases of the losses.
#pragma once
#include "op_run.h"

namespace graft::test {

// Sums of many products in another order, and norms that subtract a mean, lose up to three digits of F32's seven.
constexpr double kReordered = 1e-11;

inline OpTest softmax_cross_entropy_test() {
  OpTest t{"softmax_cross_entropy", {}, kReordered};
  auto add = [&](const char* label, int64_t rows, int64_t k, bool soft, bool weighted, Attributes attributes) -> OpCase& {
    Operand target = soft ? Operand{{rows, k}, Fill::Distribution} : Operand{{rows}, Fill::Labels};
    Operand weight = weighted ? Operand{{k}, Fill::Positive} : absent();
    t.cases.push_back({label, {{{rows, k}}, target, weight}, std::move(attributes), int(rows)});
    return t.cases.back();
  };
  add("one", 1, 3, false, false, {});
  add("labels", 7, 17, false, false, {});
  add("wide", 3, 1033, false, false, {{"label_smoothing", 0.1}});
  add("pieces", 3, 3001, false, false, {});
  t.cases.push_back({"spread", {{{3, 2049}, Fill::Distinct}, {{3}, Fill::Labels}, absent()}, {}, 3});
  add("smoothed_weighted", 7, 33, false, true, {{"label_smoothing", 0.1}});
  add("soft", 7, 17, true, false, {});
  add("soft_smoothed_weighted", 3, 7, true, true, {{"label_smoothing", 0.2}});
  OpCase& padded = add("padded_ignored", 7, 17, false, true, {});
  padded.valid = 5;
  padded.ignored = 2;
  add("normalised", 7, 17, false, false, {}).normalizer = 12;
  t.cases.push_back({"per_position", {{{3, 7, 5}}, {{3, 7}, Fill::Labels}, absent()}, {}, 3});
  return t;
}

inline OpTest linear_cross_entropy_test() {
  OpTest t{"linear_cross_entropy", {}, kReordered};
  // `chunk`: rows whose logits fit into the bound, in F32; 0: all.
  auto add = [&](const char* label, int64_t rows, int64_t c, int64_t k, int64_t chunk, bool soft, bool weighted, Attributes attributes) -> OpCase& {
    Operand target = soft ? Operand{{rows, k}, Fill::Distribution} : Operand{{rows}, Fill::Labels};
    if (chunk > 0) attributes["logits_bytes"] = static_cast<double>(4 * chunk * k);
    t.cases.push_back({label, {{{rows, c}}, {{k, c}}, {{k}}, target, weighted ? Operand{{k}, Fill::Positive} : absent()}, std::move(attributes), int(rows)});
    return t.cases.back();
  };
  add("one", 1, 3, 2, 0, false, false, {});
  add("row_by_row", 3, 24, 33, 1, false, false, {{"label_smoothing", 0.1}});
  add("runs_of_three", 7, 8, 17, 3, false, false, {});
  add("runs_of_eight", 37, 7, 33, 9, false, false, {{"label_smoothing", 0.1}}).ignored = 9;
  add("long_rows", 6, 16, 300, 4, false, false, {});
  OpCase& normalised = add("without_bias_normalised", 5, 9, 12, 3, false, false, {});
  normalised.inputs[2] = absent();
  normalised.normalizer = 12;
  add("soft_smoothed_weighted", 5, 6, 7, 3, true, true, {{"label_smoothing", 0.2}});
  OpCase& padded = add("padded_ignored_weighted", 8, 6, 17, 4, false, true, {{"label_smoothing", 0.1}});
  padded.valid = 4;  // the last run has no row that counts
  padded.ignored = 2;
  t.cases.push_back({"per_position", {{{3, 5, 5}}, {{9, 5}}, {{9}}, {{3, 5}, Fill::Labels}, absent()}, {}, 3});
  return t;
}

inline OpTest elementwise_loss_test(const char* op, Fill target) {
  OpTest t{op, {}, kReordered};
  t.cases.push_back({"matrix", {{{7, 17}}, {{7, 17}, target}}, {}, 7});
  t.cases.push_back({"one", {{{1}}, {{1}, target}}, {}, 1});
  OpCase padded{"padded", {{{7, 3, 5}}, {{7, 3, 5}, target}}, {}, 7};
  padded.valid = 4;
  t.cases.push_back(padded);
  OpCase normalised{"normalised", {{{3, 33}}, {{3, 33}, target}}, {}, 3};
  normalised.normalizer = 8;
  t.cases.push_back(normalised);
  return t;
}

}  // namespace graft::test
