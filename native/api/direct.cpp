// The C interface to kernels on the caller's memory: numbers become core's calls.
#include "handles.h"

using namespace graft;
using namespace graft::api;

namespace {

DType float_type(const char* name, int32_t code) {
  require(code == GRAFT_F32 || code == GRAFT_BF16, name, " has the code ", code, "; expected that of F32 or BF16");
  return static_cast<DType>(code);
}

Activation activation_of(int32_t code) {
  switch (code) {
    case GRAFT_IDENTITY: return Activation::None;
    case GRAFT_RELU: return Activation::Relu;
    case GRAFT_SIGMOID: return Activation::Sigmoid;
    case GRAFT_GELU: return Activation::GeluExact;
    case GRAFT_GELU_TANH: return Activation::GeluTanh;
    case GRAFT_SILU: return Activation::Silu;
    default: throw Error(GRAFT_INVALID_ARGUMENT, text("no activation has the code ", code));
  }
}

OptimizerKind optimizer_of(int32_t code) {
  switch (code) {
    case GRAFT_SGD: return OptimizerKind::Sgd;
    case GRAFT_ADAM: return OptimizerKind::Adam;
    case GRAFT_ADAMW: return OptimizerKind::AdamW;
    default: throw Error(GRAFT_INVALID_ARGUMENT, text("no optimizer has the code ", code));
  }
}

Direct& direct_of(graft_device* device) { return checked(device, "device").device->direct; }

LowRankCall low_rank_call(int32_t type, int64_t rows, int64_t in, int64_t out, int64_t rank, double factor, int32_t slices, int64_t width,
                          const int64_t* starts, int64_t adapters, int64_t samples) {
  there(starts, "starts");
  require(slices >= 1 && slices <= 8, "slices are ", slices, "; expected 1 to 8");
  LowRankCall call{};
  call.type = float_type("type", type);
  call.rows = rows;
  call.in = in;
  call.out = out;
  call.rank = rank;
  call.width = width;
  call.factor = factor;
  call.starts.assign(starts, starts + slices);
  call.adapters = adapters;
  call.samples = samples;
  return call;
}

}  // namespace

extern "C" {

int32_t graft_matmul(graft_device* device, int64_t stream, int32_t flags, int32_t activation, double factor, int64_t batch, int64_t m, int64_t n,
                     int64_t k, int32_t type, int32_t result_type, int64_t a, int64_t a_count, int64_t a_row, int64_t a_step, int64_t b,
                     int64_t b_count, int64_t b_row, int64_t b_step, int64_t c, int64_t c_count, int64_t c_row, int64_t c_step, int64_t bias,
                     int64_t bias_count, int64_t residual, int64_t residual_count) {
  return guard([&] {
    require((flags & ~(GRAFT_TRANSPOSE_A | GRAFT_TRANSPOSE_B | GRAFT_ACCUMULATE)) == 0, "flags are ", flags, "; expected a set of 1, 2 and 4");
    const DType operand = float_type("type", type), result = float_type("result_type", result_type);
    ProductCall call{};
    call.transpose_a = flags & GRAFT_TRANSPOSE_A;
    call.transpose_b = flags & GRAFT_TRANSPOSE_B;
    call.accumulate = flags & GRAFT_ACCUMULATE;
    call.activation = activation_of(activation);
    call.factor = factor;
    call.batch = batch;
    call.m = m;
    call.n = n;
    call.k = k;
    call.a = {{"a", a, a_count, operand}, a_row, a_step};
    call.b = {{"b", b, b_count, operand}, b_row, b_step};
    call.c = {{"c", c, c_count, result}, c_row, c_step};
    call.bias = {"bias", bias, bias_count};
    call.residual = {"residual", residual, residual_count, result};
    direct_of(device).product(call, stream);
  });
}

int32_t graft_softmax_cross_entropy(graft_device* device, int64_t stream, int32_t type, int64_t rows, int64_t classes, double smoothing,
                                    int64_t ignored, double factor, double normalizer, int64_t logits, int64_t logits_count, int32_t target_type,
                                    int64_t target, int64_t target_count, int64_t class_weight, int64_t class_weight_count, int64_t gradient,
                                    int64_t gradient_count, int64_t results, int64_t results_count) {
  return guard([&] {
    require(target_type == GRAFT_I32 || target_type == GRAFT_F32, "target_type has the code ", target_type, "; expected that of I32 or F32");
    const DType stored = float_type("type", type);
    CrossEntropyCall call{};
    call.rows = rows;
    call.classes = classes;
    call.smoothing = smoothing;
    call.ignored = ignored;
    call.factor = factor;
    call.normalizer = normalizer;
    call.logits = {"logits", logits, logits_count, stored};
    call.target = {"target", target, target_count, static_cast<DType>(target_type)};
    call.class_weight = {"class_weight", class_weight, class_weight_count};
    call.gradient = {"gradient", gradient, gradient_count, stored};
    call.results = {"results", results, results_count};
    direct_of(device).cross_entropy(call, stream);
  });
}

int32_t graft_linear_cross_entropy(graft_device* device, int64_t stream, int32_t type, int64_t rows, int64_t features, int64_t classes, double smoothing,
                                   int64_t ignored, double factor, double normalizer, int64_t logits_bytes, int32_t accumulate, int64_t x,
                                   int64_t x_count, int64_t weight, int64_t weight_count, int64_t bias, int64_t bias_count, int32_t target_type,
                                   int64_t target, int64_t target_count, int64_t class_weight, int64_t class_weight_count, int64_t dx,
                                   int64_t dx_count, int64_t dweight, int64_t dweight_count, int64_t dbias, int64_t dbias_count, int64_t results,
                                   int64_t results_count) {
  return guard([&] {
    require(target_type == GRAFT_I32 || target_type == GRAFT_F32, "target_type has the code ", target_type, "; expected that of I32 or F32");
    LinearCrossEntropyCall call{};
    call.type = float_type("type", type);
    call.features = features;
    call.logits_bytes = logits_bytes;
    call.accumulate = accumulate != 0;
    call.x = {"x", x, x_count, call.type};
    call.weight = {"weight", weight, weight_count, call.type};
    call.bias = {"bias", bias, bias_count};
    call.dx = {"dx", dx, dx_count, call.type};
    call.dweight = {"dweight", dweight, dweight_count};
    call.dbias = {"dbias", dbias, dbias_count};
    CrossEntropyCall& loss = call.loss;
    loss.rows = rows;
    loss.classes = classes;
    loss.smoothing = smoothing;
    loss.ignored = ignored;
    loss.factor = factor;
    loss.normalizer = normalizer;
    loss.target = {"target", target, target_count, static_cast<DType>(target_type)};
    loss.class_weight = {"class_weight", class_weight, class_weight_count};
    loss.results = {"results", results, results_count};
    direct_of(device).linear_cross_entropy(call, stream);
  });
}

int32_t graft_optimizer_step(graft_device* device, int64_t stream, int32_t kind, double momentum, int32_t nesterov, double beta1, double beta2,
                             double eps, double rate, double decay, double anchor_strength, double clip, double average_decay, int64_t update,
                             int64_t count, const int64_t* ranges, int32_t range_count, int64_t weight, int64_t weight_count, int64_t gradient,
                             int64_t gradient_count, int64_t first, int64_t first_count, int64_t second, int64_t second_count, int64_t anchor,
                             int64_t anchor_count, int64_t mask, int64_t mask_count, int64_t norm, int64_t norm_count, int64_t average,
                             int64_t average_count, int64_t copy, int64_t copy_count) {
  return guard([&] {
    require(range_count >= 0 && (ranges || range_count == 0), "ranges are null or their count is negative");
    OptimizerCall call{};
    call.kind = optimizer_of(kind);
    call.momentum = momentum;
    call.nesterov = nesterov != 0;
    call.beta1 = beta1;
    call.beta2 = beta2;
    call.eps = eps;
    call.rate = rate;
    call.decay = decay;
    call.anchor_strength = anchor_strength;
    call.clip = clip;
    call.average_decay = average_decay;
    call.update = update;
    call.count = count;
    for (int32_t i = 0; i < range_count; i++) call.ranges.emplace_back(ranges[2 * i], ranges[2 * i + 1]);
    call.weight = {"weight", weight, weight_count};
    call.gradient = {"gradient", gradient, gradient_count};
    call.first = {"first", first, first_count};
    call.second = {"second", second, second_count};
    call.anchor = {"anchor", anchor, anchor_count};
    call.mask = {"mask", mask, mask_count, DType::U8};
    call.norm = {"norm", norm, norm_count};
    call.average = {"average", average, average_count};
    call.copy = {"copy", copy, copy_count, DType::BF16};
    direct_of(device).update(call, stream);
  });
}

int32_t graft_low_rank_merge(graft_device* device, int64_t stream, int32_t type, int64_t rows, int64_t columns, int64_t rank, double factor,
                             int32_t slices, int64_t width, const int64_t* starts, int64_t weight, int64_t weight_count, int64_t a, int64_t a_count,
                             int64_t b, int64_t b_count) {
  return guard([&] {
    there(starts, "starts");
    require(slices >= 1 && slices <= 8, "slices are ", slices, "; expected 1 to 8");
    const DType stored = float_type("type", type);
    MergeCall call{rows, columns, rank, width, factor, {starts, starts + slices}, {"weight", weight, weight_count, stored}, {"a", a, a_count, stored},
                   {"b", b, b_count, stored}};
    direct_of(device).merge(call, stream);
  });
}

int32_t graft_low_rank_forward(graft_device* device, int64_t stream, int32_t type, int64_t rows, int64_t in, int64_t out, int64_t rank, double factor,
                               int32_t slices, int64_t width, const int64_t* starts, int64_t adapters, int64_t samples, int64_t x, int64_t x_count,
                               int64_t weight, int64_t weight_count, int64_t bias, int64_t bias_count, int64_t a, int64_t a_count, int64_t b,
                               int64_t b_count, int64_t adapter, int64_t adapter_count, int64_t scales, int64_t scales_count, int64_t y,
                               int64_t y_count, int64_t t, int64_t t_count) {
  return guard([&] {
    LowRankCall call = low_rank_call(type, rows, in, out, rank, factor, slices, width, starts, adapters, samples);
    call.x = {"x", x, x_count, call.type};
    call.weight = {"weight", weight, weight_count, call.type};
    call.bias = {"bias", bias, bias_count};
    call.a = {"a", a, a_count, call.type};
    call.b = {"b", b, b_count, call.type};
    call.adapter = {"adapter", adapter, adapter_count, DType::I32};
    call.scales = {"scales", scales, scales_count};
    call.y = {"y", y, y_count, call.type};
    call.t = {"t", t, t_count};
    direct_of(device).low_rank(call, stream);
  });
}

int32_t graft_low_rank_backward(graft_device* device, int64_t stream, int32_t type, int64_t rows, int64_t in, int64_t out, int64_t rank,
                                double factor, int32_t slices, int64_t width, const int64_t* starts, int64_t adapters, int64_t samples,
                                int32_t accumulate, int64_t x, int64_t x_count, int64_t weight, int64_t weight_count, int64_t a, int64_t a_count,
                                int64_t b, int64_t b_count, int64_t adapter, int64_t adapter_count, int64_t scales, int64_t scales_count, int64_t t,
                                int64_t t_count, int64_t dy, int64_t dy_count, int64_t dx, int64_t dx_count, int64_t da, int64_t da_count, int64_t db,
                                int64_t db_count) {
  return guard([&] {
    LowRankCall call = low_rank_call(type, rows, in, out, rank, factor, slices, width, starts, adapters, samples);
    call.backward = true;
    call.accumulate = accumulate != 0;
    call.x = {"x", x, x_count, call.type};
    call.weight = {"weight", weight, weight_count, call.type};
    call.a = {"a", a, a_count, call.type};
    call.b = {"b", b, b_count, call.type};
    call.adapter = {"adapter", adapter, adapter_count, DType::I32};
    call.scales = {"scales", scales, scales_count};
    call.t = {"t", t, t_count};
    call.dy = {"dy", dy, dy_count, call.type};
    call.dx = {"dx", dx, dx_count, call.type};
    call.da = {"da", da, da_count};
    call.db = {"db", db, db_count};
    direct_of(device).low_rank(call, stream);
  });
}

}  // extern "C"
