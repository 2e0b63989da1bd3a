// The instructions of compute capability 9.0a that products use, one function each: mbarriers, TMA, wgmma, registers, clusters.
// Addresses in shared memory are 32-bit, of the shared window. Elsewhere than on 9.0a kernels that use them are empty (GRAFT_WGMMA 0);
// in an emulation they are functions of emulated/wgmma.h.
#pragma once
#include "launch.h"
#include "matmul/tiles.h"

#if !defined(__CUDACC__)
#define GRAFT_WGMMA 1
#include "emulated/wgmma.h"
#else
#include <cuda.h>
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define GRAFT_WGMMA 1
#else
#define GRAFT_WGMMA 0
#endif

namespace graft::cuda {

using TensorMap = CUtensorMap;

#if GRAFT_WGMMA

// The block's dynamic shared memory from the first address on kPattern on: the same offset in every block of a cluster.
__device__ __forceinline__ unsigned char* product_memory() {
  extern __shared__ __align__(16) unsigned char product_shared[];
  const uint32_t address = static_cast<uint32_t>(__cvta_generic_to_shared(product_shared));
  return product_shared + (kPattern - address % kPattern) % kPattern;
}
__device__ __forceinline__ uint32_t window_address(const void* p) { return static_cast<uint32_t>(__cvta_generic_to_shared(p)); }

__device__ __forceinline__ uint32_t cluster_rank() {
  uint32_t rank;
  asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return rank;
}
// All threads of all blocks of the cluster, whole warps.
__device__ __forceinline__ void cluster_barrier() {
  asm volatile("barrier.cluster.arrive.release.aligned;\nbarrier.cluster.wait.acquire.aligned;" ::: "memory");
}
// The 128 threads of a consumer.
__device__ __forceinline__ void group_barrier(int consumer) { asm volatile("bar.sync %0, 128;" ::"r"(consumer + 1) : "memory"); }

template <int kRegisters>
__device__ __forceinline__ void give_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kRegisters));
}
template <int kRegisters>
__device__ __forceinline__ void take_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kRegisters));
}

__device__ __forceinline__ void init_barrier(uint32_t barrier, int arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(arrivals) : "memory");
}
// After init_barrier, before the cluster_barrier behind which others use them.
__device__ __forceinline__ void publish_barriers() { asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory"); }
// Arrives, and lets the phase wait for `bytes` of copies too.
__device__ __forceinline__ void expect_bytes(uint32_t barrier, uint32_t bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes) : "memory");
}
// Arrives at the barrier at the same address in block `rank` of the cluster. Released to this block alone: what stands before it is
// reading by wgmma, which has been waited for; with the cluster's scope ptxas adds a fence of the whole device for every slice.
__device__ __forceinline__ void arrive(uint32_t barrier, uint32_t rank) {
  asm volatile(
      "{\n.reg .b32 there;\n"
      "mapa.shared::cluster.u32 there, %0, %1;\n"
      "mbarrier.arrive.shared::cluster.b64 _, [there];\n}"
      ::"r"(barrier), "r"(rank)
      : "memory");
}
__device__ __forceinline__ void wait_barrier(uint32_t barrier, uint32_t parity) {
  uint32_t done;
  do {
    asm volatile(
        "{\n.reg .pred done;\n"
        "mbarrier.try_wait.parity.shared::cta.b64 done, [%1], %2;\n"
        "selp.u32 %0, 1, 0, done;\n}"
        : "=r"(done)
        : "r"(barrier), "r"(parity)
        : "memory");
  } while (!done);
}

__device__ __forceinline__ void fetch_map(const TensorMap* map) { asm volatile("prefetch.tensormap [%0];" ::"l"(map) : "memory"); }
__device__ __forceinline__ void load_box(uint32_t to, const TensorMap* map, uint32_t barrier, int x, int y, int z) {
  asm volatile("cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5}], [%2];"
               ::"r"(to), "l"(map), "r"(barrier), "r"(x), "r"(y), "r"(z)
               : "memory");
}
// Into the same place of each block of the cluster whose bit is set, and tells the barrier at the same address there.
__device__ __forceinline__ void load_box_to_all(uint32_t to, const TensorMap* map, uint32_t barrier, int x, int y, int z, uint16_t blocks) {
  asm volatile("cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster [%0], [%1, {%4, %5, %6}], [%2], %3;"
               ::"r"(to), "l"(map), "r"(barrier), "h"(blocks), "r"(x), "r"(y), "r"(z)
               : "memory");
}
// What this thread wrote in shared memory becomes visible to copies that are started behind the next barrier.
__device__ __forceinline__ void publish_writes() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }
__device__ __forceinline__ void store_box(const TensorMap* map, uint32_t from, int x, int y, int z) {
  asm volatile("cp.async.bulk.tensor.3d.global.shared::cta.bulk_group [%0, {%2, %3, %4}], [%1];" ::"l"(map), "r"(from), "r"(x), "r"(y), "r"(z) : "memory");
}
__device__ __forceinline__ void commit_stores() { asm volatile("cp.async.bulk.commit_group;" ::: "memory"); }
// Until all but the last kPending groups of stores of this thread have read their boxes.
template <int kPending>
__device__ __forceinline__ void wait_stores_read() {
  asm volatile("cp.async.bulk.wait_group.read %0;" ::"n"(kPending) : "memory");
}
__device__ __forceinline__ void wait_stores() { asm volatile("cp.async.bulk.wait_group 0;" ::: "memory"); }

// Before the first multiply() after this warpgroup touched its accumulators.
__device__ __forceinline__ void begin_multiply() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ __forceinline__ void commit_multiply() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
template <int kPending>
__device__ __forceinline__ void wait_multiply() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
}

// Two neighbouring results, the first in the lower half.
__device__ __forceinline__ uint32_t packed(float first, float second) {
  uint32_t both;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(second), "f"(first));
  return both;
}

// d (+)= a b for 64 rows, 2 * the length of d columns and 16 k of bf16: `adds` false takes d for zero. Asynchronous.
#define GRAFT_EIGHT(i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), "+f"(d[i + 4]), "+f"(d[i + 5]), "+f"(d[i + 6]), "+f"(d[i + 7])
template <bool kAlongKA, bool kAlongKB>
__device__ __forceinline__ void multiply(float (&d)[64], uint64_t a, uint64_t b, bool adds) {
  asm volatile(
      "{\n.reg .pred adds;\nsetp.ne.b32 adds, %66, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {"
      "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, "
      "%24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
      "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
      "}, %64, %65, adds, 1, 1, %67, %68;\n}\n"
      : GRAFT_EIGHT(0), GRAFT_EIGHT(8), GRAFT_EIGHT(16), GRAFT_EIGHT(24), GRAFT_EIGHT(32), GRAFT_EIGHT(40), GRAFT_EIGHT(48), GRAFT_EIGHT(56)
      : "l"(a), "l"(b), "r"(static_cast<int>(adds)), "n"(kAlongKA ? 0 : 1), "n"(kAlongKB ? 0 : 1));
}
template <bool kAlongKA, bool kAlongKB>
__device__ __forceinline__ void multiply(float (&d)[96], uint64_t a, uint64_t b, bool adds) {
  asm volatile(
      "{\n.reg .pred adds;\nsetp.ne.b32 adds, %98, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n192k16.f32.bf16.bf16 {"
      "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, "
      "%24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
      "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, %64, %65, %66, %67, %68, %69, %70, %71, "
      "%72, %73, %74, %75, %76, %77, %78, %79, %80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95"
      "}, %96, %97, adds, 1, 1, %99, %100;\n}\n"
      : GRAFT_EIGHT(0), GRAFT_EIGHT(8), GRAFT_EIGHT(16), GRAFT_EIGHT(24), GRAFT_EIGHT(32), GRAFT_EIGHT(40), GRAFT_EIGHT(48), GRAFT_EIGHT(56),
        GRAFT_EIGHT(64), GRAFT_EIGHT(72), GRAFT_EIGHT(80), GRAFT_EIGHT(88)
      : "l"(a), "l"(b), "r"(static_cast<int>(adds)), "n"(kAlongKA ? 0 : 1), "n"(kAlongKB ? 0 : 1));
}
template <bool kAlongKA, bool kAlongKB>
__device__ __forceinline__ void multiply(float (&d)[128], uint64_t a, uint64_t b, bool adds) {
  asm volatile(
      "{\n.reg .pred adds;\nsetp.ne.b32 adds, %130, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n256k16.f32.bf16.bf16 {"
      "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, "
      "%24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
      "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, %64, %65, %66, %67, %68, %69, %70, %71, "
      "%72, %73, %74, %75, %76, %77, %78, %79, %80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, "
      "%96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, %112, %113, %114, %115, %116, %117, %118, %119, "
      "%120, %121, %122, %123, %124, %125, %126, %127"
      "}, %128, %129, adds, 1, 1, %131, %132;\n}\n"
      : GRAFT_EIGHT(0), GRAFT_EIGHT(8), GRAFT_EIGHT(16), GRAFT_EIGHT(24), GRAFT_EIGHT(32), GRAFT_EIGHT(40), GRAFT_EIGHT(48), GRAFT_EIGHT(56),
        GRAFT_EIGHT(64), GRAFT_EIGHT(72), GRAFT_EIGHT(80), GRAFT_EIGHT(88), GRAFT_EIGHT(96), GRAFT_EIGHT(104), GRAFT_EIGHT(112), GRAFT_EIGHT(120)
      : "l"(a), "l"(b), "r"(static_cast<int>(adds)), "n"(kAlongKA ? 0 : 1), "n"(kAlongKB ? 0 : 1));
}
#undef GRAFT_EIGHT

#endif
}  // namespace graft::cuda
#endif
