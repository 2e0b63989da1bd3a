// The instructions of matmul/wgmma.cuh for g++. What is asynchronous happens late: a copy fills its destination with NaN and lands when
// some thread waits at a barrier; a product reads its factors when its thread waits for it; a store reads its box then. So a kernel that
// does not wait reads NaN or stores what came later. An mbarrier is eight bytes of shared memory that count arrivals and bytes.
#pragma once
#include <cstdint>
#include <cstring>

#include "emulated/threads.h"
#include "matmul/tiles.h"

namespace graft::cuda {

struct TensorMap {
  void* address;
  int64_t size[3], step[2];
  int box[2];
  int element;
};

unsigned char* product_memory();
uint32_t window_address(const void* p);
inline uint32_t cluster_rank() { return static_cast<uint32_t>(emulated::cluster_rank()); }
void cluster_barrier();
void group_barrier(int consumer);
template <int kRegisters>
void give_registers() {}
template <int kRegisters>
void take_registers() {}

void init_barrier(uint32_t barrier, int arrivals);
inline void publish_barriers() {}
void expect_bytes(uint32_t barrier, uint32_t bytes);
void arrive(uint32_t barrier, uint32_t rank);
void wait_barrier(uint32_t barrier, uint32_t parity);

inline void fetch_map(const TensorMap*) {}
void load_box_to_all(uint32_t to, const TensorMap* map, uint32_t barrier, int x, int y, int z, uint16_t blocks);
inline void load_box(uint32_t to, const TensorMap* map, uint32_t barrier, int x, int y, int z) {
  load_box_to_all(to, map, barrier, x, y, z, static_cast<uint16_t>(1u << cluster_rank()));
}
inline void publish_writes() {}
void store_box(const TensorMap* map, uint32_t from, int x, int y, int z);
void commit_stores();
void wait_stores_read_but(int pending);
template <int kPending>
void wait_stores_read() {
  wait_stores_read_but(kPending);
}
inline void wait_stores() { wait_stores_read_but(0); }

inline void begin_multiply() {}
void multiply_later(float* d, int columns, bool along_ka, bool along_kb, uint64_t a, uint64_t b, bool adds);
template <bool kAlongKA, bool kAlongKB, int kCount>
void multiply(float (&d)[kCount], uint64_t a, uint64_t b, bool adds) {
  multiply_later(d, 2 * kCount, kAlongKA, kAlongKB, a, b, adds);
}
void commit_multiply();
void wait_multiply_but(int pending);
template <int kPending>
void wait_multiply() {
  wait_multiply_but(kPending);
}

uint32_t packed(float first, float second);

}  // namespace graft::cuda
