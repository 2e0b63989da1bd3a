// Element by element: y may be x, dx may be dout.
#include "value.h"

namespace graft::cpu::GRAFT_ISA_NAMESPACE {
namespace {

void convert(Store from, const void* x, Store to, void* y, int64_t n) {
  with_type(from, [&](auto a) {
    with_type(to, [&](auto b) {
      const auto* in = static_cast<const decltype(a)*>(x);
      auto* out = static_cast<decltype(b)*>(y);
      over_elements(n, [&](int64_t begin, int64_t end) {
#pragma omp simd
        for (int64_t i = begin; i < end; i++) store(out + i, load(in + i));
      });
    });
  });
}

void zero(void* x, int64_t bytes) {
  over_elements(bytes, [&](int64_t begin, int64_t end) { __builtin_memset(static_cast<char*>(x) + begin, 0, end - begin); });
}

void copy(const void* x, void* y, int64_t bytes) {
  if (x == y) return;
  over_elements(bytes, [&](int64_t begin, int64_t end) { __builtin_memcpy(static_cast<char*>(y) + begin, static_cast<const char*>(x) + begin, end - begin); });
}

template <class T>
void add_two(const T* a, const T* b, T* y, int64_t n) {
  over_elements(n, [&](int64_t begin, int64_t end) {
#pragma omp simd
    for (int64_t i = begin; i < end; i++) store(y + i, load(a + i) + load(b + i));
  });
}

void sum(Store type, const void* const* x, int count, void* y, int64_t n) {
  with_type(type, [&](auto e) {
    using T = decltype(e);
    T* out = static_cast<T*>(y);
    if (count == 2) return add_two(static_cast<const T*>(x[0]), static_cast<const T*>(x[1]), out, n);
    over_elements(n, [&](int64_t begin, int64_t end) {
      // 64 elements at a time in float, so that y may be any of the inputs and nothing is rounded in between.
      for (int64_t at = begin; at < end; at += 64) {
        float s[64];
        int64_t m = least<int64_t>(64, end - at);
        for (int64_t i = 0; i < m; i++) s[i] = 0;
        for (int k = 0; k < count; k++) {
          const T* p = static_cast<const T*>(x[k]) + at;
#pragma omp simd
          for (int64_t i = 0; i < m; i++) s[i] += load(p + i);
        }
#pragma omp simd
        for (int64_t i = 0; i < m; i++) store(out + at + i, s[i]);
      }
    });
  });
}

void scale(Store type, const void* x, void* y, float factor, float offset, int64_t n, bool accumulate) {
  with_type(type, [&](auto e) {
    using T = decltype(e);
    const T* in = static_cast<const T*>(x);
    T* out = static_cast<T*>(y);
    over_elements(n, [&](int64_t begin, int64_t end) {
      if (accumulate) {
#pragma omp simd
        for (int64_t i = begin; i < end; i++) store(out + i, load(out + i) + (load(in + i) * factor + offset));
      } else {
#pragma omp simd
        for (int64_t i = begin; i < end; i++) store(out + i, load(in + i) * factor + offset);
      }
    });
  });
}

void forward(Function f, float slope, Store type, const void* x, void* y, int64_t n) {
  with_type(type, [&](auto e) {
    using T = decltype(e);
    const T* in = static_cast<const T*>(x);
    T* out = static_cast<T*>(y);
    with_function(f, [&](auto function) {
      over_elements(n, [&](int64_t begin, int64_t end) {
#pragma omp simd
        for (int64_t i = begin; i < end; i++) store(out + i, apply<function.value>(load(in + i), slope));
      });
    });
  });
}

template <class T, Function f, bool second, bool accumulate>
void backward_of(float slope, const T* dout, const T* dout2, const T* v, T* dx, int64_t n) {
  over_elements(n, [&](int64_t begin, int64_t end) {
#pragma omp simd
    for (int64_t i = begin; i < end; i++) {
      float g = load(dout + i);
      if constexpr (second) g += load(dout2 + i);
      g *= slope_at<f>(load(v + i), slope);
      if constexpr (accumulate) g += load(dx + i);
      store(dx + i, g);
    }
  });
}

void backward(Function f, float slope, Store type, const void* dout, const void* dout2, const void* v, void* dx, int64_t n, bool accumulate) {
  with_type(type, [&](auto e) {
    using T = decltype(e);
    const T* g = static_cast<const T*>(dout);
    const T* g2 = static_cast<const T*>(dout2);
    const T* at = static_cast<const T*>(v);
    T* out = static_cast<T*>(dx);
    with_function(f, [&](auto function) {
      if (g2) accumulate ? backward_of<T, function.value, true, true>(slope, g, g2, at, out, n) : backward_of<T, function.value, true, false>(slope, g, g2, at, out, n);
      else accumulate ? backward_of<T, function.value, false, true>(slope, g, g2, at, out, n) : backward_of<T, function.value, false, false>(slope, g, g2, at, out, n);
    });
  });
}

void signs(Store type, const void* x, float below, uint8_t* bits, int64_t n) {
  with_type(type, [&](auto e) {
    const auto* in = static_cast<const decltype(e)*>(x);
    over_elements(n, [&](int64_t begin, int64_t end) {  // a multiple of 64 to begin with
      for (int64_t at = begin; at < end; at += 64) {
        uint8_t flags[64] = {};
        const int64_t m = least<int64_t>(64, end - at);
#pragma omp simd
        for (int64_t i = 0; i < m; i++) {
          const float v = load(in + at + i);
          flags[i] = v > 0 && !(v >= below);
        }
        for (int64_t i = 0; i < m; i += 8) {
          uint64_t eight;
          __builtin_memcpy(&eight, flags + i, 8);
          bits[(at + i) / 8] = static_cast<uint8_t>(eight * 0x0102040810204080u >> 56);  // byte k goes to bit k of the highest byte
        }
      }
    });
  });
}

int64_t nonfinite(Store type, const void* x, int64_t n) {
  int64_t count = 0;
  with_type(type, [&](auto e) {
    const auto* p = static_cast<const decltype(e)*>(x);
#pragma omp parallel for simd schedule(static) reduction(+ : count) if (n > kBlock)
    for (int64_t i = 0; i < n; i++) count += (to_bits(load(p + i)) & 0x7f800000u) == 0x7f800000u;
  });
  return count;
}

}  // namespace

void add_pointwise(Simd& table) {
  table.convert = convert;
  table.zero = zero;
  table.copy = copy;
  table.sum = sum;
  table.scale = scale;
  table.forward = forward;
  table.backward = backward;
  table.signs = signs;
  table.nonfinite = nonfinite;
}

}  // namespace graft::cpu::GRAFT_ISA_NAMESPACE
