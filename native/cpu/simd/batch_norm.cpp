// Batch norm over x [rows, channels] (NHWC with rows = N * H * W).
//   y = (x - mean) * s + beta (+ residual, activation), s = gamma * rstd
// Backward, g = (dout + dout2) * activation'(y), n rows:
//   dbeta = sum g, dgamma = rstd * sum g (x - mean), dx = s * (g - dbeta / n - (x - mean) * rstd^2 * sum g (x - mean) / n)
// Two passes over memory each way: statistics and store; sums (with g stored where it is new) and dx. The second pass walks
// the rows backwards, so that it starts on what the first one left in the cache.
#include "reduce.h"

namespace graft::cpu::GRAFT_ISA_NAMESPACE {
namespace {

// Sums of x - first row and of its square: the shift keeps the variance exact where the mean is far from 0.
template <class T>
void statistics(const T* x, int64_t rows, int64_t channels, float* mean, float* variance, void* scratch) {
  float* shift = mean;
  for (int64_t c = 0; c < channels; c++) shift[c] = load(x + c);
  double* sums = static_cast<double*>(scratch);
  reduce_rows<2>(rows, channels, sums + 2 * channels, sums, [&](int64_t begin, int64_t end, float* sum) {
    float* square = sum + channels;
    int64_t r = begin;
    for (; r + 4 <= end; r += 4) {
      const T* p = x + r * channels;
#pragma omp simd
      for (int64_t c = 0; c < channels; c++) {
        float k = shift[c];
        float d0 = load(p + c) - k, d1 = load(p + channels + c) - k, d2 = load(p + 2 * channels + c) - k, d3 = load(p + 3 * channels + c) - k;
        sum[c] += (d0 + d1) + (d2 + d3);
        square[c] += (d0 * d0 + d1 * d1) + (d2 * d2 + d3 * d3);
      }
    }
    for (; r < end; r++) {
      const T* p = x + r * channels;
#pragma omp simd
      for (int64_t c = 0; c < channels; c++) {
        float d = load(p + c) - shift[c];
        sum[c] += d;
        square[c] += d * d;
      }
    }
  });
  for (int64_t c = 0; c < channels; c++) {
    double m = sums[c] / rows, v = sums[channels + c] / rows - m * m;
    mean[c] = static_cast<float>(shift[c] + m);
    variance[c] = static_cast<float>(v > 0 ? v : 0);
  }
}

// Rows that a thread takes at a time, about kBlock elements.
inline int64_t rows_at_once(int64_t channels) { return most<int64_t>(1, kBlock / channels); }

template <class F>
void over_rows_backwards(int64_t rows, int64_t channels, const F& f) {
  int64_t step = rows_at_once(channels), blocks = (rows + step - 1) / step;
  over_items(blocks, step * channels, [&](int64_t i) {
    int64_t b = blocks - 1 - i;
    f(b * step, least(rows, (b + 1) * step));
  });
}

template <class T, Function f, bool residual>
void apply_rows(const T* x, const T* added, T* y, int64_t rows, int64_t channels, const float* mean, const float* s, const float* t, float slope) {
  over_rows_backwards(rows, channels, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; r++) {
      const T* px = x + r * channels;
      const T* pa = added + r * channels;
      T* py = y + r * channels;
#pragma omp simd
      for (int64_t c = 0; c < channels; c++) {
        float v = (load(px + c) - mean[c]) * s[c] + t[c];
        if constexpr (residual) v += load(pa + c);
        store(py + c, apply<f>(v, slope));
      }
    }
  });
}

// Where the activation's slope comes from: its result, x once more, or signs of its result.
enum class Slope { Result, Again, Signs };

constexpr int64_t kSlopes = 256;

// The slopes of n <= kSlopes elements from number `first` on; reads up to 8 bytes from where the last bit lies.
inline void slopes_of(const uint8_t* signs, int64_t first, int64_t n, float low, float (&slopes)[kSlopes]) {
  for (int64_t i = 0; i < n; i += 32) {
    uint64_t word;
    __builtin_memcpy(&word, signs + (first + i) / 8, 8);
    const uint32_t bits = static_cast<uint32_t>(word >> (first + i) % 8);
#pragma omp simd
    for (int k = 0; k < 32; k++) slopes[i + k] = bits >> k & 1 ? 1.0f : low;
  }
}

// What one backward reduction is made of, as template parameters so that each loop has no branch: a second gradient, g
// stored, dx stored (frozen form), where the activation's slope is from. Every row is read before it is written: g and dx
// may lie on dout.
template <class T, Function f, Slope from, bool second, bool writes, bool frozen>
void reduce_gradient(const NormCall& call, double* sums, void* scratch) {
  const int64_t channels = call.channels;
  const T* dout = static_cast<const T*>(call.dout);
  const T* dout2 = static_cast<const T*>(call.dout2);
  const T* activated = static_cast<const T*>(call.activated);
  const T* x = call.x ? static_cast<const T*>(call.x) : dout;  // any row at hand where the sum with x is not wanted
  T* g = static_cast<T*>(call.g);
  T* dx = static_cast<T*>(call.dx);
  const float *scale = call.scale, *mean = call.mean, *slope_scale = call.slope_scale, *slope_shift = call.slope_shift;
  const float slope = call.tail.slope, low = call.tail.function == Function::LeakyRelu ? slope : 0;
  reduce_rows<2>(call.rows, channels, scratch, sums, [&](int64_t begin, int64_t end, float* sum) {
    float* product = sum + channels;
    for (int64_t r = begin; r < end; r++) {
      const int64_t at = r * channels, piece = from == Slope::Signs ? kSlopes : channels;
      for (int64_t start = 0; start < channels; start += piece) {
        const int64_t stop = least(channels, start + piece);
        float slopes[kSlopes];
        if constexpr (from == Slope::Signs) slopes_of(call.signs, call.first + at + start, stop - start, low, slopes);
#pragma omp simd
        for (int64_t c = start; c < stop; c++) {
          float v = load(dout + at + c);
          const float centred = load(x + at + c) - mean[c];
          if constexpr (second) v += load(dout2 + at + c);
          if constexpr (from == Slope::Signs) v *= slopes[c - start];
          else if constexpr (from == Slope::Again) v *= slope_at<f>(centred * slope_scale[c] + slope_shift[c], slope);
          else if constexpr (f != Function::None) v *= slope_at<f>(load(activated + at + c), slope);
          sum[c] += v;
          product[c] += v * centred;
          if constexpr (writes) store(g + at + c, v);
          if constexpr (frozen) store(dx + at + c, v * scale[c]);
        }
      }
    }
  });
}

template <bool b>
struct Flag {
  static constexpr bool value = b;
};

template <class T, Function f, Slope from = Slope::Result>
void choose_reduction(const NormCall& call, double* sums, void* scratch) {
  auto with = [&](auto second, auto writes, auto frozen) { reduce_gradient<T, f, from, second.value, writes.value, frozen.value>(call, sums, scratch); };
  auto third = [&](auto second, auto writes) { call.scale ? with(second, writes, Flag<true>()) : with(second, writes, Flag<false>()); };
  auto next = [&](auto second) { call.g ? third(second, Flag<true>()) : third(second, Flag<false>()); };
  call.dout2 ? next(Flag<true>()) : next(Flag<false>());
}

void norm_statistics(Store type, const void* x, int64_t rows, int64_t channels, float* mean, float* variance, void* scratch) {
  with_type(type, [&](auto t) {
    using T = decltype(t);
    statistics(static_cast<const T*>(x), rows, channels, mean, variance, scratch);
  });
}

void norm_apply(Store type, const void* x, const void* residual, void* y, int64_t rows, int64_t channels, const float* mean, const float* s, const float* t, Tail tail) {
  with_type(type, [&](auto e) {
    using T = decltype(e);
    with_function(tail.function, [&](auto f) {
      const T* a = static_cast<const T*>(x);
      const T* b = static_cast<const T*>(residual);
      T* out = static_cast<T*>(y);
      if (b) apply_rows<T, f.value, true>(a, b, out, rows, channels, mean, s, t, tail.slope);
      else apply_rows<T, f.value, false>(a, a, out, rows, channels, mean, s, t, tail.slope);
    });
  });
}

void norm_reduce(const NormCall& call, double* sums, void* scratch) {
  with_type(call.type, [&](auto e) {
    using T = decltype(e);
    if (call.signs) return choose_reduction<T, Function::None, Slope::Signs>(call, sums, scratch);
    switch (call.tail.function) {
      case Function::Relu: return call.slope_shift ? choose_reduction<T, Function::Relu, Slope::Again>(call, sums, scratch) : choose_reduction<T, Function::Relu>(call, sums, scratch);
      case Function::Relu6: return choose_reduction<T, Function::Relu6>(call, sums, scratch);
      case Function::LeakyRelu: return choose_reduction<T, Function::LeakyRelu>(call, sums, scratch);
      case Function::Sigmoid: return choose_reduction<T, Function::Sigmoid>(call, sums, scratch);
      default: return choose_reduction<T, Function::None>(call, sums, scratch);
    }
  });
}

void norm_combine(Store type, const void* g, const void* x, void* dx, int64_t rows, int64_t live, int64_t channels, const float* mean, const float* p, const float* q, const float* r) {
  with_type(type, [&](auto e) {
    using T = decltype(e);
    const T* a = static_cast<const T*>(g);
    const T* b = static_cast<const T*>(x);
    T* out = static_cast<T*>(dx);
    over_rows_backwards(rows, channels, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < least(end, live); row++) {
        int64_t at = row * channels;
#pragma omp simd
        for (int64_t c = 0; c < channels; c++) store(out + at + c, load(a + at + c) * p[c] + ((load(b + at + c) - mean[c]) * q[c] + r[c]));
      }
      int64_t dead = most(begin, live);
      if (dead < end) __builtin_memset(out + dead * channels, 0, (end - dead) * channels * sizeof(T));
    });
  });
}

}  // namespace

void add_batch_norm(Simd& table) {
  table.norm_statistics = norm_statistics;
  table.norm_apply = norm_apply;
  table.norm_reduce = norm_reduce;
  table.norm_combine = norm_combine;
}

}  // namespace graft::cpu::GRAFT_ISA_NAMESPACE
