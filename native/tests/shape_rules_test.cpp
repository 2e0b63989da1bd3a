// Shape rules: results as PyTorch's, and messages that name the thing, the expected and the actual.
#include "harness.h"
#include "op.h"

using namespace graft;
using namespace graft::test;

namespace {

TensorType f32(Shape shape) { return {DType::F32, shape}; }

const TensorType kNone = [] {
  TensorType none;
  none.shape.rank = -1;
  return none;
}();

std::vector<TensorType> infer(const char* name, std::vector<TensorType> inputs, Attributes attributes = {}) {
  const OpDef* op = find_op(name);
  require(op, "there is no operation ", name);
  inputs.resize(std::max(inputs.size(), op->inputs.size()), kNone);
  for (const AttributeDef& a : op->attributes) attributes.emplace(a.name, a.fallback);
  return op->infer({attributes, inputs});
}

struct Good {
  const char* op;
  std::vector<TensorType> inputs;
  Attributes attributes;
  Shape result;
};

struct Bad {
  const char* op;
  std::vector<TensorType> inputs;
  Attributes attributes;
  const char* message;
};

const std::vector<Good> kGood = {
    {"linear", {f32({2, 5, 3}), f32({4, 3})}, {}, {2, 5, 4}},
    {"lora_linear", {f32({2, 5, 3}), f32({4, 3}), kNone, f32({2, 3}), f32({4, 2})}, {{"factor", 1}}, {2, 5, 4}},
    {"lora_linear", {f32({2, 5, 3}), f32({9, 3}), kNone, f32({6, 4, 3}), f32({6, 6, 2}), kNone, {DType::I32, {2}}, f32({6})},
     {{"factor", 1}, {"slices", 2}, {"width", 3}, {"start1", 6}}, {2, 5, 9}},
    {"matmul", {f32({2, 1, 3, 5}), f32({7, 5, 4})}, {}, {2, 7, 3, 4}},
    {"conv2d", {f32({2, 224, 224, 3}), f32({64, 7, 7, 3})},
     {{"stride_h", 2}, {"stride_w", 2}, {"pad_top", 3}, {"pad_left", 3}, {"pad_bottom", 3}, {"pad_right", 3}}, {2, 112, 112, 64}},
    {"max_pool", {f32({1, 7, 7, 2})}, {{"kernel_h", 2}, {"kernel_w", 2}, {"stride_h", 3}, {"stride_w", 3}, {"ceil_mode", 1}}, {1, 3, 3, 2}},
    {"max_pool", {f32({1, 6, 6, 2})}, {{"kernel_h", 3}, {"kernel_w", 3}, {"stride_h", 2}, {"stride_w", 2}}, {1, 2, 2, 2}},
    {"max_pool", {f32({1, 5, 5, 2})},  // the third window would start in the padding behind
     {{"kernel_h", 2}, {"kernel_w", 2}, {"stride_h", 3}, {"stride_w", 3}, {"pad_bottom", 1}, {"pad_right", 1}, {"ceil_mode", 1}}, {1, 2, 2, 2}},
    {"global_pool", {f32({3, 7, 7, 5})}, {}, {3, 5}},
    {"reshape", {f32({4, 6, 2})}, {{"rank", 3}, {"d0", 0}, {"d1", 3}, {"d2", -1}}, {4, 3, 4}},
    {"transpose", {f32({4, 6, 2})}, {{"axis0", 2}, {"axis1", 0}, {"axis2", 1}}, {2, 4, 6}},
    {"slice", {f32({4, 7})}, {{"axis", 1}, {"begin", 1}, {"end", -1}, {"step", 2}}, {4, 3}},
    {"pad", {f32({4, 7})}, {{"axis", -1}, {"before", 1}, {"after", 2}}, {4, 10}},
    {"concat", {f32({4, 7}), f32({4, 1}), f32({4, 2})}, {{"axis", -1}}, {4, 10}},
    {"add", {f32({3, 1, 5}), f32({4, 1})}, {}, {3, 4, 5}},
    {"linear_cross_entropy", {f32({2, 5, 3}), f32({4, 3}), f32({4}), {DType::I32, {2, 5}}}, {}, {1}},
    {"attention", {f32({2, 7, 18})}, {{"heads", 3}}, {2, 7, 6}},
    {"attention", {f32({2, 1025, 6}), f32({2, 9, 6}), f32({2, 9, 6}), {DType::I32, {2}}}, {{"heads", 3}}, {2, 1025, 6}},
};

// Inputs of lora_linear on x [2, 3, 3] and weight [5, 3].
std::vector<TensorType> lora(Shape a, Shape b, TensorType z = kNone, TensorType adapter = kNone, TensorType scales = kNone) {
  return {f32({2, 3, 3}), f32({5, 3}), f32({5}), f32(a), f32(b), z, adapter, scales};
}

const std::vector<Bad> kBad = {
    {"linear", {f32({2, 3}), f32({5, 4})}, {}, "x [2, 3] has 3 features, weight [5, 4] expects 4"},
    {"linear", {f32({2, 4}), f32({5, 4}), f32({4})}, {}, "bias must be [5], got [4]"},
    {"lora_linear", lora({3, 3}, {5, 2}), {{"factor", 1}}, "a must be [2, 3] for 1 slices of rank 2 (the last axis of b [5, 2]) over 3 features, got [3, 3]"},
    {"lora_linear", lora({2, 3}, {4, 2}), {{"factor", 1}}, "b must be [5, 2] for 1 slices of 5 columns, got [4, 2]"},
    {"lora_linear", lora({2, 3}, {2, 5, 2}), {{"factor", 1}}, "a and b must have two axes, got [2, 3] and [2, 5, 2]"},
    {"lora_linear", lora({2, 3}, {5, 2}, kNone, {DType::I32, {2}}), {{"factor", 1}}, "a and b must have three axes, the adapter's first"},
    {"lora_linear", lora({2, 2, 3}, {3, 5, 2}, kNone, {DType::I32, {2}}), {{"factor", 1}}, "b must be [2, 5, 2]"},
    {"lora_linear", lora({2, 2, 3}, {2, 5, 2}, kNone, {DType::I32, {4}}), {{"factor", 1}}, "one number per sample of the 6 rows, got i32 [4]"},
    {"lora_linear", lora({2, 2, 3}, {2, 5, 2}, kNone, f32({2})), {{"factor", 1}}, "got f32 [2]"},
    {"lora_linear", lora({2, 2, 3}, {2, 5, 2}, kNone, {DType::I32, {2}}, f32({3})), {{"factor", 1}}, "scales must be [2], got [3]"},
    {"lora_linear", lora({2, 3}, {5, 2}, kNone, kNone, f32({1})), {{"factor", 1}}, "scales are per adapter and need adapter"},
    {"lora_linear", lora({2, 3}, {5, 2}, f32({2, 3})), {{"factor", 1}}, "z must be as x [2, 3, 3], got [2, 3]"},
    {"lora_linear", lora({2, 3}, {5, 2}), {{"factor", NAN}}, "factor must be finite, got nan"},
    {"lora_linear", lora({2, 3}, {5, 2}), {{"factor", 1}, {"slices", 9}}, "slices must lie in 1..8, got 9"},
    {"lora_linear", lora({2, 3}, {5, 2}), {{"factor", 1}, {"width", 6}}, "width must lie in 0..5, got 6"},
    {"lora_linear", lora({4, 3}, {4, 2}), {{"factor", 1}, {"slices", 2}, {"width", 2}, {"start1", 1}}, "slice 1 is columns 1..2 behind column 1"},
    {"lora_linear", lora({2, 3}, {2, 2}), {{"factor", 1}, {"width", 2}, {"start0", 4}}, "within the 5 columns, but slice 0 is columns 4..5"},
    {"lora_linear", {f32({2, 4}), f32({5, 3}), kNone, f32({1, 3}), f32({5, 1})}, {{"factor", 1}}, "x [2, 4] has 4 features, weight [5, 3] expects 3"},
    {"matmul", {f32({2, 3}), f32({4, 5})}, {}, "a [2, 3] is summed over 3 elements, b [4, 5] over 4"},
    {"matmul", {f32({2, 2, 3}), f32({3, 3, 5})}, {}, "leading axes must be equal or 1, got [2, 2, 3] and [3, 3, 5]"},
    {"conv2d", {f32({1, 8, 8, 256}), f32({64, 3, 3, 128})}, {}, "has 256 channels a group, weight [64, 3, 3, 128] expects 128"},
    {"conv2d", {f32({1, 2, 8, 3}), f32({4, 3, 3, 3})}, {}, "a kernel of extent 3 does not fit into 2 padded positions"},
    {"conv2d", {f32({1, 8, 8, 3}), f32({4, 3, 3, 3})}, {{"stride_h", 0}}, "stride_h must be at least 1, got 0"},
    {"conv2d", {f32({1, 8, 8, 3}), f32({4, 3, 3, 3})}, {{"groups", 2}}, "2 groups must divide the 3 channels"},
    {"batch_norm", {f32({2, 8}), f32({8}), f32({8}), f32({7}), f32({8})}, {}, "running_mean must be [8]"},
    {"layer_norm", {f32({2, 8}), f32({4})}, {}, "weight must be [8] as the last axis of x [2, 8], got [4]"},
    {"leaky_relu", {f32({2})}, {{"slope", -1}}, "slope must not be negative, got -1"},
    {"add", {f32({2, 3}), f32({2})}, {}, "got [2, 3] and [2]"},
    {"max_pool", {f32({1, 4, 4, 1})}, {{"kernel_h", 2}, {"kernel_w", 2}, {"pad_top", 2}}, "pad_top must lie in 0..kernel_h - 1 = 1"},
    {"max_pool", {f32({1, 1, 4, 1})}, {{"kernel_h", 2}, {"kernel_w", 2}}, "does not fit into 1 padded positions"},
    {"reshape", {f32({4, 6})}, {{"rank", 2}, {"d0", 5}, {"d1", -1}}, "the 24 elements of x [4, 6] cannot be divided by 5"},
    {"reshape", {f32({4, 6})}, {{"rank", 2}, {"d0", 5}, {"d1", 5}}, "has 24 elements, [5, 5] has 25"},
    {"transpose", {f32({4, 6})}, {{"axis0", 1}, {"axis1", 1}}, "is named twice"},
    {"concat", {f32({4, 6}), f32({3, 6})}, {{"axis", 1}}, "input 1 is [3, 6], but input 0 is [4, 6]"},
    {"slice", {f32({4, 6})}, {{"axis", 1}, {"begin", 2}, {"end", 9}}, "must be a part of the 6 positions of axis 1"},
    {"slice", {f32({4, 6})}, {{"axis", 2}}, "axis must lie in -2..1, got 2"},
    {"dropout", {f32({4})}, {{"rate", 1.5}}, "rate must lie in 0..1, got 1.5"},
    {"dropout", {f32({4})}, {{"rate", 0.5}, {"per_sample", 2}}, "per_sample must be 0 or 1, got 2"},
    {"embed_tokens", {f32({2, 9, 4}), f32({1, 1, 4}), f32({1, 9, 4})}, {}, "position must be [1, 10, 4] for 1 tokens in front of x [2, 9, 4], got [1, 9, 4]"},
    {"embed_tokens", {f32({2, 9, 4}), f32({2, 1, 4}), f32({1, 10, 4})}, {}, "token must be [1, P, 4], got [2, 1, 4]"},
    {"softmax_cross_entropy", {f32({4, 3}), {DType::I32, {5}}}, {}, "i32 targets must be [4] for logits [4, 3], got [5]"},
    {"softmax_cross_entropy", {f32({4, 3}), {DType::U8, {4}}}, {}, "target must be i32 [4] or f32 [4, 3], got u8 [4]"},
    {"linear_cross_entropy", {f32({4, 3}), f32({5, 2}), kNone, {DType::I32, {4}}}, {}, "x [4, 3] has 3 features, weight [5, 2] expects 2"},
    {"linear_cross_entropy", {f32({4, 3}), f32({5, 3}), f32({4}), {DType::I32, {4}}}, {}, "bias must be [5], got [4]"},
    {"linear_cross_entropy", {f32({4, 3}), f32({5, 3}), kNone, {DType::I32, {5}}}, {}, "i32 targets must be [4] for logits [4, 5], got [5]"},
    {"linear_cross_entropy", {f32({4, 3}), f32({5, 3}), kNone, f32({4, 3})}, {}, "target must be i32 [4] or f32 [4, 5], got f32 [4, 3]"},
    {"linear_cross_entropy", {f32({4, 3}), f32({5, 3}), kNone, {DType::I32, {4}}, f32({3})}, {}, "class_weight must be [5], got [3]"},
    {"linear_cross_entropy", {f32({4, 3}), f32({5, 3}), kNone, {DType::I32, {4}}}, {{"logits_bytes", 0}}, "logits_bytes must be at least 1, got 0"},
    {"attention", {f32({2, 7})}, {{"heads", 1}}, "query must be [batch, tokens, width], got [2, 7]"},
    {"attention", {f32({2, 7, 20})}, {{"heads", 2}}, "the width of the packed query [2, 7, 20] must be a multiple of 3 * 2 heads"},
    {"attention", {f32({2, 7, 8}), f32({2, 5, 8}), f32({2, 5, 8})}, {{"heads", 3}}, "the width of query [2, 7, 8] must be a multiple of 3 heads"},
    {"attention", {f32({2, 7, 8}), f32({2, 5, 8})}, {{"heads", 2}}, "only key came"},
    {"attention", {f32({2, 7, 8}), f32({3, 5, 8}), f32({3, 5, 8})}, {{"heads", 2}}, "key must be [2, keys, 8] for query [2, 7, 8], got [3, 5, 8]"},
    {"attention", {f32({2, 7, 8}), f32({2, 5, 8}), f32({2, 6, 8})}, {{"heads", 2}}, "value must be as key [2, 5, 8], got [2, 6, 8]"},
    {"attention", {f32({2, 7, 8}), f32({2, 5, 8}), f32({2, 5, 8}), f32({2})}, {{"heads", 2}}, "keys must be i32 [2], got f32 [2]"},
    {"attention", {f32({2, 7, 6})}, {{"heads", 0}}, "heads must be at least 1, got 0"},
    {"attention", {f32({2, 7, 6})}, {{"heads", 2}, {"causal", 2}}, "causal must be 0 or 1, got 2"},
    {"attention", {f32({2, 7, 6})}, {{"heads", 2}, {"scale", -1}}, "scale must be a positive number, or 0 for 1 / sqrt(head size), got -1"},
    {"mse", {f32({4, 3}), f32({4})}, {}, "target must be as x [4, 3], got [4]"},
};

}  // namespace

int main(int argc, char** argv) {
  Harness harness(argc, argv);
  for (const Good& g : kGood)
    harness.test(text("result of ", g.op, " on ", g.inputs[0].shape.str()), [&] {
      Shape shape = infer(g.op, g.inputs, g.attributes)[0].shape;
      harness.expect(shape == g.result, "expected ", g.result.str(), ", got ", shape.str());
    });
  for (const Bad& b : kBad)
    harness.test(text("error of ", b.op, ": ", b.message), [&] {
      harness.expect_error(b.message, [&] { infer(b.op, b.inputs, b.attributes); });
    });
  return harness.finish();
}
