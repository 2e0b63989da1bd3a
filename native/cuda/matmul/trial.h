// Trying kernels while a plan is prepared: memory of their own, numbers in it, time by the device's events; and a product's operands.
#pragma once
#include "kernels.h"

namespace graft::cuda {

// Device memory for as long as a trial runs. Throws OUT_OF_MEMORY.
class Borrowed {
 public:
  explicit Borrowed(size_t bytes);
  ~Borrowed() { cudaFree(address); }
  Borrowed(const Borrowed&) = delete;
  Borrowed& operator=(const Borrowed&) = delete;
  void* address = nullptr;
};

// Enqueues numbers in [-1, 1) that depend on position and salt alone.
void fill_evenly(const Device& device, void* address, DType type, int64_t count, unsigned salt);
// Microseconds of what `enqueue` enqueues, by the device's own events: the median of several series of runs that follow each other without a pause.
double microseconds_of(const Device& device, const std::function<void()>& enqueue);

class Trial {
 public:
  // Throws OUT_OF_MEMORY where the device has no room for a second set of operands.
  Trial(const Device& device, const ProductRequest& request);
  ~Trial();
  Trial(const Trial&) = delete;
  Trial& operator=(const Trial&) = delete;

  // Runs the kernel on fresh operands and keeps its result as the one to agree with.
  void expect(const Kernel& kernel);
  // Results that are farther from the expected than sums in another order can be; NaN counts.
  unsigned long long disagreements(const Kernel& kernel);
  double microseconds(const Kernel& kernel);

 private:
  struct Memory {
    void* address = nullptr;
    int64_t count = 0;
    DType type = DType::F32;
  };
  Memory take(DType type, int64_t count);
  void fill(const Memory& memory, unsigned salt) const { fill_evenly(device_, memory.address, memory.type, memory.count, salt); }
  void reset() const;
  void run(const Kernel& kernel, void* scratch) const;

  const Device& device_;
  ProductRequest r_;
  std::vector<void*> held_;
  Memory a_, b_, a2_, b2_, c_, saved_, expected_, bias_, factor_, residual_, counter_;
};

}  // namespace graft::cuda
