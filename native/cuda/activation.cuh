// Unary functions and their slopes. Comparisons are written so that a NaN comes out as a NaN.
#pragma once
#include "launch.h"
#include "op.h"

namespace graft::cuda {

constexpr float kRootHalf = 0.70710678118654752f;
constexpr float kRootTwoByPi = 0.79788456080286536f, kGeluCubic = 0.044715f;  // of the approximation by tanh

__device__ __forceinline__ float sigmoid(float x) {
  const float e = expf(-fabsf(x));  // no overflow on either side
  const float inverse = __fdividef(1.f, 1 + e);  // of a number from 1 to 2: two units in the last place, and no subroutine
  return x >= 0 ? inverse : e * inverse;
}

__device__ __forceinline__ float activate(Activation activation, float slope, float x) {
  switch (activation) {
    case Activation::None: return x;
    case Activation::Relu: return x <= 0 ? 0 : x;
    case Activation::Relu6: return x <= 0 ? 0 : x >= 6 ? 6 : x;
    case Activation::LeakyRelu: return x <= 0 ? slope * x : x;
    case Activation::Sigmoid: return sigmoid(x);
    case Activation::GeluExact: return 0.5f * x * (1 + erff(x * kRootHalf));
    case Activation::GeluTanh: return 0.5f * x * (1 + tanhf(kRootTwoByPi * (x + kGeluCubic * x * x * x)));
    case Activation::Silu: return x * sigmoid(x);
  }
  return x;
}

// activation'(x) out of y = activation(x); of the piecewise linear ones and the sigmoid.
__device__ __forceinline__ float slope_from_result(Activation activation, float slope, float y) {
  switch (activation) {
    case Activation::Relu: return y > 0 ? 1 : 0;
    case Activation::Relu6: return y > 0 && y < 6 ? 1 : 0;
    case Activation::LeakyRelu: return y > 0 ? 1 : slope;
    case Activation::Sigmoid: return y * (1 - y);
    default: return 1;
  }
}

// activation'(x); of the others.
__device__ __forceinline__ float slope_from_x(Activation activation, float x) {
  if (activation == Activation::Silu) {
    const float s = sigmoid(x);
    return s * (1 + x * (1 - s));
  }
  if (activation == Activation::GeluTanh) {
    const float t = tanhf(kRootTwoByPi * (x + kGeluCubic * x * x * x));
    return 0.5f * (1 + t) + 0.5f * x * (1 - t * t) * kRootTwoByPi * (1 + 3 * kGeluCubic * x * x);
  }
  return 0.5f * (1 + erff(x * kRootHalf)) + x * expf(-0.5f * x * x) * (0.5f * kRootTwoByPi);
}

}  // namespace graft::cuda
