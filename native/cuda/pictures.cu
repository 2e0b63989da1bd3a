// normalize_pictures: bytes of pictures in, cut out, mirrored and normalised numbers out; formula and windows as in
// reference/pictures.cpp. A thread makes four neighbours of the result, whose bytes are neighbours too, or within one pixel of it.
#include "operands.cuh"

namespace graft::cuda {

template <class T>
struct NormalizePictures {
  const uint8_t* pictures;
  const float *scale, *offset;
  const int32_t* windows;  // null: from the first row and column
  int numbers;             // of a window
  int64_t pictures_there;
  T* y;
  int64_t picture_bytes;
  int in_height, in_width;
  Divisor height, width, channels;
  __device__ void operator()(int64_t i, int count, bool whole) const {
    const int64_t pixel = i / channels, line = pixel / width, picture = line / height;
    int c = static_cast<int>(i - pixel * channels), j = static_cast<int>(pixel - line * width);
    int64_t n = picture, row = line - picture * height;
    Four v;
#pragma unroll
    for (int k = 0; k < 4; k++) {
      v.v[k] = k < count ? element(n, row, j, c) : 0.f;
      if (++c < static_cast<int>(int64_t{channels})) continue;
      c = 0;
      if (++j < static_cast<int>(int64_t{width})) continue;
      j = 0;
      if (++row < int64_t{height}) continue;
      row = 0;
      n++;
    }
    store4(y, i, count, whole, v);
  }
  __device__ __forceinline__ float element(int64_t n, int64_t row, int j, int c) const {
    int64_t column = j;
    if (windows) {
      const int32_t* window = windows + numbers * n + (numbers - 3);
      if (numbers == 4) n = window[-1];
      row += window[0];
      if (window[2] != 0) column = static_cast<int64_t>(width) - 1 - j;
      column += window[1];
    }
    float p = 0;
    if (n >= 0 && n < pictures_there && row >= 0 && row < in_height && column >= 0 && column < in_width)
      p = static_cast<float>(pictures[n * picture_bytes + (row * in_width + column) * static_cast<int64_t>(channels) + c]);
    return scale[c] * p + offset[c];
  }
};

namespace {

template <class T>
std::unique_ptr<Kernel> typed(const Device& d, const Request& r) {
  const Shape x = r.inputs[0].shape, y = r.outputs[0].shape;
  const bool cut = r.call().has(3);
  const int numbers = cut ? static_cast<int>(r.inputs[3].shape[1]) : 3;
  return own(d, "normalize_pictures", 0, [=, &d](const Args& a) {
    T* to = static_cast<T*>(a.out[0]);
    const NormalizePictures<T> f{in<uint8_t>(a, 0),  in<float>(a, 1), in<float>(a, 2), cut ? in<int32_t>(a, 3) : nullptr, numbers, x[0], to, x[1] * x[2] * x[3], static_cast<int>(x[1]),
                                 static_cast<int>(x[2]), y[1], y[2], y[3]};
    over_fours(d, y.count(), aligned_for_four(to), f);
  });
}

}  // namespace

std::unique_ptr<Kernel> make_pictures(const Device& d, const Request& r) {
  if (r.pass != Pass::Forward || r.epilogue.any() || r.inputs[1].dtype != DType::F32 || r.inputs[2].dtype != DType::F32) return nullptr;
  if (r.outputs[0].dtype == DType::BF16) return typed<Bf16>(d, r);
  return r.outputs[0].dtype == DType::F32 ? typed<float>(d, r) : nullptr;
}

}  // namespace graft::cuda
