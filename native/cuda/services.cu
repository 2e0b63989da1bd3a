// What plans need beside operations: conversions, sums, rows of a mask, folded norms; and the count of numbers that are none.
#include "operands.cuh"

namespace graft::cuda {

struct Half {
  uint16_t bits;
};

__device__ inline float float_of(Half h) {
  const unsigned sign = static_cast<unsigned>(h.bits & 0x8000u) << 16, exponent = h.bits >> 10 & 31u, fraction = h.bits & 1023u;
  if (exponent == 31) return __uint_as_float(sign | 0x7F800000u | fraction << 13);
  if (exponent != 0) return __uint_as_float(sign | (exponent + 112) << 23 | fraction << 13);
  const float magnitude = static_cast<float>(fraction) * 5.9604644775390625e-8f;  // 2^-24
  return sign ? -magnitude : magnitude;
}
__device__ inline float float_of(double v) { return static_cast<float>(v); }

template <class From, class To>
struct Convert {
  const From* x;
  To* y;
  __device__ void operator()(int64_t i) const { y[i] = stored<To>(float_of(x[i])); }
};

constexpr int kMostSummed = 8;

template <class T>
struct Sum {
  const T* x[kMostSummed];
  int inputs;
  T* y;  // may be one of them
  __device__ void operator()(int64_t i, int count, bool whole) const {
    Four sum = load4(x[0], i, count, whole);
    for (int k = 1; k < inputs; k++) {
      const Four v = load4(x[k], i, count, whole);
      for (int e = 0; e < 4; e++) sum.v[e] += v.v[e];
    }
    store4(y, i, count, whole, sum);
  }
};

// Byte i of Service::Signs: of eight elements.
template <class T>
struct Signs {
  const T* x;
  bool whole;
  float below;  // NaN: none
  uint8_t* bits;
  int64_t n;
  __device__ void operator()(int64_t i) const {
    unsigned byte = 0;
    for (int half = 0; half < 2; half++) {
      const int64_t at = 8 * i + 4 * half;
      const Four v = load4(x, at, at + 4 <= n ? 4 : static_cast<int>(n - at), whole);
      for (int e = 0; e < 4; e++) {
        const bool counts = v.v[e] > 0 && !(v.v[e] >= below);
        if (counts) byte |= 1u << (4 * half + e);
      }
    }
    bits[i] = static_cast<uint8_t>(byte);
  }
};

// Row rows[i] of `whole` and row i of `live`, one onto the other.
template <class T>
struct MoveRows {
  const int64_t* rows;
  const T* from;
  T* to;
  Divisor per_row;
  bool gather;
  __device__ void operator()(int64_t i) const {
    const int64_t whole = rows[i / per_row] * per_row + i % per_row;
    if (gather) to[i] = from[whole];
    else to[whole] = from[i];
  }
};

// w' = w s, b' = (b - mean) s + beta with s = gamma / sqrt(var + eps) of the element's output channel.
struct Fold {
  const float *w, *b, *gamma, *beta, *mean, *var;
  float *folded, *folded_bias;
  Divisor per_channel;
  double eps;
  __device__ void operator()(int64_t i) const {
    const int64_t o = i / per_channel;
    const double s = gamma[o] / sqrt(var[o] + eps);
    folded[i] = static_cast<float>(w[i] * s);
    if (i % per_channel == 0) folded_bias[o] = static_cast<float>(((b ? b[o] : 0.0) - mean[o]) * s + beta[o]);
  }
};

// Gradients that were added up, once an update has used them: where it was left out they stay to be looked at.
struct Clear {
  StepBlock step;  // of nulls: clears in any case
  float* x;
  __device__ void operator()(int64_t i) const {
    if (!step.header || !left_out(step)) x[i] = 0;
  }
};

template <class T>
__global__ void __launch_bounds__(kThreads) nonfinite(const T* x, int64_t n, unsigned long long* count) {
  const int64_t i = global_thread();
  const unsigned found = __ballot_sync(0xFFFFFFFFu, i < n && !isfinite(float_of(x[i])));
  if (threadIdx.x % 32 != 0 || found == 0) return;
  unsigned long long ones = 0;
  for (unsigned bits = found; bits; bits &= bits - 1) ones++;
  atomicAdd(count, ones);  // of integers: any order gives the same
}

namespace {

template <class From>
std::unique_ptr<Kernel> convert(const Device& d, const ServiceRequest& r) {
  const int64_t n = r.outputs[0].count();
  if (r.outputs[0].dtype == DType::BF16)
    return own(d, "convert", 0, [=, &d](const Args& a) { over_all(d, n, Convert<From, Bf16>{in<From>(a, 0), static_cast<Bf16*>(a.out[0])}); });
  if (r.outputs[0].dtype == DType::F32)
    return own(d, "convert", 0, [=, &d](const Args& a) { over_all(d, n, Convert<From, float>{in<From>(a, 0), static_cast<float*>(a.out[0])}); });
  return nullptr;
}

std::unique_ptr<Kernel> convert_from(const Device& d, const ServiceRequest& r) {
  switch (r.inputs[0].dtype) {
    case DType::F32: return convert<float>(d, r);
    case DType::BF16: return convert<Bf16>(d, r);
    case DType::F16: return convert<Half>(d, r);
    case DType::F64: return convert<double>(d, r);
    default: return nullptr;
  }
}

template <class T>
std::unique_ptr<Kernel> sum(const Device& d, const ServiceRequest& r) {
  const int64_t n = r.outputs[0].count();
  const bool accumulate = r.service == Service::Accumulate;
  const int inputs = static_cast<int>(r.inputs.size()) + (accumulate ? 1 : 0);
  if (inputs > kMostSummed || inputs < 1) return nullptr;
  return own(d, accumulate ? "accumulate" : "sum", 0, [=, &d](const Args& a) {
    Sum<T> f{};
    f.inputs = inputs;
    f.y = static_cast<T*>(a.out[0]);
    bool whole = aligned_for_four(f.y);
    for (int k = 0; k < inputs; k++) {
      f.x[k] = accumulate && k == 0 ? f.y : in<T>(a, static_cast<size_t>(accumulate ? k - 1 : k));
      whole = whole && aligned_for_four(f.x[k]);
    }
    over_fours(d, n, whole, f);
  });
}

template <class T>
std::unique_ptr<Kernel> signs(const Device& d, const ServiceRequest& r) {
  const int64_t n = r.inputs[0].count();
  const auto given = r.attributes.find("below");
  const float below = given == r.attributes.end() ? NAN : static_cast<float>(given->second);
  return own(d, "signs", 0, [=, &d](const Args& a) {
    const T* x = in<T>(a, 0);
    over_all(d, ceil_div(n, 8), Signs<T>{x, aligned_for_four(x), below, static_cast<uint8_t*>(a.out[0]), n});
  });
}

template <class T>
std::unique_ptr<Kernel> move_rows(const Device& d, const ServiceRequest& r) {
  const bool gather = r.service == Service::GatherRows;
  std::vector<int64_t> rows;
  for (auto [first, second] : r.rows)
    for (int64_t i = first; i < second; i++) rows.push_back(i);
  const int64_t live = (gather ? r.outputs[0] : r.inputs[0]).count(), per_row = live / std::max<int64_t>(1, static_cast<int64_t>(rows.size()));
  auto table = std::make_shared<Table<int64_t>>(d, rows);
  return own(d, gather ? "gather_rows" : "scatter_rows", 0, [=, &d](const Args& a) {
    over_all(d, live, MoveRows<T>{table->address(), in<T>(a, 0), static_cast<T*>(a.out[0]), per_row, gather});
  });
}

std::unique_ptr<Kernel> fold(const Device& d, const ServiceRequest& r) {
  const int64_t n = r.inputs[0].count(), per_channel = n / r.inputs[0].shape[0];
  const double eps = r.attributes.at("eps");
  const bool biased = r.inputs[1].shape.rank >= 0;
  return own(d, "fold_batch_norm", 0, [=, &d](const Args& a) {
    over_all(d, n, Fold{in<float>(a, 0), biased ? in<float>(a, 1) : nullptr, in<float>(a, 2), in<float>(a, 3), in<float>(a, 4), in<float>(a, 5),
                        static_cast<float*>(a.out[0]), static_cast<float*>(a.out[1]), per_channel, eps});
  });
}

bool all_are(const ServiceRequest& r, DType type) {
  for (const TensorType& t : r.inputs)
    if (t.shape.rank >= 0 && t.dtype != type) return false;
  for (const TensorType& t : r.outputs)
    if (t.dtype != type) return false;
  return true;
}

}  // namespace

std::unique_ptr<Kernel> make_service(const Device& d, const ServiceRequest& r) {
  const bool wide = all_are(r, DType::F32), narrow = all_are(r, DType::BF16);
  switch (r.service) {
    case Service::Convert: return convert_from(d, r);
    case Service::Sum:
    case Service::Accumulate: return wide ? sum<float>(d, r) : narrow ? sum<Bf16>(d, r) : nullptr;
    case Service::Zero: {
      if (!wide) return nullptr;
      const int64_t n = r.outputs[0].count();
      return own(d, "zero", 0, [=, &d](const Args& a) { over_all(d, n, Clear{a.step ? *a.step : StepBlock{}, static_cast<float*>(a.out[0])}); });
    }
    case Service::FoldBatchNorm: return wide ? fold(d, r) : nullptr;
    case Service::GatherRows:
    case Service::ScatterRows: return wide ? move_rows<float>(d, r) : narrow ? move_rows<Bf16>(d, r) : nullptr;
    case Service::Signs: return r.inputs[0].dtype == DType::F32 ? signs<float>(d, r) : r.inputs[0].dtype == DType::BF16 ? signs<Bf16>(d, r) : nullptr;
    case Service::MergeLowRank: return make_merge(d, r);
  }
  return nullptr;
}

void count_nonfinite(const Device& d, const void* address, DType type, int64_t n, unsigned long long* count) {
  const LaunchShape shape{ceil_div(n, kThreads), kThreads, 0, d.stream};
  if (type == DType::BF16) launch(nonfinite<Bf16>, shape, static_cast<const Bf16*>(address), n, count);
  else launch(nonfinite<float>, shape, static_cast<const float*>(address), n, count);
}

}  // namespace graft::cuda
