#include "matmul/trial.h"

#include <algorithm>
#include <cmath>

#include "operands.cuh"

namespace graft::cuda {

// Numbers in [-1, 1) that depend on the position alone.
template <class T>
struct FillEvenly {
  T* p;
  unsigned salt;
  __device__ void operator()(int64_t i) const {
    unsigned x = static_cast<unsigned>(i) * 2654435761u + salt;
    x ^= x >> 16, x *= 0x85EBCA6Bu, x ^= x >> 13, x *= 0xC2B2AE35u, x ^= x >> 16;
    p[i] = stored<T>(static_cast<float>(static_cast<int>(x >> 8) - (1 << 23)) * (1.0f / (1 << 23)));
  }
};

template <class T>
struct CountFar {
  const T *expected, *actual;
  float relative, least;
  unsigned long long* count;
  __device__ void operator()(int64_t i) const {
    const float x = float_of(expected[i]), y = float_of(actual[i]), apart = x > y ? x - y : y - x, size = x < 0 ? -x : x;
    if (!(apart <= relative * (size > least ? size : least))) atomicAdd(count, 1ull);
  }
};

namespace {

int64_t extent(const ProductRequest::Matrix& x, int64_t batch, int64_t rows, int64_t columns) {
  return (batch - 1) * x.step + (rows - 1) * x.row + (columns - 1) * x.column + 1;
}

// A moment of a stream.
class Event {
 public:
  Event() { check(cudaEventCreateWithFlags(&event_, cudaEventDefault), "creating an event"); }
  ~Event() { cudaEventDestroy(event_); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  void record(cudaStream_t stream) const { check(cudaEventRecord(event_, stream), "recording an event"); }
  // Waits for `later`.
  double microseconds_to(const Event& later) const {
    float milliseconds = 0;
    check(cudaEventSynchronize(later.event_), "trying a kernel");
    check(cudaEventElapsedTime(&milliseconds, event_, later.event_), "asking for the time");
    return 1e3 * static_cast<double>(milliseconds);
  }

 private:
  cudaEvent_t event_ = nullptr;
};

}  // namespace

Borrowed::Borrowed(size_t bytes) {
  if (bytes == 0) return;
  const cudaError_t status = cudaMalloc(&address, bytes);
  if (status == cudaErrorMemoryAllocation) throw Error(GRAFT_OUT_OF_MEMORY, "no room for a second set of operands");
  check(status, "allocating a trial's memory");
}

void fill_evenly(const Device& device, void* address, DType type, int64_t count, unsigned salt) {
  if (!address) return;
  if (type == DType::BF16) over_all(device, count, FillEvenly<Bf16>{static_cast<Bf16*>(address), salt * 0x9E3779B9u});
  else over_all(device, count, FillEvenly<float>{static_cast<float*>(address), salt * 0x9E3779B9u});
}

double microseconds_of(const Device& device, const std::function<void()>& enqueue) {
  constexpr double kSeries = 300;  // microseconds that a series takes at least
  constexpr int kMostRuns = 200, kSeriesCount = 5;
  const Event before, after;
  const auto series = [&](int runs) {
    before.record(device.stream);
    for (int i = 0; i < runs; i++) enqueue();
    after.record(device.stream);
    return before.microseconds_to(after) / runs;
  };
  series(1);
  const double once = series(1);
  const int runs = std::clamp(static_cast<int>(kSeries / std::max(once, 0.1)) + 1, 1, kMostRuns);
  std::vector<double> all;
  for (int i = 0; i < kSeriesCount; i++) all.push_back(series(runs));
  std::nth_element(all.begin(), all.begin() + kSeriesCount / 2, all.end());
  return all[kSeriesCount / 2];
}

Trial::Trial(const Device& device, const ProductRequest& request) : device_(device), r_(request) {
  try {
    a_ = take(r_.type, extent(r_.a, r_.batch, r_.m, r_.k));
    b_ = take(r_.type, extent(r_.b, r_.batch, r_.k, r_.n));
    c_ = take(r_.result, extent(r_.c, r_.batch, r_.m, r_.n));
    expected_ = take(r_.result, c_.count);
    if (r_.k2 > 0) {
      a2_ = take(r_.type, extent(r_.a2, r_.batch, r_.m, r_.k2));
      b2_ = take(r_.type, extent(r_.b2, r_.batch, r_.k2, r_.n));
    }
    if (r_.saves) saved_ = take(r_.result, c_.count);
    if (r_.bias) bias_ = take(DType::F32, r_.n);
    if (r_.scaled) factor_ = take(DType::F32, 1);
    if (r_.epilogue.residual) residual_ = take(r_.result, c_.count);
    counter_ = take(DType::I64, 1);
  } catch (...) {
    for (void* address : held_) cudaFree(address);
    throw;
  }
  fill(a_, 1), fill(b_, 2), fill(bias_, 3), fill(factor_, 4), fill(residual_, 5), fill(a2_, 7), fill(b2_, 8);
}

Trial::~Trial() {
  cudaStreamSynchronize(device_.stream);
  for (void* address : held_) cudaFree(address);
}

Trial::Memory Trial::take(DType type, int64_t count) {
  Memory m{nullptr, count, type};
  const cudaError_t status = cudaMalloc(&m.address, size_of(type) * static_cast<size_t>(count));
  if (status == cudaErrorMemoryAllocation) throw Error(GRAFT_OUT_OF_MEMORY, "no room for a second set of operands");
  check(status, "allocating a trial's operands");
  held_.push_back(m.address);
  return m;
}

void Trial::run(const Kernel& kernel, void* scratch) const {
  void *in[] = {a_.address, b_.address, bias_.address, factor_.address, a2_.address, b2_.address}, *out[] = {c_.address, saved_.address};
  Args args{};
  args.in = in;
  args.out = out;
  args.residual = residual_.address;
  args.scratch = scratch;
  kernel.run(args);
}

void Trial::reset() const { fill(c_, 6); }

void Trial::expect(const Kernel& kernel) {
  Borrowed scratch(kernel.scratch_bytes());
  reset();
  run(kernel, scratch.address);
  check(cudaMemcpyAsync(expected_.address, c_.address, size_of(c_.type) * static_cast<size_t>(c_.count), cudaMemcpyDeviceToDevice, device_.stream), "copying");
  check(cudaStreamSynchronize(device_.stream), "trying a kernel");
}

unsigned long long Trial::disagreements(const Kernel& kernel) {
  Borrowed scratch(kernel.scratch_bytes());
  reset();
  run(kernel, scratch.address);
  auto* count = static_cast<unsigned long long*>(counter_.address);
  check(cudaMemsetAsync(count, 0, sizeof *count, device_.stream), "clearing memory");
  // Two neighbouring bf16 numbers are up to 2^-7 of either apart. Sums of k terms of +-1 are about sqrt(k) / 3 large.
  const bool narrow = r_.result == DType::BF16;
  const float relative = narrow ? 0.015625f : 1e-3f, least = 0.1f * std::sqrt(static_cast<float>(r_.k));
  if (narrow) over_all(device_, c_.count, CountFar<Bf16>{static_cast<Bf16*>(expected_.address), static_cast<Bf16*>(c_.address), relative, least, count});
  else over_all(device_, c_.count, CountFar<float>{static_cast<float*>(expected_.address), static_cast<float*>(c_.address), relative, least, count});
  unsigned long long far = 0;
  check(cudaMemcpyAsync(&far, count, sizeof far, cudaMemcpyDeviceToHost, device_.stream), "copying");
  check(cudaStreamSynchronize(device_.stream), "trying a kernel");
  return far;
}

double Trial::microseconds(const Kernel& kernel) {
  Borrowed scratch(kernel.scratch_bytes());
  reset();
  return microseconds_of(device_, [&] { run(kernel, scratch.address); });
}

}  // namespace graft::cuda
