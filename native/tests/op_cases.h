// The cases of every operation: one OpTest each. Sizes are odd on purpose: 1, 3, 7, 17, 33 fill no vector and no tile.
#pragma once
#include <algorithm>

#include "loss_cases.h"

namespace graft::test {

inline OpTest linear_test() {
  OpTest t{"linear", {}, kReordered};
  for (int64_t rows : {1, 17})
    for (int64_t k : {1, 7, 33})
      for (int64_t n : {1, 17})
        t.cases.push_back({text("rows", rows, "_in", k, "_out", n), {{{rows, k}}, {{n, k}}, {{n}}}, {}, int(rows)});
  t.cases.push_back({"without_bias", {{{7, 33}}, {{17, 33}}, absent()}, {}, 7});
  t.cases.push_back({"three_axes", {{{2, 7, 17}}, {{33, 17}}, {{33}}}, {}, 2});
  return t;
}

inline OpTest lora_linear_test() {
  OpTest t{"lora_linear", {}, kReordered};
  auto one = [&](std::string label, Shape x, int64_t out, int64_t rank) -> OpCase& {
    const int64_t in = x[-1];
    t.cases.push_back({std::move(label), {{x}, {{out, in}}, {{out}}, {{rank, in}}, {{out, rank}}, absent(), absent(), absent()}, {{"factor", 0.5}}, int(x[0])});
    return t.cases.back();
  };
  for (int64_t rows : {1, 17})
    for (int64_t in : {1, 33})
      for (int64_t out : {1, 17}) one(text("rows", rows, "_in", in, "_out", out), {rows, in}, out, 3);
  for (int64_t rank : {1, 2, 7, 8, 16, 17, 33, 64, 256}) one(text("rank", rank), {5, 19}, 21, rank);
  one("three_axes", {2, 7, 17}, 33, 4);
  one("blocks", {3, 45, 70}, 150, 5).attributes["factor"] = -2;
  one("without_bias", {7, 33}, 17, 8).inputs[2] = absent();
  one("other_branch", {7, 33}, 17, 8).inputs[5] = {{7, 33}};
  // Query and value of a fused qkv; what lies between and behind them gets no update.
  auto sliced = [&](std::string label, Shape x) -> OpCase& {
    OpCase& c = one(std::move(label), x, 57, 3);
    c.inputs[3] = {{2 * 3, x[-1]}};
    c.inputs[4] = {{2 * 17, 3}};
    c.attributes["slices"] = 2;
    c.attributes["width"] = 17;
    c.attributes["start0"] = 1;
    c.attributes["start1"] = 35;
    return c;
  };
  sliced("slices", {7, 33});
  sliced("slices_other_branch", {2, 3, 33}).inputs[5] = {{2, 3, 33}};
  auto grouped = [](OpCase& c) -> OpCase& {
    for (size_t i : {3, 4}) c.inputs[i] = {{3, c.inputs[i].shape[0], c.inputs[i].shape[1]}};
    c.inputs[6] = {{c.inputs[0].shape[0]}, Fill::Adapters};
    return c;
  };
  auto scaled = [](OpCase& c) -> OpCase& { return c.inputs[7] = {{3}}, c; };
  grouped(one("adapters", {17, 33}, 17, 4));
  scaled(grouped(one("adapters_scaled", {13, 5, 33}, 33, 8)));
  scaled(grouped(one("adapters_rank33", {9, 2, 17}, 19, 33)));
  scaled(grouped(one("adapters_rank1", {9, 33}, 17, 1)));
  grouped(one("adapters_one_without_rows", {2, 5, 17}, 21, 16));  // two samples, three adapters
  scaled(grouped(sliced("adapters_slices_other_branch", {11, 3, 33}))).inputs[5] = {{11, 3, 33}};
  return t;
}

inline OpTest matmul_test() {
  OpTest t{"matmul", {}, kReordered};
  for (int ta : {0, 1})
    for (int tb : {0, 1}) {
      Shape a = ta ? Shape{3, 17, 7} : Shape{3, 7, 17}, b = tb ? Shape{3, 33, 17} : Shape{3, 17, 33};
      t.cases.push_back({text("transpose", ta, tb), {{a}, {b}}, {{"transpose_a", ta}, {"transpose_b", tb}, {"factor", 0.25}}, 3});
    }
  t.cases.push_back({"plain", {{{1, 3}}, {{3, 1}}}, {}, 1});
  t.cases.push_back({"shared_right", {{{2, 3, 7, 5}}, {{5, 3}}}, {}, 2});
  t.cases.push_back({"shared_left", {{{1, 1, 7, 5}}, {{2, 3, 5, 3}}}, {}, 2});
  t.cases.push_back({"crossed", {{{2, 1, 3, 5}}, {{1, 3, 5, 7}}}, {}, 2});
  return t;
}

inline OpTest conv2d_test() {
  OpTest t{"conv2d", {}, kReordered};
  auto add = [&](const char* label, Shape x, Shape w, Attributes attributes, bool bias = true) {
    t.cases.push_back({label, {{x}, {w}, bias ? Operand{{w[0]}} : absent()}, std::move(attributes), int(x[0])});
  };
  add("1x1", {3, 7, 5, 17}, {33, 1, 1, 17}, {});
  add("1x1_stride2", {2, 7, 7, 3}, {7, 1, 1, 3}, {{"stride_h", 2}, {"stride_w", 2}}, false);
  add("3x3_pad1", {2, 7, 7, 3}, {17, 3, 3, 3}, {{"pad_top", 1}, {"pad_left", 1}, {"pad_bottom", 1}, {"pad_right", 1}});
  add("3x3_stride2_pad1", {2, 9, 7, 16}, {16, 3, 3, 16},
      {{"stride_h", 2}, {"stride_w", 2}, {"pad_top", 1}, {"pad_left", 1}, {"pad_bottom", 1}, {"pad_right", 1}}, false);
  add("3x3_pad_bottom_right", {1, 8, 8, 3}, {7, 3, 3, 3}, {{"stride_h", 2}, {"stride_w", 2}, {"pad_bottom", 1}, {"pad_right", 1}});
  add("7x7_stride2_pad3", {1, 15, 13, 3}, {7, 7, 7, 3},
      {{"stride_h", 2}, {"stride_w", 2}, {"pad_top", 3}, {"pad_left", 3}, {"pad_bottom", 3}, {"pad_right", 3}});
  add("3x2_uneven", {1, 9, 11, 3}, {3, 3, 2, 3}, {{"stride_h", 2}, {"stride_w", 3}, {"pad_top", 2}, {"pad_right", 1}});
  add("dilated", {1, 9, 9, 3}, {7, 3, 3, 3},
      {{"dilation_h", 2}, {"dilation_w", 3}, {"pad_top", 2}, {"pad_left", 3}, {"pad_bottom", 2}, {"pad_right", 3}});
  add("grouped", {2, 5, 5, 9}, {6, 3, 3, 3}, {{"groups", 3}, {"pad_top", 1}, {"pad_left", 1}, {"pad_bottom", 1}, {"pad_right", 1}});
  add("depthwise", {2, 7, 7, 17}, {17, 3, 3, 1},
      {{"groups", 17}, {"pad_top", 1}, {"pad_left", 1}, {"pad_bottom", 1}, {"pad_right", 1}});
  add("depthwise_stride2_same", {1, 8, 8, 33}, {33, 3, 3, 1},
      {{"groups", 33}, {"stride_h", 2}, {"stride_w", 2}, {"pad_bottom", 1}, {"pad_right", 1}}, false);
  add("depthwise_multiplied", {1, 5, 5, 3}, {6, 3, 3, 1}, {{"groups", 3}});
  add("single", {1, 1, 1, 1}, {1, 1, 1, 1}, {});
  return t;
}

inline OpTest batch_norm_test() {
  OpTest t{"batch_norm", {}, kReordered};
  for (bool batch : {false, true})
    for (Shape x : {Shape{3, 7, 5, 17}, Shape{17, 33}, Shape{7, 3, 3, 1}, Shape{9, 5, 12}}) {
      int64_t c = x[-1];
      std::vector<Operand> inputs{{x}, {{c}}, {{c}}, {{c}}, {{c}, Fill::Positive}};
      OpCase one{text(batch ? "batch" : "running", x.rank, "d_c", c), inputs, {}, int(x[0])};
      one.batch_statistics = batch;
      t.cases.push_back(one);
      if (x[0] < 7) continue;
      one.label += "_padded";
      one.valid = 5;
      if (batch) t.cases.push_back(one);
    }
  return t;
}

inline OpTest layer_norm_test() {
  OpTest t{"layer_norm", {}, kReordered};
  for (int64_t c : {3, 17, 33}) t.cases.push_back({text("c", c), {{{2, 7, c}}, {{c}}, {{c}}}, {}, 2});
  t.cases.push_back({"without_bias", {{{3, 7}}, {{7}}, absent()}, {}, 3});
  t.cases.push_back({"plain", {{{3, 7}}, absent(), absent()}, {}, 3});
  return t;
}

inline OpTest unary_test(const char* op, Attributes attributes = {}, const char* label = "") {
  OpTest t{op, {}, 1e-11};  // exp, tanh and erf by polynomials are good to some units in the last of F32's seven digits
  for (Shape x : {Shape{1}, Shape{3, 7}, Shape{2, 3, 5, 17}, Shape{33, 33}})
    t.cases.push_back({text(label, x.count()), {{x, Fill::ClearOfKinks}}, attributes, int(x[0])});
  return t;
}

inline OpTest gelu_test() {
  OpTest t = unary_test("gelu", {}, "exact");
  for (OpCase& c : unary_test("gelu", {{"tanh", 1}}, "tanh").cases) t.cases.push_back(c);
  return t;
}

inline OpTest broadcast_test(const char* op) {
  OpTest t{op, {}, 1e-12};
  auto add = [&](const char* label, Shape a, Shape b) { t.cases.push_back({label, {{a}, {b}}, {}, int(a[0])}); };
  add("same", {3, 7, 17}, {3, 7, 17});
  add("same_4d", {2, 3, 5, 33}, {2, 3, 5, 33});
  add("vector", {7, 33}, {33});
  add("row", {3, 7, 17}, {1, 7, 17});
  add("channel_gate", {3, 5, 5, 17}, {3, 1, 1, 17});
  add("both_ways", {3, 1, 7}, {5, 1});
  add("number", {3, 7}, {1});
  return t;
}

inline OpTest scale_test() {
  OpTest t{"scale", {}, 1e-12};
  t.cases.push_back({"factor", {{{3, 33}}}, {{"factor", 0.3}}, 3});
  t.cases.push_back({"factor_offset", {{{7, 7, 17}}}, {{"factor", -2.5}, {"offset", 0.7}}, 7});
  return t;
}

inline void add_windows(OpTest& t, Fill fill) {
  auto add = [&](const char* label, Shape x, Attributes attributes) {
    t.cases.push_back({label, {{x, fill}}, std::move(attributes), int(x[0])});
  };
  add("2x2", {2, 6, 8, 17}, {{"kernel_h", 2}, {"kernel_w", 2}});
  add("3x3_stride2_pad1", {2, 7, 9, 33}, {{"kernel_h", 3}, {"kernel_w", 3}, {"stride_h", 2}, {"stride_w", 2}, {"pad_top", 1},
                                          {"pad_left", 1}, {"pad_bottom", 1}, {"pad_right", 1}});
  add("3x3_stride2_ceil", {1, 8, 6, 16}, {{"kernel_h", 3}, {"kernel_w", 3}, {"stride_h", 2}, {"stride_w", 2}, {"ceil_mode", 1}});
  add("2x2_pad_ceil", {1, 5, 7, 3}, {{"kernel_h", 2}, {"kernel_w", 2}, {"pad_top", 1}, {"pad_left", 1}, {"pad_bottom", 1},
                                     {"pad_right", 1}, {"ceil_mode", 1}});
  add("3x3_stride1", {1, 5, 5, 1}, {{"kernel_h", 3}, {"kernel_w", 3}, {"stride_h", 1}, {"stride_w", 1}});
  add("3x2_uneven", {1, 7, 5, 7}, {{"kernel_h", 3}, {"kernel_w", 2}, {"stride_h", 1}, {"stride_w", 2}, {"pad_top", 2},
                                   {"pad_right", 1}});
}

inline OpTest max_pool_test() {
  OpTest t{"max_pool", {}, 1e-12};
  add_windows(t, Fill::Distinct);
  t.cases.push_back({"17x17", {{{1, 17, 17, 3}, Fill::Distinct}}, {{"kernel_h", 17}, {"kernel_w", 17}}, 1});
  return t;
}

inline OpTest avg_pool_test() {
  OpTest t{"avg_pool", {}, kReordered};
  add_windows(t, Fill::Normal);
  for (size_t i = 0, n = t.cases.size(); i < n; i++) {
    OpCase c = t.cases[i];
    c.label += "_without_pad";
    c.attributes["count_include_pad"] = 0;
    t.cases.push_back(c);
  }
  return t;
}

inline OpTest global_pool_test() {
  OpTest t{"global_pool", {}, kReordered};
  for (int max : {0, 1})
    for (int keep : {0, 1})
      t.cases.push_back({text(max ? "max" : "mean", keep ? "_keep" : ""),
                         {{{3, 7, 5, 17}, max ? Fill::Distinct : Fill::Normal}}, {{"max", max}, {"keep", keep}}, 3});
  t.cases.push_back({"one_position", {{{1, 1, 1, 33}}}, {}, 1});
  return t;
}

inline OpTest reshape_test() {
  OpTest t{"reshape", {}, 1e-12};
  t.cases.push_back({"flatten", {{{3, 7, 17}}}, {{"rank", 2}, {"d0", 0}, {"d1", -1}}, 3});
  t.cases.push_back({"split", {{{3, 7, 18}}}, {{"rank", 4}, {"d0", 0}, {"d1", 0}, {"d2", 3}, {"d3", 6}}, 3});
  return t;
}

inline OpTest transpose_test() {
  OpTest t{"transpose", {}, 1e-12};
  t.cases.push_back({"matrix", {{{7, 33}}}, {{"axis0", 1}, {"axis1", 0}}, 7});
  t.cases.push_back({"heads", {{{3, 7, 3, 17}}}, {{"axis0", 0}, {"axis1", 2}, {"axis2", 1}, {"axis3", 3}}, 3});
  t.cases.push_back({"negative", {{{3, 7, 5}}}, {{"axis0", -1}, {"axis1", 0}, {"axis2", -2}}, 3});
  return t;
}

inline OpTest concat_test() {
  OpTest t{"concat", {}, 1e-12};
  t.cases.push_back({"channels", {{{3, 5, 5, 17}}, {{3, 5, 5, 7}}}, {{"axis", -1}}, 3});
  t.cases.push_back({"three", {{{2, 3, 7}}, {{2, 1, 7}}, {{2, 5, 7}}}, {{"axis", 1}}, 2});
  t.cases.push_back({"one", {{{2, 3}}}, {{"axis", 0}}, 2});
  return t;
}

inline OpTest slice_test() {
  OpTest t{"slice", {}, 1e-12};
  t.cases.push_back({"middle", {{{3, 7, 17}}}, {{"axis", 1}, {"begin", 2}, {"end", 5}}, 3});
  t.cases.push_back({"last", {{{3, 7, 17}}}, {{"axis", -1}, {"begin", -3}}, 3});
  t.cases.push_back({"every_second", {{{3, 7, 7, 3}}}, {{"axis", 2}, {"step", 2}}, 3});
  return t;
}

inline OpTest pad_test() {
  OpTest t{"pad", {}, 1e-12};
  t.cases.push_back({"channels", {{{3, 5, 5, 16}}}, {{"axis", -1}, {"before", 8}, {"after", 9}}, 3});
  t.cases.push_back({"rows", {{{3, 5, 7}}}, {{"axis", 1}, {"after", 1}}, 3});
  return t;
}

inline OpTest dropout_test() {
  OpTest t{"dropout", {}, 1e-12};
  t.cases.push_back({"active", {{{3, 5, 17}}}, {{"rate", 0.3}, {"active", 1}}, 3});
  t.cases.push_back({"odd_sample", {{{7, 33}}}, {{"rate", 0.5}, {"active", 1}}, 7});
  t.cases.push_back({"per_sample", {{{17, 3, 7}}}, {{"rate", 0.4}, {"per_sample", 1}, {"active", 1}}, 17});
  t.cases.push_back({"all", {{{3, 7}}}, {{"rate", 1}, {"active", 1}}, 3});
  t.cases.push_back({"inactive", {{{3, 7}}}, {{"rate", 0.5}}, 3});
  return t;
}

inline OpTest embed_tokens_test() {
  OpTest t{"embed_tokens", {}, kReordered};
  t.cases.push_back({"class", {{{3, 7, 17}}, {{1, 1, 17}}, {{1, 8, 17}}}, {}, 3});
  t.cases.push_back({"three_in_front", {{{2, 5, 33}}, {{1, 3, 33}}, {{1, 8, 33}}}, {}, 2});
  t.cases.push_back({"one", {{{1, 1, 1}}, {{1, 1, 1}}, {{1, 2, 1}}}, {}, 1});
  t.cases.push_back({"long", {{{70, 5, 129}}, {{1, 1, 129}}, {{1, 6, 129}}}, {}, 70});
  return t;
}

inline OpTest softmax_test() {
  OpTest t{"softmax", {}, kReordered};
  for (int log : {0, 1})
    for (int64_t c : {1, 7, 33}) t.cases.push_back({text(log ? "log" : "", "c", c), {{{3, 5, c}}}, {{"log", log}}, 3});
  return t;
}

inline OpTest attention_test() {
  OpTest t{"attention", {}, kReordered};
  // [batch, queries, heads x size] and [batch, keys, heads x size]; keys 0: packed.
  auto add = [&](const char* label, int64_t batch, int64_t queries, int64_t keys, int64_t heads, int64_t size, Attributes attributes, bool padded) {
    const int64_t width = heads * size;
    attributes["heads"] = static_cast<double>(heads);
    OpCase c{label, {{{batch, queries, keys ? width : 3 * width}}, absent(), absent(), absent()}, std::move(attributes), int(batch)};
    if (keys) c.inputs[1] = c.inputs[2] = {{batch, keys, width}};
    if (padded) c.inputs[3] = {{batch}, Fill::Counts};  // the first sample has no key, the last more than there are
    t.cases.push_back(c);
  };
  add("packed", 2, 7, 0, 3, 5, {}, false);
  add("packed_one_token", 3, 1, 0, 1, 1, {}, false);
  add("packed_causal_padded", 3, 7, 0, 2, 17, {{"causal", 1}}, true);
  add("packed_197", 1, 197, 0, 1, 64, {}, false);
  add("packed_33_padded", 3, 33, 0, 1, 33, {}, true);
  add("packed_causal_129", 1, 129, 0, 2, 32, {{"causal", 1}}, false);
  add("packed_16_heads", 4, 250, 0, 4, 2, {}, false);
  add("packed_causal_16_heads", 4, 65, 0, 4, 3, {{"causal", 1}}, true);
  add("apart", 2, 5, 9, 2, 8, {}, false);
  add("apart_one_query", 2, 1, 65, 3, 16, {{"scale", 0.5}}, false);
  add("apart_two_keys", 2, 7, 2, 1, 7, {}, false);  // the gradients of one are 0, which leaves no relative error
  add("apart_padded", 3, 17, 7, 2, 3, {{"scale", 1}}, true);
  add("apart_causal_more_queries", 1, 19, 7, 1, 128, {{"causal", 1}}, false);
  add("apart_causal_more_keys_padded", 3, 7, 19, 1, 40, {{"causal", 1}}, true);
  add("packed_causal_padded_70", 2, 70, 0, 2, 40, {{"causal", 1}}, true);
  add("apart_padded_66", 2, 67, 66, 1, 96, {}, true);
  add("apart_1025_keys", 1, 3, 1025, 1, 9, {}, false);
  return t;
}

inline OpTest normalize_pictures_test() {
  OpTest t{"normalize_pictures", {}, 1e-12};
  auto add = [&](const char* label, Shape x, bool cut, Attributes attributes) {
    t.cases.push_back({label, {{x, Fill::Bytes}, {{x[3]}}, {{x[3]}}, cut ? Operand{{x[0], 3}, Fill::Windows} : absent()}, std::move(attributes), int(x[0])});
  };
  add("whole", {3, 7, 5, 3}, false, {});
  auto chosen = [&](const char* label, Shape x, int64_t count, Attributes attributes) {
    t.cases.push_back({label, {{x, Fill::Bytes}, {{x[3]}}, {{x[3]}}, {{count, 4}, Fill::Chosen}}, std::move(attributes), int(count)});
  };
  chosen("some_of_many", {5, 9, 8, 3}, 7, {{"height", 6}, {"width", 5}});
  chosen("one_of_few", {2, 4, 4, 1}, 1, {});
  add("one_pixel", {1, 1, 1, 1}, false, {});
  add("mirrored_and_moved", {7, 9, 8, 3}, true, {});
  add("cut_out", {5, 33, 31, 3}, true, {{"height", 17}, {"width", 15}});
  add("one_column", {5, 6, 6, 2}, true, {{"height", 5}, {"width", 1}});
  add("larger_than_the_picture", {3, 5, 6, 4}, true, {{"height", 11}, {"width", 9}});
  return t;
}

inline std::vector<OpTest> all_op_tests() {
  return {linear_test(), lora_linear_test(), matmul_test(), conv2d_test(), batch_norm_test(), layer_norm_test(), unary_test("relu"),
          unary_test("relu6"), unary_test("leaky_relu", {{"slope", 0.1}}), unary_test("sigmoid"), unary_test("silu"), gelu_test(),
          broadcast_test("add"), broadcast_test("multiply"), scale_test(), max_pool_test(), avg_pool_test(),
          global_pool_test(), reshape_test(), transpose_test(), concat_test(), slice_test(), pad_test(), dropout_test(), embed_tokens_test(),
          softmax_test(), attention_test(), softmax_cross_entropy_test(), linear_cross_entropy_test(), normalize_pictures_test(), elementwise_loss_test("bce_with_logits", Fill::Bits),
          elementwise_loss_test("mse", Fill::Normal), elementwise_loss_test("mae", Fill::Normal)};
}

// Inputs that have a gradient.
inline bool differentiable(const OpDef& op, const OpCase& c, size_t i) {
  if (!c.inputs[i].present || input_def(op, i).role == Role::Exact) return false;
  if (op.loss) return i < op.differentiable;
  return !(op.statistics && i >= 3);
}

// Every way in which gradients are asked for, without an epilogue.
inline std::vector<Variation> gradient_variations(const OpDef& op, const OpCase& c) {
  std::vector<bool> can;
  for (size_t i = 0; i < c.inputs.size(); i++) can.push_back(differentiable(op, c, i));
  auto modes = [&](GradMode mode, int only = -1) {
    std::vector<GradMode> m(c.inputs.size(), GradMode::Ignore);
    for (size_t i = 0; i < m.size(); i++)
      if (can[i] && (only < 0 || only == static_cast<int>(i))) m[i] = mode;
    return m;
  };
  if (std::find(can.begin(), can.end(), true) == can.end()) return {{"forward", {}}};
  std::vector<Variation> all;
  all.push_back({"overwrite", modes(GradMode::Overwrite)});
  all.push_back({"forward", {}});
  const bool several = !op.loss || op.differentiable > 1;
  if (several) all.push_back({"accumulate", modes(GradMode::Accumulate)});
  if (several && op.loss) all.back().modes[0] = GradMode::Overwrite;  // what a loss accumulates are parameters' gradients
  if (!op.loss) {
    all.push_back({"second_gradient", modes(GradMode::Overwrite)});
    all.back().second_gradient = true;
  }
  if (c.inputs.size() > 1 && several)
    for (size_t i = 0; i < can.size(); i++)
      if (can[i]) {
        all.push_back({text("only", i), modes(GradMode::Overwrite, static_cast<int>(i))});
        if (op.loss) continue;
        all.push_back({text("only", i, "_null"), modes(GradMode::Overwrite, static_cast<int>(i))});
        all.back().null_where_ignored = true;
      }
  std::vector<TensorType> types = types_of(op, c, DType::F64);
  if (op.loss || (op.pointwise && op.infer({attributes_of(op, c), types})[0].shape == c.inputs[0].shape)) {
    all.push_back({"in_place", modes(GradMode::Overwrite)});
    all.back().in_place = true;
  }
  if (op.name == "linear" || op.name == "lora_linear" || op.name == "conv2d") {
    all.push_back({"unpacked", modes(GradMode::Overwrite)});
    all.back().may_pack = false;
  }
  return all;
}

// Residual and activation fused into the operation.
inline std::vector<Variation> epilogue_variations(const OpDef& op, const OpCase& c) {
  std::vector<Variation> all;
  Variation plain = gradient_variations(op, c)[0];
  for (bool residual : {false, true})
    for (auto [activation, name] : {std::pair{Activation::None, "none"}, {Activation::Relu, "relu"}, {Activation::Relu6, "relu6"},
                                    {Activation::LeakyRelu, "leaky_relu"}, {Activation::Sigmoid, "sigmoid"}}) {
      Variation v = plain;
      v.epilogue.residual = residual;
      v.epilogue.activation = activation;
      v.epilogue.slope = activation == Activation::LeakyRelu ? 0.1f : 0;
      v.label = text("epilogue_", residual ? "residual_" : "", name);
      if (v.epilogue.any()) all.push_back(v);
      v.second_gradient = true;
      v.label += "_second_gradient";
      if (v.epilogue.any() && residual) all.push_back(v);
      v.signs = op.name == "batch_norm" && sign_activation(activation);
      v.second_gradient = residual;
      v.label = text("epilogue_", residual ? "residual_" : "", name, "_signs");
      if (v.signs) all.push_back(v);
    }
  return all;
}

}  // namespace graft::test
