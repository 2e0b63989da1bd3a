// Division by a number that is fixed when a kernel is launched: by multiplication, since a GPU divides 64-bit numbers in a subroutine.
// Method: T. Granlund, P. L. Montgomery, "Division by Invariant Integers using Multiplication", PLDI 1994, figure 4.1.
#pragma once
#include <cstdint>

#include "launch.h"

namespace graft::cuda {

// Stands for a number of 1 to 2^62; what is divided by it is at least 0.
class Divisor {
 public:
  Divisor() : Divisor(1) {}
  Divisor(int64_t number) : number_(number) {  // implicit: sizes become divisors where kernels keep them
    require(number >= 0 && number <= int64_t{1} << 62, "a size of ", number, " cannot be divided by; expected 0 to 2^62");
    if (number == 0) return;  // of an empty tensor, of which nothing is divided
    while ((uint64_t{1} << shift_) < static_cast<uint64_t>(number)) shift_++;
    const unsigned __int128 rest = (uint64_t{1} << shift_) - static_cast<uint64_t>(number);
    magic_ = static_cast<uint64_t>((rest << 64) / static_cast<uint64_t>(number)) + 1;
  }
  __host__ __device__ operator int64_t() const { return number_; }
  __host__ __device__ friend int64_t operator/(int64_t n, const Divisor& d) {
    const uint64_t dividend = static_cast<uint64_t>(n);
#if defined(__CUDA_ARCH__)
    const uint64_t high = __umul64hi(d.magic_, dividend);
#else
    const uint64_t high = static_cast<uint64_t>(static_cast<unsigned __int128>(d.magic_) * dividend >> 64);
#endif
    return static_cast<int64_t>((high + dividend) >> d.shift_);  // no overflow: both are below 2^63
  }
  __host__ __device__ friend int64_t operator%(int64_t n, const Divisor& d) { return n - n / d * d.number_; }

 private:
  int64_t number_ = 1;
  uint64_t magic_ = 1;
  int shift_ = 0;
};

}  // namespace graft::cuda
