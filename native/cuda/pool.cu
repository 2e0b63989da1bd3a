// max_pool, avg_pool, global_pool: NHWC, so neighbouring threads take neighbouring channels. Every gradient is gathered from the
// windows that hold a position.
#include "reduce.cuh"

namespace graft::cuda {

// One axis of the windows, as reference/pool.cpp lays them.
struct PoolAxis {
  Divisor size;
  int64_t kernel;
  Divisor stride;
  int64_t before, after;
  Divisor result;
  __device__ int64_t start(int64_t p) const { return p * stride - before; }
  __device__ int64_t first(int64_t i) const {  // of the outputs whose windows hold position i
    const int64_t from = i + before - kernel;
    return from < 0 ? 0 : from / stride + 1;
  }
  __device__ int64_t last(int64_t i) const {
    const int64_t p = (i + before) / stride;
    return p < result - 1 ? p : result - 1;
  }
  __device__ int64_t extent(int64_t p, bool include_pad) const {
    int64_t from = start(p), to = from + kernel;
    const int64_t end = size + (include_pad ? after : 0);
    if (to > end) to = end;
    if (!include_pad && from < 0) from = 0;
    return to - from;
  }
};

struct Windows {
  PoolAxis h, w;
  Divisor channels;
  bool include_pad;
  __device__ float divisor(int64_t p, int64_t q) const { return static_cast<float>(h.extent(p, include_pad) * w.extent(q, include_pad)); }
};

// Of equal values the first wins; a NaN wins over all.
__device__ __forceinline__ bool beats(float v, float best) { return v > best || (isnan(v) && !isnan(best)); }

template <class T, class Position>
struct MaxForward {
  Windows m;
  const T* x;
  T* y;
  Position* positions;
  __device__ void operator()(int64_t at) const {
    const int64_t c = at % m.channels, q = at / m.channels % m.w.result, p = at / m.channels / m.w.result % m.h.result;
    const int64_t n = at / m.channels / m.w.result / m.h.result;
    float best = 0;
    int64_t position = -1;
    for (int64_t r = 0; r < m.h.kernel; r++)
      for (int64_t t = 0; t < m.w.kernel; t++) {
        const int64_t i = m.h.start(p) + r, j = m.w.start(q) + t;
        if (i < 0 || i >= m.h.size || j < 0 || j >= m.w.size) continue;
        const float v = float_of(x[((n * m.h.size + i) * m.w.size + j) * m.channels + c]);
        if (position >= 0 && !beats(v, best)) continue;
        best = v;
        position = r * m.w.kernel + t;
      }
    y[at] = stored<T>(best);
    positions[at] = static_cast<Position>(position);
  }
};

template <class T>
struct AvgForward {
  Windows m;
  const T* x;
  T* y;
  __device__ void operator()(int64_t at) const {
    const int64_t c = at % m.channels, q = at / m.channels % m.w.result, p = at / m.channels / m.w.result % m.h.result;
    const int64_t n = at / m.channels / m.w.result / m.h.result;
    float sum = 0;
    for (int64_t r = 0; r < m.h.kernel; r++)
      for (int64_t t = 0; t < m.w.kernel; t++) {
        const int64_t i = m.h.start(p) + r, j = m.w.start(q) + t;
        if (i < 0 || i >= m.h.size || j < 0 || j >= m.w.size) continue;
        sum += float_of(x[((n * m.h.size + i) * m.w.size + j) * m.channels + c]);
      }
    y[at] = stored<T>(sum / m.divisor(p, q));
  }
};

// Without positions: of the mean.
template <class T, class Position>
struct PoolBackward {
  Windows m;
  Incoming<T> g;
  const Position* positions;
  Gradient<T> dx;
  __device__ void operator()(int64_t at) const {
    const int64_t c = at % m.channels, j = at / m.channels % m.w.size, i = at / m.channels / m.w.size % m.h.size;
    const int64_t n = at / m.channels / m.w.size / m.h.size;
    float sum = 0;
    for (int64_t p = m.h.first(i); p <= m.h.last(i); p++)
      for (int64_t q = m.w.first(j); q <= m.w.last(j); q++) {
        const int64_t window = ((n * m.h.result + p) * m.w.result + q) * m.channels + c;
        if (!positions) sum += g(window) / m.divisor(p, q);
        else if (positions[window] == static_cast<Position>((i - m.h.start(p)) * m.w.kernel + j - m.w.start(q))) sum += g(window);
      }
    dx.put(at, sum);
  }
};

template <class T>
struct GlobalMax {
  const T* x;
  T* y;
  int32_t* positions;
  int64_t count;
  Divisor channels;
  __device__ void operator()(int64_t at) const {
    const int64_t n = at / channels, c = at % channels;
    float best = 0;
    int64_t position = -1;
    for (int64_t i = 0; i < count; i++) {
      const float v = float_of(x[(n * count + i) * channels + c]);
      if (position >= 0 && !beats(v, best)) continue;
      best = v;
      position = i;
    }
    y[at] = stored<T>(best);
    positions[at] = static_cast<int32_t>(position);
  }
};

template <class T>
struct PositionValue {
  const T* x;
  int64_t count, channels;
  __device__ void operator()(int64_t n, int64_t i, int64_t c, float (&v)[1]) const { v[0] = float_of(x[(n * count + i) * channels + c]); }
};
template <class T>
struct PutMean {
  T* y;
  double count;
  __device__ void operator()(int64_t i, const double (&sums)[1]) const { y[i] = stored<T>(static_cast<float>(sums[0] / count)); }
};

template <class T>
struct GlobalBackward {
  Incoming<T> g;
  const int32_t* positions;
  Gradient<T> dx;
  Divisor count, channels;
  __device__ void operator()(int64_t at) const {
    const int64_t c = at % channels, i = at / channels % count, n = at / channels / count;
    const float v = g(n * channels + c);
    dx.put(at, !positions ? v / static_cast<float>(count) : positions[n * channels + c] == i ? v : 0);
  }
};

namespace {

PoolAxis axis(const Request& r, int d, const char* kernel, const char* stride, const char* before, const char* after) {
  const int64_t k = r.call().integer(kernel), s = r.call().integer(stride);
  return {r.inputs[0].shape[d], k, s == 0 ? k : s, r.call().integer(before), r.call().integer(after), r.outputs[0].shape[d]};
}

template <class T, class Position>
std::unique_ptr<Kernel> windows(const Device& d, const Request& r) {
  const bool max = r.name() == "max_pool";
  const Windows m{axis(r, 1, "kernel_h", "stride_h", "pad_top", "pad_bottom"), axis(r, 2, "kernel_w", "stride_w", "pad_left", "pad_right"),
                  r.inputs[0].shape[3], !max && r.call().integer("count_include_pad") != 0};
  const int64_t inputs = r.inputs[0].count(), outputs = r.outputs[0].count();
  if (r.pass == Pass::Forward)
    return own(d, r.name(), 0, [=, &d](const Args& a) {
      if (max) over_all(d, outputs, MaxForward<T, Position>{m, in<T>(a, 0), static_cast<T*>(a.out[0]), static_cast<Position*>(a.out[1])});
      else over_all(d, outputs, AvgForward<T>{m, in<T>(a, 0), static_cast<T*>(a.out[0])});
    });
  return own(d, r.name(), 0, [=, &d](const Args& a) {
    const PoolBackward<T, Position> f{m, incoming<T>(r, a), static_cast<const Position*>(max ? a.out[1] : nullptr), gradient_of<T>(r, a, 0)};
    if (f.dx.address) over_all(d, inputs, f);
  });
}

template <class T>
std::unique_ptr<Kernel> whole(const Device& d, const Request& r) {
  const Shape& x = r.inputs[0].shape;
  const int64_t samples = x[0], count = x[1] * x[2], channels = x[3];
  const bool max = r.call().integer("max") != 0;
  if (r.pass == Pass::Backward)
    return own(d, "global_pool", 0, [=, &d](const Args& a) {
      const GlobalBackward<T> f{incoming<T>(r, a), static_cast<const int32_t*>(max ? a.out[1] : nullptr), gradient_of<T>(r, a, 0), count, channels};
      if (f.dx.address) over_all(d, samples * count * channels, f);
    });
  if (max)
    return own(d, "global_pool", 0, [=, &d](const Args& a) {
      over_all(d, samples * channels, GlobalMax<T>{in<T>(a, 0), static_cast<T*>(a.out[0]), static_cast<int32_t*>(a.out[1]), count, channels});
    });
  const SumShape s(samples, count, channels);
  return own(d, "global_pool", s.scratch(1), [=, &d](const Args& a) {
    middle_sums<1>(d, s, static_cast<float*>(a.scratch), PositionValue<T>{in<T>(a, 0), count, channels},
                   PutMean<T>{static_cast<T*>(a.out[0]), static_cast<double>(count)});
  });
}

}  // namespace

std::unique_ptr<Kernel> make_pool(const Device& d, const Request& r) {
  if (!same_storage(r) || r.epilogue.any()) return nullptr;
  const bool narrow = r.outputs[0].dtype == DType::BF16;
  if (r.name() == "global_pool") return narrow ? whole<Bf16>(d, r) : whole<float>(d, r);
  if (r.outputs.size() > 1 && r.outputs[1].dtype == DType::I32) return narrow ? windows<Bf16, int32_t>(d, r) : windows<float, int32_t>(d, r);
  return narrow ? windows<Bf16, uint8_t>(d, r) : windows<float, uint8_t>(d, r);
}

}  // namespace graft::cuda
