#include "form.h"

#include "params.h"
#include "run_kernel.h"

namespace graft {

std::string FormSpec::key(const Params& params) const {
  std::string k = kind == Kind::Plain ? "plain" : kind == Kind::Packed ? "packed" : text("folded eps=", eps);
  for (int s : sources) k += "|" + (s < 0 ? std::string() : params.name(s));
  return k + "|" + name_of(pack.dtype) + "|" + pack.layout;
}

size_t FormSpec::bytes(const Params& params) const {
  const Shape& weight = params.shape(sources[0]);
  size_t packed = pack.bytes ? pack.bytes : size_of(pack.dtype) * static_cast<size_t>(weight.count());
  return kind == Kind::Folded ? aligned(packed) + 4 * static_cast<size_t>(weight[0]) : packed;
}

Form::Form(Params& params, FormSpec spec) : spec_(std::move(spec)), bytes_(spec_.bytes(params)) {
  Column& column = *params.device().column;
  const TensorType weight{DType::F32, params.shape(spec_.sources[0])};
  if (spec_.kind == FormSpec::Kind::Folded) {
    const TensorType channel{DType::F32, Shape{weight.shape[0]}};
    bias_offset_ = bytes_ - channel.bytes();
    TensorType absent;
    absent.shape.rank = -1;
    ServiceRequest fold{Service::FoldBatchNorm,
                        {weight, spec_.sources[1] < 0 ? absent : channel, channel, channel, channel, channel},
                        {weight, channel},
                        {{"eps", spec_.eps}},
                        {}};
    fold_ = column.prepare(fold);
  }
  if (!spec_.pack.layout.empty() || spec_.pack.dtype != DType::F32) pack_ = column.prepare_pack(weight, spec_.pack);
}

bool Form::stale(const Params& params) const {
  if (built_from_.empty()) return true;
  for (size_t i = 0; i < spec_.sources.size(); i++)
    if (spec_.sources[i] >= 0 && params.version(spec_.sources[i]) != built_from_[i]) return true;
  return false;
}

void Form::build(Params& params) {
  Column& column = *params.device().column;
  if (!memory_) memory_ = Buffer(column, bytes_);
  const size_t weight_bytes = 4 * static_cast<size_t>(params.shape(spec_.sources[0]).count());
  Buffer plain;  // temporary: gone when the form stands
  void* weight = memory_.at(0);
  if (pack_) {
    plain = Buffer(column, weight_bytes);
    weight = plain.address();
  }
  params.load(spec_.sources[0], weight);
  if (fold_) {
    std::vector<Buffer> vectors;
    std::vector<void*> in{weight};
    for (size_t i = 1; i < spec_.sources.size(); i++) {
      int s = spec_.sources[i];
      vectors.emplace_back(column, s < 0 ? 0 : 4 * static_cast<size_t>(params.shape(s).count()));
      if (s >= 0) params.load(s, vectors.back().address());
      in.push_back(vectors.back().address());
    }
    run_kernel(column, *fold_, in, {weight, memory_.at(bias_offset_)});  // in place on the weight
  }
  if (pack_) run_kernel(column, *pack_, {weight}, {memory_.at(0)});
  column.synchronize();
  built_from_.clear();
  for (int s : spec_.sources) built_from_.push_back(s < 0 ? 0 : params.version(s));
}

}  // namespace graft
