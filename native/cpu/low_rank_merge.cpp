// W += factor * B A on each slice of the weight's rows, in one pass over them.
#include "kernels.h"

namespace graft::cpu {

std::unique_ptr<Kernel> make_merge(const ServiceRequest& r) {
  constexpr int64_t kRows = 32;  // of the weight, that a thread takes at a time
  const int64_t columns = r.outputs[0].shape[1], rank = r.inputs[1].shape[1];
  const int64_t slices = static_cast<int64_t>(r.attributes.at("slices")), width = r.inputs[1].shape[0] / slices, pieces = (width + kRows - 1) / kRows;
  std::vector<int64_t> starts;
  for (int64_t i = 0; i < slices; i++) starts.push_back(static_cast<int64_t>(r.attributes.at(text("start", i))));
  LowRankAdd whole{};
  whole.t_step = rank;
  whole.columns = whole.u_step = whole.base_step = whole.out_step = columns;
  whole.rank = rank;
  whole.factor = static_cast<float>(r.attributes.at("factor"));
  return own("merge_low_rank", 0, [=](const Args& p) {
    const float *a = static_cast<const float*>(p.in[0]), *b = static_cast<const float*>(p.in[1]);
    float* weight = static_cast<float*>(p.out[0]);
#pragma omp parallel for schedule(static)
    for (int64_t piece = 0; piece < slices * pieces; piece++) {
      const int64_t slice = piece / pieces, first = piece % pieces * kRows;
      LowRankAdd add = whole;
      add.rows = std::min(kRows, width - first);
      add.t = b + (slice * width + first) * rank;
      add.u = a + slice * rank * columns;
      add.out = weight + (starts[slice] + first) * columns;
      add.base = static_cast<const float*>(add.out);
      simd().low_rank_add(add);
    }
  });
}

}  // namespace graft::cpu
