// softmax_cross_entropy: loss, hit and gradient of a row by one block or, where it is short, one warp. The logits are read once, in
// pieces of 16 bytes, and kept in shared memory as they are stored; largest logit and sum of exponentials are carried along (Milakov and
// Gimelshein, arXiv 1805.02867), so that the gradient follows without another read, in place if asked. Of a row that is longer than
// shared memory only what does not fit is read again.
//   loss of a row = sum over k of share[k] (log_sum - x[k]), gradient[k] = factor (p[k] sum(share) - share[k])
// with share[k] = class weight[k] ((1 - s) target[k] + s / K) as in reference/losses.cpp.
#include "losses.cuh"

namespace graft::cuda {

enum { kLogits, kTarget, kClassWeight };

// What makes the shares: a label alone; a label and smoothing; soft targets or class weights.
enum class Shares { Label, Smoothed, Given };

struct CrossEntropy {
  int64_t rows, ignore;
  int classes;
  const int32_t* labels;  // null: soft targets
  const float *targets, *weight;
  float hard, even;  // 1 - s, s / K
  // Whether a row's label counts; soft targets always do.
  __device__ bool counts(int64_t row) const { return !labels || (labels[row] != ignore && labels[row] >= 0 && labels[row] < classes); }
  __device__ float share(int64_t row, int k) const {
    const float q = labels ? (k == labels[row] ? 1.f : 0.f) : targets[row * classes + k];
    return (weight ? weight[k] : 1.f) * (hard * q + even);
  }
};

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

template <class T>
struct alignas(16) Piece {
  static constexpr int kCount = 16 / sizeof(T);
  T v[kCount];
};

// How a row falls into pieces of aligned memory: element k of the row is element (k + shift) % kCount of piece (k + shift) / kCount.
// Pieces `first` up to `end` are whole; one before and one behind them may be cut.
struct Division {
  int shift, first, end, count;
  __device__ Division(int misaligned, int per_piece, int columns)
      : shift(misaligned), first(misaligned ? 1 : 0), end((misaligned + columns) / per_piece), count((misaligned + columns + per_piece - 1) / per_piece) {}
  // The piece that this thread takes beside its whole ones, -1: none.
  __device__ int cut(unsigned rank) const {
    if (rank == 0 && first == 1) return 0;
    return rank == 1 && count > end && count > first ? count - 1 : -1;
  }
};

constexpr float kLog2E = 1.44269504f;

// What is known of a part of a row: its largest element and where it first stands, and the sums of exp(x - base), of shares and
// of share * (x - base). The base is the largest element, and 0 as long as that is -infinity.
struct Online {
  float max, sum, shares, crossed;
  int at;
  __device__ __forceinline__ static Online nothing() { return {-INFINITY, 0, 0, 0, 0x7FFFFFFF}; }
  __device__ __forceinline__ float base() const { return max == -INFINITY ? 0.f : max; }
  // To another largest element, no smaller than this one's.
  __device__ __forceinline__ void rise(float to) {
    const float before = base();
    if (max > -INFINITY) sum *= exp2f((max - to) * kLog2E);
    max = to;
    if (shares != 0) crossed += shares * (before - base());
  }
  __device__ __forceinline__ void join(Online o) {
    if (o.max > max || (o.max == max && o.at < at)) at = o.at;
    const float top = fmaxf(max, o.max);
    rise(top);
    o.rise(top);
    sum += o.sum;
    shares += o.shares;
    crossed += o.crossed;
  }
  __device__ __forceinline__ Online from_lane(unsigned lane) const {
    Online o;
    o.max = __shfl_sync(kAllLanes, max, static_cast<int>(lane));
    o.sum = __shfl_sync(kAllLanes, sum, static_cast<int>(lane));
    o.shares = __shfl_sync(kAllLanes, shares, static_cast<int>(lane));
    o.crossed = __shfl_sync(kAllLanes, crossed, static_cast<int>(lane));
    o.at = __shfl_sync(kAllLanes, at, static_cast<int>(lane));
    return o;
  }
};

// Of all threads that work on a row; every thread gets the same bits.
template <bool kWarp>
__device__ __forceinline__ Online joined(Online mine) {
  const unsigned lane = threadIdx.x % 32;
  for (unsigned by = 16; by > 0; by /= 2) mine.join(mine.from_lane(lane ^ by));
  if (kWarp) {
    __syncwarp();  // all have read what they need of the row before it is written
    return mine.from_lane(0);
  }
  GRAFT_SHARED(Online, parts, 32);
  const unsigned warp = threadIdx.x / 32;
  __syncthreads();  // an earlier call's result has been read
  if (lane == 0) parts[warp] = mine;
  __syncthreads();
  if (warp == 0) {
    Online all = lane < blockDim.x / 32 ? parts[lane] : Online::nothing();
    for (unsigned by = 16; by > 0; by /= 2) all.join(all.from_lane(lane ^ by));
    if (lane == 0) parts[0] = all;
  }
  __syncthreads();
  return parts[0];
}

// One row as one thread sees it.
template <class T, Shares kShares>
struct Row {
  static constexpr int kPer = Piece<T>::kCount;
  const CrossEntropy& ce;
  int64_t row;
  int label;
  Division d;
  const T* x;  // where piece 0 begins, which may lie before the row

  __device__ Row(const CrossEntropy& ce, const T* logits, int64_t row)
      : ce(ce), row(row), label(kShares != Shares::Given ? ce.labels[row] : 0),
        d(static_cast<int>(reinterpret_cast<uintptr_t>(logits + row * ce.classes) % 16 / sizeof(T)), kPer, ce.classes), x(logits + row * ce.classes - d.shift) {}

  __device__ bool inside(int piece, int i) const { return piece * kPer + i >= d.shift && piece * kPer + i < d.shift + ce.classes; }
  __device__ Piece<T> whole(int piece) const { return *reinterpret_cast<const Piece<T>*>(x + static_cast<int64_t>(piece) * kPer); }
  __device__ Piece<T> cut(int piece) const {
    Piece<T> p;
#pragma unroll
    for (int i = 0; i < kPer; i++) p.v[i] = inside(piece, i) ? x[static_cast<int64_t>(piece) * kPer + i] : stored<T>(-INFINITY);
    return p;
  }

  __device__ __forceinline__ void take(Online& o, const Piece<T>& p, int piece) const {
    const int k0 = piece * kPer - d.shift;
    float v[kPer];
#pragma unroll
    for (int i = 0; i < kPer; i++) v[i] = float_of(p.v[i]);
    float top = v[0];
#pragma unroll
    for (int i = 1; i < kPer; i++) top = fmaxf(top, v[i]);
    if (top > o.max) {
      o.rise(top);
#pragma unroll
      for (int i = kPer - 1; i >= 0; i--)
        if (v[i] == top) o.at = k0 + i;
    }
    const float base = o.base(), offset = -base * kLog2E;
    float sum = 0, crossed = 0, shares = 0;
#pragma unroll
    for (int i = 0; i < kPer; i++) {
      sum += exp2f(fmaf(v[i], kLog2E, offset));
      if (kShares == Shares::Label || !inside(piece, i)) continue;
      const float share = kShares == Shares::Smoothed ? 1.f : ce.share(row, k0 + i);  // smoothed: the even part, scaled at the end
      shares += share;
      if (share != 0) crossed += share * (v[i] - base);
    }
    o.sum += sum;
    o.shares += shares;
    o.crossed += crossed;
  }

  // gradient = up * exp(x - base) - factor * share; `to` is where piece 0 begins.
  __device__ __forceinline__ void put(T* to, bool aligned, const Piece<T>& p, int piece, float base, float up, float factor) const {
    const int k0 = piece * kPer - d.shift;
    const float offset = -base * kLog2E;
    float v[kPer];
#pragma unroll
    for (int i = 0; i < kPer; i++) {
      v[i] = up * exp2f(fmaf(float_of(p.v[i]), kLog2E, offset));
      if (kShares == Shares::Smoothed) v[i] -= factor * ce.even;
      if (kShares == Shares::Given && inside(piece, i)) v[i] -= factor * ce.share(row, k0 + i);
    }
    if (kShares != Shares::Given && label >= k0 && label < k0 + kPer) {
#pragma unroll
      for (int i = 0; i < kPer; i++)
        if (k0 + i == label) v[i] -= factor * ce.hard;
    }
    write(to, aligned, piece, v);
  }
  __device__ __forceinline__ void write(T* to, bool aligned, int piece, const float (&v)[kPer]) const {
    Piece<T> p;
#pragma unroll
    for (int i = 0; i < kPer; i++) p.v[i] = stored<T>(v[i]);
    T* place = to + static_cast<int64_t>(piece) * kPer;
    if (aligned && piece >= d.first && piece < d.end) {
      *reinterpret_cast<Piece<T>*>(place) = p;
      return;
    }
#pragma unroll
    for (int i = 0; i < kPer; i++)
      if (inside(piece, i)) place[i] = p.v[i];
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
  const float weight = loss.row_weight(team.row);
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
std::unique_ptr<Kernel> typed(const Device& d, const Request& r) {
  CrossEntropy ce{};
  ce.classes = static_cast<int>(r.inputs[kLogits].shape[-1]);
  ce.rows = r.inputs[kLogits].count() / ce.classes;
  ce.ignore = r.call().integer("ignore_index");
  const double smoothing = r.call().number("label_smoothing");
  ce.hard = static_cast<float>(1 - smoothing);
  ce.even = static_cast<float>(smoothing / ce.classes);
  const bool soft = r.inputs[kTarget].dtype != DType::I32, weighted = r.call().has(kClassWeight), gradient = r.pass == Pass::Loss && wants(r, kLogits);
  const int64_t rows_per_sample = ce.rows / r.batch;
  const int index = r.loss_index;
  const Teams t = teams_for<T>(d, ce.classes);
  const auto kernel = soft || weighted ? kernel_for<T, Shares::Given>(d, t) : smoothing != 0 ? kernel_for<T, Shares::Smoothed>(d, t) : kernel_for<T, Shares::Label>(d, t);
  const size_t scratch = aligned(sizeof(LossNumbers)) + aligned(8 * static_cast<size_t>(ce.rows)) + aligned(4 * static_cast<size_t>(ce.rows));
  return own(d, "softmax_cross_entropy", scratch, [=, &d](const Args& a) {
    Cut cut(a.scratch);
    LossNumbers* numbers = cut.take<LossNumbers>(1);
    double* sums = cut.take<double>(ce.rows);
    float* correct = cut.take<float>(ce.rows);
    CrossEntropy c = ce;
    c.labels = soft ? nullptr : in<int32_t>(a, kTarget);
    c.targets = soft ? in<float>(a, kTarget) : nullptr;
    c.weight = weighted ? in<float>(a, kClassWeight) : nullptr;
    const LossStep loss{*a.step, index, rows_per_sample};
    launch(loss_divisor<ClassShare>, {1, kThreads, 0, d.stream}, loss, c.rows, 1.0, ClassShare{c.labels, c.weight, c.ignore, c.classes}, numbers);
    launch(kernel, {t.warps ? ceil_div(c.rows, t.threads / 32) : c.rows, t.threads, t.shared, d.stream}, c, loss, t.kept, in<T>(a, kLogits),
           gradient ? static_cast<T*>(a.din[kLogits]) : nullptr, static_cast<const LossNumbers*>(numbers), sums, correct);
    launch(loss_finish<float>, {1, kThreads, 0, d.stream}, loss, c.rows, static_cast<const double*>(sums), static_cast<const float*>(correct),
           static_cast<const LossNumbers*>(numbers), static_cast<float*>(a.out[0]));
  });
}

}  // namespace

std::unique_ptr<Kernel> make_cross_entropy(const Device& d, const Request& r) {
  const DType logits = r.inputs[kLogits].dtype, target = r.inputs[kTarget].dtype;
  if (!storable(logits) || r.outputs[0].dtype != DType::F32 || mode_of(r, kLogits) == GradMode::Accumulate) return nullptr;
  if ((target != DType::I32 && target != DType::F32) || r.inputs[kLogits].shape[-1] > 1 << 30) return nullptr;
  return logits == DType::BF16 ? typed<Bf16>(d, r) : typed<float>(d, r);
}

}  // namespace graft::cuda
