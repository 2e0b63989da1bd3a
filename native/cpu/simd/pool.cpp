// Windows over NHWC, channels innermost: pools, and the depthwise convolution's gradient of its source. Gradients are gathered: each position of x sums what its windows hand it, so nothing
// is cleared first and no two threads meet. Of equal values the first wins, a NaN wins over all, as in PyTorch.
#include "value.h"

namespace graft::cpu::GRAFT_ISA_NAMESPACE {
namespace {

constexpr int64_t kTile = 128;  // channels at a time

struct Span {
  int64_t begin, end;
};

// Taps of output p that lie inside x.
inline Span taps(int64_t p, int64_t stride, int64_t before, int64_t kernel, int64_t size) {
  int64_t start = p * stride - before;
  return {most<int64_t>(0, -start), least(kernel, size - start)};
}

// Outputs whose windows hold position i.
inline Span outputs(int64_t i, int64_t stride, int64_t before, int64_t kernel, int64_t result) {
  int64_t reach = i + before - kernel + stride;
  return {reach < 0 ? 0 : reach / stride, least(result, (i + before) / stride + 1)};
}

// f(n, p, q, first channel, channels) for each output, or each position of x: rows are what threads share.
template <class F>
inline void over_places(int64_t batch, int64_t height, int64_t width, int64_t channels, int64_t work, const F& f) {
  over_items(batch * height, width * channels * work, [&](int64_t row) {
    for (int64_t q = 0; q < width; q++)
      for (int64_t c = 0; c < channels; c += kTile) f(row / height, row % height, q, c, least(kTile, channels - c));
  });
}

template <class T, class P>
void max_forward(const Window& w, const T* x, T* y, P* position) {
  over_places(w.batch, w.out_height, w.out_width, w.channels, w.kernel_h * w.kernel_w, [&](int64_t n, int64_t p, int64_t q, int64_t c0, int64_t count) {
    float best[kTile];
    int32_t at[kTile];
    Span v = taps(p, w.stride_h, w.pad_top, w.kernel_h, w.height), h = taps(q, w.stride_w, w.pad_left, w.kernel_w, w.width);
    const int32_t first = static_cast<int32_t>(v.begin * w.kernel_w + h.begin);
    for (int64_t c = 0; c < count; c++) {
      best[c] = -__builtin_inff();
      at[c] = first;
    }
    for (int64_t r = v.begin; r < v.end; r++)
      for (int64_t t = h.begin; t < h.end; t++) {
        const int32_t tap = static_cast<int32_t>(r * w.kernel_w + t);
        const T* in = x + ((n * w.height + p * w.stride_h - w.pad_top + r) * w.width + q * w.stride_w - w.pad_left + t) * w.channels + c0;
#pragma omp simd
        for (int64_t c = 0; c < count; c++) {
          float value = load(in + c);
          const bool wins = !(value <= best[c]) & (best[c] == best[c]);  // a NaN is not at most anything
          best[c] = wins ? value : best[c];
          at[c] = wins ? tap : at[c];
        }
      }
    int64_t out = ((n * w.out_height + p) * w.out_width + q) * w.channels + c0;
#pragma omp simd
    for (int64_t c = 0; c < count; c++) store(y + out + c, best[c]);
    if (!position) return;
#pragma omp simd
    for (int64_t c = 0; c < count; c++) position[out + c] = static_cast<P>(at[c]);
  });
}

template <class T, class P>
void max_backward(const Window& w, const T* dout, const P* position, T* dx) {
  over_places(w.batch, w.height, w.width, w.channels, 4, [&](int64_t n, int64_t i, int64_t j, int64_t c0, int64_t count) {
    float sum[kTile];
    for (int64_t c = 0; c < count; c++) sum[c] = 0;
    Span v = outputs(i, w.stride_h, w.pad_top, w.kernel_h, w.out_height), h = outputs(j, w.stride_w, w.pad_left, w.kernel_w, w.out_width);
    for (int64_t p = v.begin; p < v.end; p++)
      for (int64_t q = h.begin; q < h.end; q++) {
        const int32_t mine = static_cast<int32_t>((i - p * w.stride_h + w.pad_top) * w.kernel_w + (j - q * w.stride_w + w.pad_left));
        const int64_t at = ((n * w.out_height + p) * w.out_width + q) * w.channels + c0;
        const T* g0 = dout + at;
        const P* at0 = position + at;
#pragma omp simd
        for (int64_t c = 0; c < count; c++) {
          const float g = load(g0 + c);  // read in any case: a read under a condition does not vectorise
          sum[c] += static_cast<int32_t>(at0[c]) == mine ? g : 0.f;
        }
      }
    T* out = dx + ((n * w.height + i) * w.width + j) * w.channels + c0;
#pragma omp simd
    for (int64_t c = 0; c < count; c++) store(out + c, sum[c]);
  });
}

// 1 / what the window of output (p, q) divides by.
inline float inverse_divisor(const Window& w, int64_t p, int64_t q) {
  int64_t top = p * w.stride_h - w.pad_top, left = q * w.stride_w - w.pad_left;
  int64_t high, wide;
  if (w.count_padding) {
    high = least(top + w.kernel_h, w.height + w.pad_bottom) - top;
    wide = least(left + w.kernel_w, w.width + w.pad_right) - left;
  } else {
    high = least(top + w.kernel_h, w.height) - most<int64_t>(top, 0);
    wide = least(left + w.kernel_w, w.width) - most<int64_t>(left, 0);
  }
  return 1.f / static_cast<float>(high * wide);
}

template <class T>
void average_forward(const Window& w, const T* x, T* y) {
  over_places(w.batch, w.out_height, w.out_width, w.channels, w.kernel_h * w.kernel_w, [&](int64_t n, int64_t p, int64_t q, int64_t c0, int64_t count) {
    float sum[kTile];
    for (int64_t c = 0; c < count; c++) sum[c] = 0;
    Span v = taps(p, w.stride_h, w.pad_top, w.kernel_h, w.height), h = taps(q, w.stride_w, w.pad_left, w.kernel_w, w.width);
    for (int64_t r = v.begin; r < v.end; r++)
      for (int64_t t = h.begin; t < h.end; t++) {
        const T* in = x + ((n * w.height + p * w.stride_h - w.pad_top + r) * w.width + q * w.stride_w - w.pad_left + t) * w.channels + c0;
#pragma omp simd
        for (int64_t c = 0; c < count; c++) sum[c] += load(in + c);
      }
    const float factor = inverse_divisor(w, p, q);
    T* out = y + ((n * w.out_height + p) * w.out_width + q) * w.channels + c0;
#pragma omp simd
    for (int64_t c = 0; c < count; c++) store(out + c, sum[c] * factor);
  });
}

template <class T>
void average_backward(const Window& w, const T* dout, T* dx) {
  over_places(w.batch, w.height, w.width, w.channels, 4, [&](int64_t n, int64_t i, int64_t j, int64_t c0, int64_t count) {
    float sum[kTile];
    for (int64_t c = 0; c < count; c++) sum[c] = 0;
    Span v = outputs(i, w.stride_h, w.pad_top, w.kernel_h, w.out_height), h = outputs(j, w.stride_w, w.pad_left, w.kernel_w, w.out_width);
    for (int64_t p = v.begin; p < v.end; p++)
      for (int64_t q = h.begin; q < h.end; q++) {
        const float factor = inverse_divisor(w, p, q);
        const T* in = dout + ((n * w.out_height + p) * w.out_width + q) * w.channels + c0;
#pragma omp simd
        for (int64_t c = 0; c < count; c++) sum[c] += load(in + c) * factor;
      }
    T* out = dx + ((n * w.height + i) * w.width + j) * w.channels + c0;
#pragma omp simd
    for (int64_t c = 0; c < count; c++) store(out + c, sum[c]);
  });
}

template <class T>
void depthwise_backward(const Window& w, const T* dout, const T* weight, T* dx) {
  over_places(w.batch, w.height, w.width, w.channels, w.kernel_h * w.kernel_w, [&](int64_t n, int64_t i, int64_t j, int64_t c0, int64_t count) {
    float sum[kTile];
    for (int64_t c = 0; c < count; c++) sum[c] = 0;
    Span v = outputs(i, w.stride_h, w.pad_top, w.kernel_h, w.out_height), h = outputs(j, w.stride_w, w.pad_left, w.kernel_w, w.out_width);
    for (int64_t p = v.begin; p < v.end; p++)
      for (int64_t q = h.begin; q < h.end; q++) {
        const int64_t tap = (i - p * w.stride_h + w.pad_top) * w.kernel_w + (j - q * w.stride_w + w.pad_left);
        const T* g = dout + ((n * w.out_height + p) * w.out_width + q) * w.channels + c0;
        const T* f = weight + tap * w.channels + c0;
#pragma omp simd
        for (int64_t c = 0; c < count; c++) sum[c] += load(g + c) * load(f + c);
      }
    T* out = dx + ((n * w.height + i) * w.width + j) * w.channels + c0;
#pragma omp simd
    for (int64_t c = 0; c < count; c++) store(out + c, sum[c]);
  });
}

void depthwise_data(const Window& w, const void* dout, const void* weight, void* dx) {
  with_type(w.type, [&](auto e) {
    using T = decltype(e);
    depthwise_backward(w, static_cast<const T*>(dout), static_cast<const T*>(weight), static_cast<T*>(dx));
  });
}

void max_pool(const Window& w, const void* x, void* y, void* position) {
  with_type(w.type, [&](auto e) {
    using T = decltype(e);
    if (w.wide_position) max_forward(w, static_cast<const T*>(x), static_cast<T*>(y), static_cast<int32_t*>(position));
    else max_forward(w, static_cast<const T*>(x), static_cast<T*>(y), static_cast<uint8_t*>(position));
  });
}

void max_pool_data(const Window& w, const void* dout, const void* position, void* dx) {
  with_type(w.type, [&](auto e) {
    using T = decltype(e);
    if (w.wide_position) max_backward(w, static_cast<const T*>(dout), static_cast<const int32_t*>(position), static_cast<T*>(dx));
    else max_backward(w, static_cast<const T*>(dout), static_cast<const uint8_t*>(position), static_cast<T*>(dx));
  });
}

void average_pool(const Window& w, const void* x, void* y) {
  with_type(w.type, [&](auto e) {
    using T = decltype(e);
    average_forward(w, static_cast<const T*>(x), static_cast<T*>(y));
  });
}

void average_pool_data(const Window& w, const void* dout, void* dx) {
  with_type(w.type, [&](auto e) {
    using T = decltype(e);
    average_backward(w, static_cast<const T*>(dout), static_cast<T*>(dx));
  });
}

}  // namespace

void add_pool(Simd& table) {
  table.max_pool = max_pool;
  table.max_pool_data = max_pool_data;
  table.average_pool = average_pool;
  table.average_pool_data = average_pool_data;
  table.depthwise_data = depthwise_data;
}

}  // namespace graft::cpu::GRAFT_ISA_NAMESPACE
