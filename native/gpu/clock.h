// Times of the device's own events on the stream of a column, and lines that native/gpu/record turns into rows.
#pragma once
#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "cuda/column.h"
#include "error.h"

namespace graft::gpu {

inline void check(cudaError_t status, const char* doing) {
  if (status != cudaSuccess) throw Error(GRAFT_INTERNAL, text("CUDA, ", doing, ": ", cudaGetErrorString(status)));
}

// One line of samples: `what` is the row of the table, `side` who did the work.
inline void samples(const std::string& what, const std::string& side, const char* unit, const std::vector<double>& values, const std::string& note) {
  std::printf("samples\t%s\t%s\t%s\t", what.c_str(), side.c_str(), unit);
  for (size_t i = 0; i < values.size(); i++) std::printf("%s%.6g", i ? " " : "", values[i]);
  std::printf("\t%s\n", note.c_str());
  std::fflush(stdout);
}

// Work per second out of milliseconds: `amount` bytes or operations, in units of `scale`.
inline std::vector<double> rates(const std::vector<double>& milliseconds, double amount, double scale) {
  std::vector<double> all;
  for (double ms : milliseconds) all.push_back(amount / (ms * 1e-3) / scale);
  return all;
}

class Clock {
 public:
  // A cold sample comes after `flushed` bytes were written that nobody reads: twice the second-level cache.
  Clock(Column& column, int device) : column_(column), stream_(static_cast<cudaStream_t>(compute_stream(column))) {
    cudaDeviceProp properties;
    check(cudaGetDeviceProperties(&properties, device), "asking for the device's properties");
    flushed_ = 2 * static_cast<size_t>(properties.l2CacheSize);
    flush_ = column.allocate(flushed_);
    check(cudaEventCreate(&begin_), "creating an event");
    check(cudaEventCreate(&end_), "creating an event");
  }
  ~Clock() {
    cudaEventDestroy(begin_);
    cudaEventDestroy(end_);
    column_.release(flush_, flushed_);
  }
  Clock(const Clock&) = delete;
  Clock& operator=(const Clock&) = delete;

  cudaStream_t stream() const { return stream_; }

  // Milliseconds of `count` runs, each by itself, after three that are not counted.
  template <class Run>
  std::vector<double> milliseconds(int count, bool cold, Run run) {
    for (int i = 0; i < 3; i++) run();
    std::vector<double> all;
    for (int i = 0; i < count; i++) {
      if (cold) check(cudaMemsetAsync(flush_, i & 1, flushed_, stream_), "emptying the cache");
      check(cudaEventRecord(begin_, stream_), "recording an event");
      run();
      check(cudaEventRecord(end_, stream_), "recording an event");
      check(cudaEventSynchronize(end_), "waiting for the device");
      float ms = 0;
      check(cudaEventElapsedTime(&ms, begin_, end_), "asking for the time");
      all.push_back(ms);
    }
    return all;
  }

 private:
  Column& column_;
  cudaStream_t stream_;
  cudaEvent_t begin_ = nullptr, end_ = nullptr;
  void* flush_ = nullptr;
  size_t flushed_ = 0;
};

}  // namespace graft::gpu
