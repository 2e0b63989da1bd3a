// Cases of the services, run on any column.
#pragma once
#include "harness.h"

namespace graft::test {

struct ServiceCase {
  std::string label;
  ServiceRequest request;
  bool reads_result = false;  // out[0] holds values before
};

inline std::vector<ServiceCase> service_cases() {
  std::vector<ServiceCase> all;
  auto f32 = [](Shape s) { return TensorType{DType::F32, s}; };
  auto bf16 = [](Shape s) { return TensorType{DType::BF16, s}; };
  for (int64_t n : {1, 17, 1033}) {
    Shape s{n};
    all.push_back({text("convert_narrow", n), {Service::Convert, {f32(s)}, {bf16(s)}, {}, {}}});
    all.push_back({text("convert_wide", n), {Service::Convert, {bf16(s)}, {f32(s)}, {}, {}}});
    all.push_back({text("sum", n), {Service::Sum, {f32(s), f32(s)}, {f32(s)}, {}, {}}});
    all.push_back({text("sum_bf16_", n), {Service::Sum, {bf16(s), bf16(s), bf16(s)}, {bf16(s)}, {}, {}}});
    all.push_back({text("accumulate", n), {Service::Accumulate, {f32(s)}, {f32(s)}, {}, {}}, true});
    const TensorType bits{DType::U8, {sign_bytes(n)}};
    all.push_back({text("signs", n), {Service::Signs, {f32(s)}, {bits}, {}, {}}});
    all.push_back({text("signs_below_bf16_", n), {Service::Signs, {bf16(s)}, {bits}, {{"below", 0.5}}, {}}});
    all.push_back({text("zero", n), {Service::Zero, {}, {f32(s)}, {}, {}}});
  }
  all.push_back({"fold", {Service::FoldBatchNorm, {f32({7, 3, 3, 5}), f32({7}), f32({7}), f32({7}), f32({7}), f32({7})},
                          {f32({7, 3, 3, 5}), f32({7})}, {{"eps", 1e-3}}, {}}});
  TensorType none;
  none.shape.rank = -1;
  all.push_back({"fold_without_bias", {Service::FoldBatchNorm, {f32({17, 1, 1, 3}), none, f32({17}), f32({17}), f32({17}), f32({17})},
                                       {f32({17, 1, 1, 3}), f32({17})}, {{"eps", 1e-5}}, {}}});
  all.push_back({"gather", {Service::GatherRows, {f32({17, 7})}, {f32({8, 7})}, {}, {{1, 4}, {7, 8}, {13, 17}}}});
  all.push_back({"scatter", {Service::ScatterRows, {f32({8, 7})}, {f32({17, 7})}, {}, {{1, 4}, {7, 8}, {13, 17}}}, true});
  auto merge = [&](const char* label, Shape weight, int64_t rank, int64_t slices, int64_t width, int64_t start1) {
    for (DType type : {DType::F32, DType::BF16})
      for (DType factors : {DType::F32, type})
        if (type == DType::BF16 || factors == type)
          all.push_back({text(label, type == DType::F32 ? "" : factors == type ? "_bf16" : "_bf16_by_f32"),
                         {Service::MergeLowRank, {{factors, {slices * rank, weight[1]}}, {factors, {slices * width, rank}}}, {{type, weight}},
                          {{"factor", -0.75}, {"slices", slices}, {"width", width}, {"start0", slices - 1}, {"start1", start1}}, {}}, true});
  };
  merge("merge", {17, 33}, 3, 1, 17, 0);
  merge("merge_rank1", {1, 1}, 1, 1, 1, 0);
  merge("merge_blocks", {130, 150}, 33, 1, 130, 0);
  merge("merge_slices", {51, 70}, 8, 2, 17, 34);
  merge("merge_aligned", {64, 256}, 16, 1, 64, 0);
  return all;
}

// Values of input i, or what out[0] held before; statistics are positive.
inline std::vector<double> service_values(const ServiceCase& c, const TensorType& type, const std::string& what, uint64_t seed) {
  Random random(seed, c.label + what);
  std::vector<double> values(type.shape.rank < 0 ? 0 : type.count());
  for (double& v : values) v = c.request.service == Service::FoldBatchNorm ? random.uniform(0.5, 2) : random.normal();
  return values;
}

inline std::vector<std::vector<double>> run_service(Harness& harness, Column& column, const ServiceCase& c) {
  std::vector<Buffer> inputs, outputs;
  std::vector<void*> in, out;
  for (size_t i = 0; i < c.request.inputs.size(); i++) {
    const TensorType& type = c.request.inputs[i];
    inputs.emplace_back(column, type.shape.rank < 0 ? TensorType{DType::U8, {1}} : type,
                        service_values(c, type, "/in" + std::to_string(i), harness.seed()));
  }
  for (const TensorType& type : c.request.outputs) outputs.emplace_back(column, type);
  if (c.reads_result) outputs[0].write(service_values(c, c.request.outputs[0], "/before", harness.seed()));
  for (size_t i = 0; i < inputs.size(); i++) in.push_back(c.request.inputs[i].shape.rank < 0 ? nullptr : inputs[i].address());
  for (const Buffer& b : outputs) out.push_back(b.address());
  auto kernel = column.prepare(c.request);
  Buffer scratch(column, kernel->scratch_bytes());
  kernel->run(Args{in.data(), out.data(), nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, scratch.address(), nullptr});
  column.synchronize();
  std::vector<std::vector<double>> results;
  for (const Buffer& b : outputs) {
    harness.expect(b.intact() && scratch.intact(), kernel->name(), " wrote outside its operands");
    results.push_back(b.read());
  }
  return results;
}

struct OptimizerCase {
  std::string label;
  OptimizerRequest request;
  double clip = 0;
  bool masked_blocks = false;  // of every 8192 elements the first half is masked, and what belongs to them is NaN
};

// Three segments in two groups with a gap between them, one of them masked.
inline std::vector<OptimizerCase> optimizer_cases() {
  std::vector<OptimizerCase> all;
  OptimizerRequest base;
  base.elements = 1200;
  base.segments = {{0, 33, 0, -1}, {64, 1033, 1, 5}, {1104, 17, 0, -1}};
  for (auto [kind, name] : {std::pair{OptimizerKind::Sgd, "sgd"}, {OptimizerKind::Adam, "adam"}, {OptimizerKind::AdamW, "adamw"}})
    for (bool all_options : {false, true}) {
      OptimizerCase c{text(name, all_options ? "_clip_anchor_watch" : ""), base};
      c.request.kind = kind;
      c.request.clip = c.request.anchor = c.request.watch = all_options;
      c.clip = all_options ? 3 : 0;
      all.push_back(c);
      if (kind != OptimizerKind::Sgd) continue;
      c.request.momentum = 0.9;
      c.label += "_momentum";
      all.push_back(c);
      c.request.nesterov = true;
      c.label += "_nesterov";
      all.push_back(c);
    }
  for (auto [kind, name] : {std::pair{OptimizerKind::Sgd, "sgd"}, {OptimizerKind::AdamW, "adamw"}}) {
    OptimizerCase c{text(name, "_average_narrow"), base};
    c.request.kind = kind;
    c.request.average = 0.75;
    c.request.narrow = true;
    all.push_back(c);
  }
  // Whole chunks of a column's own size, some of them masked from end to end.
  OptimizerCase blocks{"adamw_masked_blocks", base};
  blocks.request.kind = OptimizerKind::AdamW;
  blocks.request.watch = blocks.request.clip = true;
  blocks.clip = 3;
  blocks.request.elements = 3 * 8192;
  blocks.request.segments = {{0, 3 * 8192, 0, 3}};
  blocks.masked_blocks = true;
  all.push_back(blocks);
  OptimizerCase loose = all[3];
  loose.label += "_never_reached";
  loose.clip = 1e6;
  all.push_back(loose);
  return all;
}

// State after `steps` updates: weights, moments, then gradient norm and watched sums of the last.
struct OptimizerState {
  std::vector<std::vector<double>> arrays;
  std::vector<double> sums;
  std::vector<double> mask;  // 1 where an element lives, per element of the arena
};

inline OptimizerState run_optimizer(Harness& harness, Column& column, const OptimizerCase& c, int steps) {
  int64_t n = c.request.elements;
  TensorType type{DType::F32, {n}};
  auto values = [&](const std::string& what) {
    Random random(harness.seed(), c.label + what);
    std::vector<double> v(n);
    for (double& x : v) x = random.normal();
    return v;
  };
  std::vector<double> bits(n / 8 + 2), zeros(n, 0);
  Random random(harness.seed(), "mask");
  for (double& b : bits) b = static_cast<double>(random.below(256));
  if (c.masked_blocks)
    for (size_t i = 0; i < bits.size(); i++)
      if (i % 1024 <= 512) bits[i] = 0;  // the bits begin within a byte
  OptimizerState state;
  state.mask.assign(n, 0);
  for (const Segment& s : c.request.segments)
    for (int64_t i = 0; i < s.count; i++) {
      int64_t bit = s.mask_offset + i;
      state.mask[s.offset + i] = s.mask_offset < 0 || (static_cast<int>(bits[bit / 8]) >> (bit % 8) & 1);
    }
  Buffer weights(column, type, values("/w")), anchor(column, type, values("/w")), first(column, type, zeros), second(column, type, zeros);
  Buffer average(column, type, values("/e")), narrow(column, {DType::BF16, {n}});
  Buffer mask(column, {DType::U8, {static_cast<int64_t>(bits.size())}}, bits);
  StepSizes sizes{2, 0, 1, static_cast<int>(c.request.segments.size())};
  Buffer block_memory(column, {DType::U8, {static_cast<int64_t>(StepBlock::bytes(sizes))}});
  StepBlock block = StepBlock::at(block_memory.address(), sizes);
  auto kernel = column.prepare(c.request);
  Buffer scratch(column, kernel->scratch_bytes());
  for (int step = 1; step <= steps; step++) {
    StepHeader header;
    header.update = step;
    header.clip_norm = static_cast<float>(c.clip);
    float rates[] = {0.1f, 0.02f}, decays[] = {0.01f, 0.1f}, pulls[] = {0.2f, 0.05f};
    column.copy_in(block.header, &header, sizeof header);
    column.copy_in(block.rate, rates, sizeof rates);
    column.copy_in(block.decay, decays, sizeof decays);
    column.copy_in(block.anchor, pulls, sizeof pulls);
    std::vector<double> drawn = values("/g" + std::to_string(step));
    for (int64_t i = 0; c.masked_blocks && i < n; i++)
      if (state.mask[i] == 0) drawn[i] = NAN;  // what is masked takes no part
    Buffer gradients(column, type, drawn);
    void* in[] = {gradients.address(), anchor.address(), nullptr, nullptr, nullptr, mask.address()};
    void* out[] = {weights.address(), first.address(), second.address(), average.address(), narrow.address()};
    kernel->run(Args{in, out, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, scratch.address(), &block});
    column.synchronize();
    harness.expect(gradients.intact() && scratch.intact(), kernel->name(), " wrote outside its operands");
  }
  harness.expect(weights.intact() && first.intact() && second.intact() && average.intact() && narrow.intact() && block_memory.intact(), "memory outside was written");
  state.arrays = {weights.read(), first.read(), second.read(), average.read()};
  if (c.request.narrow && steps > 0) {
    const std::vector<double> copy = narrow.read();
    for (int64_t i = 0; i < n; i++)
      harness.expect(state.mask[i] == 0 ? std::isnan(copy[i]) : copy[i] == rounded(state.arrays[0][i], DType::BF16), kernel->name(), ": the bf16 copy of weight ", i,
                     " is ", copy[i], ", the weight ", state.arrays[0][i]);
  }
  if (c.request.clip) {
    float norm;
    column.copy_out(&norm, block.gradient_norm, 4);
    state.sums.push_back(norm);
  }
  if (c.request.watch) {
    std::vector<double> watched(2 * c.request.segments.size());
    column.copy_out(watched.data(), block.update_norms, watched.size() * 8);
    state.sums.insert(state.sums.end(), watched.begin(), watched.end());
  }
  return state;
}

}  // namespace graft::test
