// Operations that plans need beside the graph's own, and the packing of weights.
#include <cmath>
#include <cstring>

#include "kernels.h"
#include "onednn.h"

namespace graft::cpu {
namespace {

// w'[o, ...] = w[o, ...] * s[o], b'[o] = (b[o] - mean[o]) * s[o] + beta[o], s = gamma / sqrt(var + eps); in double, once a plan.
std::unique_ptr<Kernel> make_fold(const ServiceRequest& r) {
  enum { W, B, Gamma, Beta, Mean, Var };
  const int64_t outputs = r.inputs[W].shape[0], per_output = r.inputs[W].count() / outputs;
  const bool biased = r.inputs[B].shape.rank >= 0;
  const double eps = r.attributes.at("eps");
  return own("fold_batch_norm", 0, [=](const Args& a) {
    auto in = [&](int i) { return static_cast<const float*>(a.in[i]); };
    float *w = static_cast<float*>(a.out[0]), *b = static_cast<float*>(a.out[1]);
    for (int64_t o = 0; o < outputs; o++) {
      double s = in(Gamma)[o] / std::sqrt(in(Var)[o] + eps);
      for (int64_t i = o * per_output; i < (o + 1) * per_output; i++) w[i] = static_cast<float>(in(W)[i] * s);
      b[o] = static_cast<float>(((biased ? in(B)[o] : 0.0) - in(Mean)[o]) * s + in(Beta)[o]);
    }
  });
}

std::unique_ptr<Kernel> make_rows(const ServiceRequest& r) {
  const bool gather = r.service == Service::GatherRows;
  const TensorType& whole = gather ? r.inputs[0] : r.outputs[0];
  const size_t bytes = whole.bytes() / static_cast<size_t>(whole.shape[0]);
  auto rows = r.rows;
  return own(gather ? "gather_rows" : "scatter_rows", 0, [=](const Args& a) {
    char* live = static_cast<char*>(gather ? a.out[0] : a.in[0]);
    char* all = static_cast<char*>(gather ? a.in[0] : a.out[0]);
    for (auto [first, second] : rows) {
      size_t n = static_cast<size_t>(second - first) * bytes;
      if (gather) std::memcpy(live, all + static_cast<size_t>(first) * bytes, n);
      else std::memcpy(all + static_cast<size_t>(first) * bytes, live, n);
      live += n;
    }
  });
}

bool all_f32(const ServiceRequest& r) {
  for (const auto* list : {&r.inputs, &r.outputs})
    for (const TensorType& t : *list)
      if (t.shape.rank >= 0 && t.dtype != DType::F32) return false;
  return true;
}

std::unique_ptr<Kernel> make_convert(const TensorType& from, const TensorType& to) {
  const int64_t n = to.count();
  if (from.dtype == to.dtype) {
    const int64_t bytes = static_cast<int64_t>(to.bytes());
    return own("copy", 0, [=](const Args& a) { simd().copy(a.in[0], a.out[0], bytes); });
  }
  if (!storable(from.dtype) || !storable(to.dtype)) return nullptr;
  const Store a0 = store_of(from.dtype), b0 = store_of(to.dtype);
  return own("convert", 0, [=](const Args& a) { simd().convert(a0, a.in[0], b0, a.out[0], n); });
}

class Pack : public Kernel {
 public:
  Pack(const TensorType& plain, const PackSpec& spec) {
    Packed packed = read_layout(spec.layout);
    reorder_ = prepared_reorder(plain_view(plain.shape, plain.dtype, packed.form, packed.desc), packed.desc, false);
  }
  void run(const Args& a) const override { reorder_->run({a.in[0], a.out[0], a.scratch}); }
  std::string name() const override { return "onednn:" + reorder_->implementation(); }
  size_t scratch_bytes() const override { return reorder_->scratch_bytes(); }

 private:
  std::unique_ptr<Prepared> reorder_;
};

}  // namespace

std::unique_ptr<Kernel> make_service(const ServiceRequest& r) {
  switch (r.service) {
    case Service::Convert: return make_convert(r.inputs[0], r.outputs[0]);
    case Service::Sum: {
      for (const TensorType& t : r.inputs)
        if (t.dtype != r.outputs[0].dtype) return nullptr;
      if (!storable(r.outputs[0].dtype)) return nullptr;
      const Store type = store_of(r.outputs[0].dtype);
      const int count = static_cast<int>(r.inputs.size());
      const int64_t n = r.outputs[0].count();
      return own("sum", 0, [=](const Args& a) { simd().sum(type, a.in, count, a.out[0], n); });
    }
    case Service::Accumulate: {
      if (!all_f32(r)) return nullptr;
      const int64_t n = r.outputs[0].count();
      return own("accumulate", 0, [=](const Args& a) { simd().scale(Store::F32, a.in[0], a.out[0], 1, 0, n, true); });
    }
    case Service::Zero: {
      const int64_t bytes = static_cast<int64_t>(r.outputs[0].bytes());
      return own("zero", 0, [=](const Args& a) { simd().zero(a.out[0], bytes); });
    }
    case Service::FoldBatchNorm: return all_f32(r) ? make_fold(r) : nullptr;
    case Service::GatherRows: case Service::ScatterRows: return make_rows(r);
    case Service::Signs: {
      if (!storable(r.inputs[0].dtype)) return nullptr;
      const Store type = store_of(r.inputs[0].dtype);
      const int64_t n = r.inputs[0].count();
      const auto given = r.attributes.find("below");
      const float below = given == r.attributes.end() ? NAN : static_cast<float>(given->second);
      return own("signs", 0, [=](const Args& a) { simd().signs(type, a.in[0], below, static_cast<uint8_t*>(a.out[0]), n); });
    }
    case Service::MergeLowRank: return all_f32(r) ? make_merge(r) : nullptr;
  }
  return nullptr;
}

std::unique_ptr<Kernel> make_pack(const TensorType& plain, const PackSpec& spec) {
  if (spec.layout.empty()) return make_convert(plain, {spec.dtype, plain.shape});
  return std::make_unique<Pack>(plain, spec);
}

}  // namespace graft::cpu
