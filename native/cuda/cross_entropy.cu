// softmax_cross_entropy: loss, hit and gradient of a row by one block or, where it is short, one warp. The logits are read once, in
// pieces of 16 bytes, and kept in shared memory as they are stored; largest logit and sum of exponentials are carried along (Milakov and
// Gimelshein, arXiv 1805.02867), so that the gradient follows without another read, in place if asked. Of a row that is longer than
// shared memory only what does not fit is read again.
//   loss of a row = sum over k of share[k] (log_sum - x[k]), gradient[k] = factor (p[k] sum(share) - share[k])
// with share[k] = class weight[k] ((1 - s) target[k] + s / K) as in reference/losses.cpp.
#include "cross_entropy.h"
#include "cross_entropy_row.cuh"

namespace graft::cuda {

struct ClassShare {
  const int32_t* labels;  // null: soft targets
  const float* weight;
  int64_t ignore;
  int classes;
  __device__ double operator()(int64_t row, int& invalid) const {
    if (!labels) return 1;
    const int label = labels[row];
    if (label == ignore) return 0;
    if (label >= 0 && label < classes) return weight ? weight[label] : 1;
    invalid = 1;
    return 0;
  }
};

constexpr int kWarpThreads = 128;  // of a block whose warps take a row each

// kept: pieces of a row that shared memory holds.
template <class T, Shares kShares, bool kWarp>
__global__ void __launch_bounds__(kWarp ? kWarpThreads : 1024) cross_entropy(const __grid_constant__ CrossEntropy ce, const __grid_constant__ LossStep loss, int kept, const T* logits, T* gradient,
                                                      const LossNumbers* numbers, double* sums, float* correct) {
  GRAFT_SHARED_DYNAMIC(Piece<T>, memory);
  constexpr int kAtOnce = kShares == Shares::Given ? 1 : 4;  // pieces that a thread has under way
  const Team<kWarp> team;
  if (team.row >= ce.rows) return;
  const int rank = static_cast<int>(team.rank), size = static_cast<int>(team.size);
  const float weight = loss.row_weight(ce.first + team.row);
  const bool counts = weight != 0 && ce.counts(team.row);
  if (!counts) {
    for (int64_t k = team.row * ce.classes + rank; gradient && k < (team.row + 1) * ce.classes; k += size) gradient[k] = stored<T>(0);
    if (rank == 0) sums[team.row] = 0, correct[team.row] = 0;
    return;
  }
  const Row<T, kShares> row(ce, logits, team.row);
  const Division& d = row.d;
  Piece<T>* held = memory + (kWarp ? threadIdx.x / 32 * static_cast<unsigned>(kept) : 0u);
  float x_label = 0;
  if (kShares != Shares::Given && rank == 0) x_label = float_of(logits[team.row * ce.classes + row.label]);

  Online online = Online::nothing();
  const int cut = d.cut(team.rank);
  if (cut >= 0) {
    const Piece<T> p = row.cut(cut);
    if (cut < kept) held[cut] = p;
    row.take(online, p, cut);
  }
  int piece = d.first + rank;
  for (; piece + (kAtOnce - 1) * size < d.end; piece += kAtOnce * size) {
    Piece<T> p[kAtOnce];
#pragma unroll
    for (int u = 0; u < kAtOnce; u++) p[u] = row.whole(piece + u * size);
#pragma unroll
    for (int u = 0; u < kAtOnce; u++) {
      if (piece + u * size < kept) held[piece + u * size] = p[u];
      row.take(online, p[u], piece + u * size);
    }
  }
  for (; piece < d.end; piece += size) {
    const Piece<T> p = row.whole(piece);
    if (piece < kept) held[piece] = p;
    row.take(online, p, piece);
  }
  online = joined<kWarp>(online);

  int target = row.label;
  if (kShares == Shares::Given && ce.labels) target = ce.labels[team.row];
  if (kShares == Shares::Given && !ce.labels) {
    Online largest = Online::nothing();
    for (int k = rank; k < ce.classes; k += size) {
      const float t = ce.targets[team.row * ce.classes + k];
      if (t > largest.max) largest.max = t, largest.at = k;
    }
    target = joined<kWarp>(largest).at;
  }
  const float shares = kShares == Shares::Given ? online.shares : 1.f, base = online.base();
  if (rank == 0) {
    float crossed = online.crossed;
    if (kShares != Shares::Given) {
      crossed = kShares == Shares::Smoothed ? ce.even * online.crossed : 0;
      if (ce.hard != 0) crossed += ce.hard * (x_label - base);
    }
    sums[team.row] = static_cast<double>(weight) * (shares * logf(online.sum) - crossed);
    correct[team.row] = online.at == target ? weight : 0;
  }
  if (!gradient) return;
  const float factor = static_cast<float>(static_cast<double>(loss.step.loss_weight[loss.index]) * weight / numbers->divisor);
  const float up = factor * shares / online.sum;
  T* to = gradient + team.row * ce.classes - d.shift;
  const bool aligned = reinterpret_cast<uintptr_t>(to) % 16 == 0;
  if (cut >= 0) row.put(to, aligned, cut < kept ? held[cut] : row.cut(cut), cut, base, up, factor);
  for (piece = d.first + rank; piece < d.end; piece += size)
    row.put(to, aligned, piece < kept ? held[piece] : row.whole(piece), piece, base, up, factor);
}

namespace {

// How a row is shared out.
struct Teams {
  bool warps;
  int threads, kept;
  size_t shared;
};

template <class T>
Teams teams_for(const Device& d, int classes) {
  const int64_t pieces = classes / Piece<T>::kCount + 2;  // a misaligned row touches one more
  if (pieces <= 256) return {true, kWarpThreads, static_cast<int>(pieces), static_cast<size_t>(kWarpThreads / 32 * 16 * pieces)};
  const size_t reserved = 2048;  // the block's own parts
  const int64_t kept = std::min<int64_t>(pieces, static_cast<int64_t>(d.most_shared - reserved) / 16);
  // Two blocks of 512 fill a multiprocessor where their rows fit side by side; of a longer row one block of 1024 does.
  const int threads = pieces <= 1024 ? 256 : 16 * pieces <= static_cast<int64_t>(d.most_shared / 2 - reserved) ? 512 : 1024;
  return {false, threads, static_cast<int>(kept), static_cast<size_t>(16 * kept)};
}

template <class T, Shares kShares>
auto kernel_for(const Device& d, const Teams& t) {
  if (t.warps) return cross_entropy<T, kShares, true>;
  if (t.shared > (40 << 10)) {
    Current current(d.number);
    check(cudaFuncSetAttribute(cross_entropy<T, kShares, false>, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(d.most_shared - 2048)),
          "asking for more shared memory");
  }
  return cross_entropy<T, kShares, false>;
}

template <class T>
class Rows : public CrossEntropyRows {
 public:
  Rows(const Device& d, const CrossEntropyShape& s)
      : d_(d), shape_(s), teams_(teams_for<T>(d, static_cast<int>(s.classes))), kernel_(chosen(d, s, teams_)) {}

  void begin(const CrossEntropyRun& run) const override {
    const CrossEntropy ce = described(run, 0, shape_.rows);
    launch(loss_divisor<ClassShare>, {1, kThreads, 0, d_.stream}, step(run), shape_.rows, 1.0, ClassShare{ce.labels, ce.weight, ce.ignore, ce.classes}, memory(run).numbers);
  }
  void rows(const CrossEntropyRun& run, int64_t first, int64_t count, const void* logits, void* gradient) const override {
    const Memory m = memory(run);
    launch(kernel_, {teams_.warps ? ceil_div(count, teams_.threads / 32) : count, teams_.threads, teams_.shared, d_.stream}, described(run, first, count), step(run), teams_.kept,
           static_cast<const T*>(logits), static_cast<T*>(gradient), static_cast<const LossNumbers*>(m.numbers), m.sums + first, m.correct + first);
  }
  void end(const CrossEntropyRun& run) const override {
    const Memory m = memory(run);
    launch(loss_finish<float>, {1, kThreads, 0, d_.stream}, step(run), shape_.rows, static_cast<const double*>(m.sums), static_cast<const float*>(m.correct),
           static_cast<const LossNumbers*>(m.numbers), static_cast<float*>(run.out));
  }

 private:
  struct Memory {
    LossNumbers* numbers;
    double* sums;
    float* correct;
  };
  Memory memory(const CrossEntropyRun& run) const {
    Cut cut(run.scratch);
    LossNumbers* numbers = cut.take<LossNumbers>(1);
    double* sums = cut.take<double>(shape_.rows);
    return {numbers, sums, cut.take<float>(shape_.rows)};
  }
  LossStep step(const CrossEntropyRun& run) const { return {*run.step, shape_.index, shape_.rows / shape_.batch}; }
  // The rows from `first` on as the kernel sees them.
  CrossEntropy described(const CrossEntropyRun& run, int64_t first, int64_t count) const {
    CrossEntropy ce{};
    ce.classes = static_cast<int>(shape_.classes);
    ce.first = first;
    ce.rows = count;
    ce.ignore = shape_.ignore;
    ce.hard = static_cast<float>(1 - shape_.smoothing);
    ce.even = static_cast<float>(shape_.smoothing / ce.classes);
    ce.labels = shape_.soft ? nullptr : static_cast<const int32_t*>(run.target) + first;
    ce.targets = shape_.soft ? static_cast<const float*>(run.target) + first * shape_.classes : nullptr;
    ce.weight = shape_.weighted ? static_cast<const float*>(run.class_weight) : nullptr;
    return ce;
  }
  using Launched = void (*)(CrossEntropy, LossStep, int, const T*, T*, const LossNumbers*, double*, float*);
  static Launched chosen(const Device& d, const CrossEntropyShape& s, const Teams& t) {
    if (s.soft || s.weighted) return kernel_for<T, Shares::Given>(d, t);
    return s.smoothing != 0 ? kernel_for<T, Shares::Smoothed>(d, t) : kernel_for<T, Shares::Label>(d, t);
  }

  const Device& d_;
  CrossEntropyShape shape_;
  Teams teams_;
  Launched kernel_;
};

}  // namespace

CrossEntropyShape::CrossEntropyShape(const Request& r, int64_t rows, int64_t classes, size_t target, size_t class_weight)
    : rows(rows), classes(classes), batch(r.batch), ignore(r.call().integer("ignore_index")), smoothing(r.call().number("label_smoothing")),
      soft(r.inputs[target].dtype != DType::I32), weighted(r.call().has(class_weight)), index(r.loss_index) {}

size_t CrossEntropyShape::scratch_bytes() const {
  return aligned(sizeof(LossNumbers)) + aligned(8 * static_cast<size_t>(rows)) + aligned(4 * static_cast<size_t>(rows));
}

std::shared_ptr<const CrossEntropyRows> make_cross_entropy_rows(const Device& d, const CrossEntropyShape& s, DType type, DType target) {
  if (!storable(type) || (target != DType::I32 && target != DType::F32) || s.classes > 1 << 30) return nullptr;
  if (type == DType::BF16) return std::make_shared<Rows<Bf16>>(d, s);
  return std::make_shared<Rows<float>>(d, s);
}

std::unique_ptr<Kernel> make_cross_entropy(const Device& d, const Request& r) {
  enum { kLogits, kTarget, kClassWeight };
  if (r.outputs[0].dtype != DType::F32 || mode_of(r, kLogits) == GradMode::Accumulate) return nullptr;
  const int64_t classes = r.inputs[kLogits].shape[-1], rows = r.inputs[kLogits].count() / classes;
  const CrossEntropyShape shape(r, rows, classes, kTarget, kClassWeight);
  const auto loss = make_cross_entropy_rows(d, shape, r.inputs[kLogits].dtype, r.inputs[kTarget].dtype);
  if (!loss) return nullptr;
  const bool gradient = r.pass == Pass::Loss && wants(r, kLogits);
  return own(d, "softmax_cross_entropy", shape.scratch_bytes(), [=](const Args& a) {
    const CrossEntropyRun run{a.in[kTarget], shape.weighted ? a.in[kClassWeight] : nullptr, a.out[0], a.scratch, a.step};
    loss->begin(run);
    loss->rows(run, 0, rows, a.in[kLogits], gradient ? a.din[kLogits] : nullptr);
    loss->end(run);
  });
}

}  // namespace graft::cuda
