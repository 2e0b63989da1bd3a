// Operations that plans need beside the graph's own.
#include <cmath>

#include "reference.h"

namespace graft::reference {
namespace {

using Loop = void (*)(const ServiceRequest&, const Args&);

In in(const ServiceRequest& r, const Args& a, size_t i) {
  return r.inputs[i].shape.rank >= 0 ? In{a.in[i], r.inputs[i].dtype} : In{};
}
Out out(const ServiceRequest& r, const Args& a, size_t i = 0) { return {a.out[i], r.outputs[i].dtype}; }

void convert(const ServiceRequest& r, const Args& a) {
  for (int64_t i = 0; i < r.outputs[0].count(); i++) out(r, a).put(i, in(r, a, 0)[i]);
}

void sum(const ServiceRequest& r, const Args& a) {
  for (int64_t i = 0; i < r.outputs[0].count(); i++) {
    double v = 0;
    for (size_t k = 0; k < r.inputs.size(); k++) v += in(r, a, k)[i];
    out(r, a).put(i, v);
  }
}

void accumulate(const ServiceRequest& r, const Args& a) {
  for (int64_t i = 0; i < r.outputs[0].count(); i++) out(r, a).put(i, out(r, a)[i] + in(r, a, 0)[i]);
}

void zero(const ServiceRequest& r, const Args& a) { std::memset(a.out[0], 0, r.outputs[0].bytes()); }

// w'[o, ...] = w[o, ...] * s[o], b'[o] = (b[o] - mean[o]) * s[o] + beta[o], s = gamma / sqrt(var + eps).
void fold_batch_norm(const ServiceRequest& r, const Args& a) {
  enum { W, B, Gamma, Beta, Mean, Var };
  int64_t channels = r.inputs[W].shape[0], per_channel = r.inputs[W].count() / channels;
  double eps = r.attributes.find("eps")->second;
  In bias = in(r, a, B);
  for (int64_t o = 0; o < channels; o++) {
    double s = in(r, a, Gamma)[o] / std::sqrt(in(r, a, Var)[o] + eps);
    for (int64_t i = o * per_channel; i < (o + 1) * per_channel; i++) out(r, a, 0).put(i, in(r, a, W)[i] * s);
    out(r, a, 1).put(o, ((bias ? bias[o] : 0) - in(r, a, Mean)[o]) * s + in(r, a, Beta)[o]);
  }
}

// Calls visit(element of the whole tensor, element of the live rows).
template <class Visit>
void over_rows(const ServiceRequest& r, const TensorType& whole, Visit visit) {
  int64_t per_row = whole.count() / whole.shape[0], live = 0;
  for (auto [first, second] : r.rows)
    for (int64_t i = first * per_row; i < second * per_row; i++) visit(i, live++);
}

void gather_rows(const ServiceRequest& r, const Args& a) {
  over_rows(r, r.inputs[0], [&](int64_t whole, int64_t live) { out(r, a).put(live, in(r, a, 0)[whole]); });
}

void scatter_rows(const ServiceRequest& r, const Args& a) {
  over_rows(r, r.outputs[0], [&](int64_t whole, int64_t live) { out(r, a).put(whole, in(r, a, 0)[live]); });
}

void signs(const ServiceRequest& r, const Args& a) {
  const auto given = r.attributes.find("below");
  const bool capped = given != r.attributes.end();
  uint8_t* bits = static_cast<uint8_t*>(a.out[0]);
  std::memset(bits, 0, static_cast<size_t>(r.inputs[0].count() + 7) / 8);
  for (int64_t i = 0; i < r.inputs[0].count(); i++)
    if (const double y = in(r, a, 0)[i]; y > 0 && (!capped || y < given->second)) bits[i / 8] |= static_cast<uint8_t>(1 << i % 8);
}

void merge_low_rank(const ServiceRequest& r, const Args& p) {
  auto attribute = [&](const std::string& key) { return r.attributes.find(key)->second; };
  const int64_t columns = r.outputs[0].shape[1], rank = r.inputs[1].shape[1], slices = static_cast<int64_t>(attribute("slices"));
  const int64_t width = r.inputs[1].shape[0] / slices;
  const In a = in(r, p, 0), b = in(r, p, 1);
  const Out w = out(r, p);
  for (int64_t row = 0; row < slices * width; row++) {
    const int64_t slice = row / width, start = static_cast<int64_t>(attribute(text("start", slice)));
    for (int64_t k = 0; k < columns; k++) {
      double sum = 0;
      for (int64_t j = 0; j < rank; j++) sum += b[row * rank + j] * a[(slice * rank + j) * columns + k];
      const int64_t at = (start + row % width) * columns + k;
      w.put(at, w[at] + attribute("factor") * sum);
    }
  }
}

class ServiceKernel : public Kernel {
 public:
  ServiceKernel(ServiceRequest request, Loop loop, const char* name) : request_(std::move(request)), loop_(loop), name_(name) {}
  void run(const Args& args) const override { loop_(request_, args); }
  std::string name() const override { return std::string("reference:") + name_; }

 private:
  ServiceRequest request_;
  Loop loop_;
  const char* name_;
};

}  // namespace

std::unique_ptr<Kernel> prepare_service(const ServiceRequest& request) {
  auto kernel = [&](Loop loop, const char* name) { return std::make_unique<ServiceKernel>(request, loop, name); };
  switch (request.service) {
    case Service::Convert: return kernel(convert, "convert");
    case Service::Sum: return kernel(sum, "sum");
    case Service::Accumulate: return kernel(accumulate, "accumulate");
    case Service::Zero: return kernel(zero, "zero");
    case Service::FoldBatchNorm: return kernel(fold_batch_norm, "fold_batch_norm");
    case Service::GatherRows: return kernel(gather_rows, "gather_rows");
    case Service::ScatterRows: return kernel(scatter_rows, "scatter_rows");
    case Service::Signs: return kernel(signs, "signs");
    case Service::MergeLowRank: return kernel(merge_low_rank, "merge_low_rank");
  }
  ensure(false, "unknown service ", static_cast<int>(request.service));
  return nullptr;
}

std::unique_ptr<Kernel> prepare_convert(const TensorType& from, const TensorType& to) {
  return prepare_service({Service::Convert, {from}, {to}, {}, {}});
}

}  // namespace graft::reference
