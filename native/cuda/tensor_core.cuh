// Tensor cores and copies that run by themselves, of compute capability 8.0 and later. The threads of a warp call all of these together.
//   copy_later     16 bytes from global to shared memory, both aligned to 16, the first `bytes` of them read and the others 0; the
//                  copy is done where its thread waits for its group, and others may read it behind a barrier after that
//   commit_copies  the copies since the last commit are a group
//   wait_copies    until all but the newest `Newest` groups are done
//   load_matrices  four matrices of 8 x 8 numbers of 16 bits: lane i names row i % 8, 16 bytes, of matrix i / 8, and gets of each
//                  matrix elements 2 (lane % 4) and the next of row lane / 4; transposed: of column lane / 4
//   multiply       c[16 x 8] += a[16 x 16] b[16 x 8] in bf16, multiply_tf32 with 8 in place of 16 in TF32. With g = lane / 4 and
//                  t = lane % 4 a lane has of c rows g and g + 8, columns 2t and 2t + 1; of a and b what PTX's mma.m16n8k16 and
//                  mma.m16n8k8 say
#pragma once
#include "launch.h"

#if defined(__CUDACC__)
namespace graft::cuda {

__device__ __forceinline__ unsigned shared_address(const void* p) { return static_cast<unsigned>(__cvta_generic_to_shared(p)); }

__device__ __forceinline__ void copy_later(void* to, const void* from, int bytes) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)), "l"(__cvta_generic_to_global(from)), "r"(bytes) : "memory");
}
__device__ __forceinline__ void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int Newest>
__device__ __forceinline__ void wait_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(Newest) : "memory");
}

__device__ __forceinline__ void load_matrices(uint32_t (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(row))
               : "memory");
}
__device__ __forceinline__ void load_matrices_transposed(uint32_t (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(row))
               : "memory");
}

__device__ __forceinline__ void multiply(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
               : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
__device__ __forceinline__ void multiply_tf32(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
               : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
// Two bf16 numbers, nearest to low and high, ties to even; low in the lower half.
__device__ __forceinline__ uint32_t pair_of(float low, float high) {
  uint32_t pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
}
// The TF32 number nearest to v.
__device__ __forceinline__ uint32_t tf32_of(float v) {
  uint32_t bits;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(v));
  return bits;
}

}  // namespace graft::cuda
#else
#include "emulated/tensor_core.h"
#endif
