// Products of bf16 matrices by wgmma: c = activation(factor * a b + bias + what lies there before or is added). A persistent grid of
// blocks, alone or two to a cluster that makes neighbouring tiles of one column and loads half of b each for both. tiles.h has the
// arithmetic and the layout of shared memory.
//
// The ring: full[s] has one arrival, of the block's own producer, which announces the bytes of a whole stage; TMA counts them, those that
// the other block sends among them (they may come before the announcement: the phase cannot end without it). empty[s] has an arrival of
// every consumer warp of every block of the cluster, as a stage is written from both sides.
#pragma once
#include "activation.cuh"
#include "matmul/wgmma.cuh"
#include "matmul/wgmma_product.h"

namespace graft::cuda {

constexpr int kConsumerWarps = kConsumers * kGroupThreads / 32;

#if GRAFT_WGMMA

struct alignas(8) Two {
  float x, y;
};

template <class T>
struct Written;  // how two neighbouring results are put into a box, and read from it
template <>
struct Written<Bf16> {
  static __device__ __forceinline__ void put(unsigned char* p, float x, float y) { *reinterpret_cast<uint32_t*>(p) = packed(x, y); }
  static __device__ __forceinline__ Two get(const unsigned char* p) {
    const uint32_t both = *reinterpret_cast<const uint32_t*>(p);
    return {__uint_as_float(both << 16), __uint_as_float(both & 0xFFFF0000u)};
  }
};
template <>
struct Written<float> {
  static __device__ __forceinline__ void put(unsigned char* p, float x, float y) { *reinterpret_cast<Two*>(p) = Two{x, y}; }
  static __device__ __forceinline__ Two get(const unsigned char* p) { return *reinterpret_cast<const Two*>(p); }
};

struct Range {
  int first, last;
};
// The slices along k that a unit adds up.
__device__ __forceinline__ Range range_of(const WgmmaArguments& p, const Unit& u) {
  const int part = static_cast<int>(u.layer / p.batch), first = part * p.slices_per_part, last = first + p.slices_per_part;
  return {first, last < p.slices ? last : p.slices};
}

// One thread: for every slice of every tile of this block, both factors into the ring.
template <bool kAlongKA, bool kAlongKB, int kColumns>
__device__ __forceinline__ void produce(const WgmmaArguments& p, uint32_t base, int rank) {
  const Room room{kColumns, p.stages, p.boxes};
  Ring ring{0, 1};
  for (uint32_t index = blockIdx.x / p.cluster; index < p.grid.units(); index += gridDim.x / p.cluster) {
    const Unit u = unit_of(p.grid, index);
    const Range range = range_of(p, u);
    const int batch = static_cast<int>(u.layer % p.batch), batch_a = p.shared_a ? 0 : batch, batch_b = p.shared_b ? 0 : batch;
    const int row = (static_cast<int>(u.row * p.cluster) + rank) * kTileRows, column = static_cast<int>(u.column) * kColumns;
    for (int slice = range.first; slice < range.last; slice++) {
      const bool second = slice >= p.first_slices;
      const TensorMap *map_a = second ? &p.a2 : &p.a, *map_b = second ? &p.b2 : &p.b;
      const int k = (second ? slice - p.first_slices : slice) * kSliceK;
      const uint32_t full = base + room.full(ring.stage), a = base + room.factor_a(ring.stage), b = base + room.factor_b(ring.stage);
      wait_barrier(base + room.empty(ring.stage), ring.parity);
      expect_bytes(full, room.stage_bytes());
      if (kAlongKA) {
        load_box(a, map_a, full, k, row, batch_a);
      } else {
#pragma unroll
        for (int i = 0; i < kTileRows / 64; i++) load_box(a + i * kPanelBytes, map_a, full, row + 64 * i, k, batch_a);
      }
      if (kAlongKB) {  // this block's part of the rows
        const int rows = kColumns / static_cast<int>(p.cluster), from = rank * rows;
        if (p.cluster == 1) load_box(b, map_b, full, k, column, batch_b);
        else load_box_to_all(b + from * kRowBytes, map_b, full, k, column + from, batch_b, 3);
      } else {  // this block's part of the k of each panel
        const int rows = kSliceK / static_cast<int>(p.cluster), from = rank * rows;
#pragma unroll
        for (int i = 0; i < kColumns / 64; i++) {
          const uint32_t to = b + i * kPanelBytes + from * kRowBytes;
          if (p.cluster == 1) load_box(to, map_b, full, column + 64 * i, k, batch_b);
          else load_box_to_all(to, map_b, full, column + 64 * i, k + from, batch_b, 3);
        }
      }
      ring.advance(p.stages);
    }
  }
}

// Adds up one tile's 64 rows in d.
template <bool kAlongKA, bool kAlongKB, int kColumns>
__device__ __forceinline__ void add_up(const WgmmaArguments& p, uint32_t base, int consumer, const Range& range, Ring& ring, float (&d)[kColumns / 2]) {
  const Room room{kColumns, p.stages, p.boxes};
  const uint32_t lane = threadIdx.x % 32;
  int before = 0;
#pragma unroll 1
  for (int slice = range.first; slice < range.last; slice++) {
    wait_barrier(base + room.full(ring.stage), ring.parity);
    const uint64_t a = factor_descriptor(kAlongKA, base + room.factor_a(ring.stage), consumer);
    const uint64_t b = factor_descriptor(kAlongKB, base + room.factor_b(ring.stage), 0);
    begin_multiply();
#pragma unroll
    for (int step = 0; step < kSliceK / kStepK; step++)
      multiply<kAlongKA, kAlongKB>(d, a + descriptor_step(kAlongKA, step), b + descriptor_step(kAlongKB, step), slice != range.first || step != 0);
    commit_multiply();
    if (slice != range.first) {  // this slice is under way while the one before is given back
      wait_multiply<1>();
      if (lane < p.cluster) arrive(base + room.empty(before), lane);
    }
    before = ring.stage;
    ring.advance(p.stages);
  }
  wait_multiply<0>();
  if (lane < p.cluster) arrive(base + room.empty(before), lane);
}

// Stores one tile's 64 rows by way of boxes of 64 rows and 128 bytes. With p.loads every box holds what is added, and takes the results;
// else two boxes are filled in turns.
template <int kColumns, class T, Activation kActivation>
__device__ __forceinline__ void finish(const WgmmaArguments& p, unsigned char* shared, uint32_t base, int consumer, int row, int column, int layer,
                                       uint32_t& boxes_used, float (&d)[kColumns / 2]) {
  const Room room{kColumns, p.stages, p.boxes};
  const int t = static_cast<int>(threadIdx.x) % kGroupThreads;
  constexpr int kWidth = static_cast<int>(kRowBytes / sizeof(T));
  const float factor = p.factor ? p.times * *p.factor : p.times;
  const int first_row = accumulator_row(t, 0);
  const auto next_box = [&](int chunk) {
    if (p.loads) return room.box(consumer, chunk);
    if (t == 0) wait_stores_read<1>();
    __syncwarp();
    group_barrier(consumer);
    return room.box(consumer, static_cast<int>(boxes_used++ & 1));
  };
  const auto send = [&](const TensorMap* map, uint32_t box, int chunk) {
    publish_writes();
    group_barrier(consumer);
    if (t == 0) {
      if (row < p.m && column + chunk * kWidth < p.n) store_box(map, base + box, column + chunk * kWidth, row, layer);
      commit_stores();
    }
    __syncwarp();
  };
#pragma unroll
  for (int chunk = 0; chunk < kColumns / kWidth; chunk++) {
    float(&v)[kWidth / 2] = reinterpret_cast<float(&)[kWidth / 2]>(d[chunk * (kWidth / 2)]);
    uint32_t box = next_box(chunk);
#pragma unroll
    for (int i = 0; i < kWidth / 2; i += 4) {
      const int j = accumulator_column(t, i), at = column + chunk * kWidth + j;
      const float bias0 = p.bias && at < p.n ? p.bias[at] : 0, bias1 = p.bias && at + 1 < p.n ? p.bias[at + 1] : 0;
      v[i] = factor * v[i] + bias0, v[i + 1] = factor * v[i + 1] + bias1;
      v[i + 2] = factor * v[i + 2] + bias0, v[i + 3] = factor * v[i + 3] + bias1;
      if (p.loads) {
        const Two upper = Written<T>::get(shared + box + box_offset(first_row, j, sizeof(T))), lower = Written<T>::get(shared + box + box_offset(first_row + 8, j, sizeof(T)));
        v[i] += upper.x, v[i + 1] += upper.y, v[i + 2] += lower.x, v[i + 3] += lower.y;
      }
    }
    if (p.saves) {
#pragma unroll
      for (int i = 0; i < kWidth / 2; i += 2)
        Written<T>::put(shared + box + box_offset(first_row + (i & 2) * 4, accumulator_column(t, i), sizeof(T)), v[i], v[i + 1]);
      send(&p.saved, box, chunk);
      box = next_box(chunk);
    }
#pragma unroll
    for (int i = 0; i < kWidth / 2; i += 2) {
      float x = v[i], y = v[i + 1];
      if (kActivation != Activation::None) {
        x = activate(kActivation, 0, x), y = activate(kActivation, 0, y);
      } else if (p.rectifies) {
        x = activate(Activation::Relu, 0, x), y = activate(Activation::Relu, 0, y);
      }
      Written<T>::put(shared + box + box_offset(first_row + (i & 2) * 4, accumulator_column(t, i), sizeof(T)), x, y);
    }
    send(&p.c, box, chunk);
  }
}

template <bool kAlongKA, bool kAlongKB, int kColumns, class T, Activation kActivation>
__device__ __forceinline__ void consume(const WgmmaArguments& p, unsigned char* shared, uint32_t base, int rank, int consumer) {
  const Room room{kColumns, p.stages, p.boxes};
  constexpr int kChunks = chunks(kColumns, sizeof(T)), kWidth = static_cast<int>(kRowBytes / sizeof(T));
  const bool leads = threadIdx.x % kGroupThreads == 0;
  const uint32_t loaded = base + room.loaded(consumer);
  Ring ring{0, 0};
  uint32_t loads = 0, boxes_used = 0;
  float d[kColumns / 2];
  for (uint32_t index = blockIdx.x / p.cluster; index < p.grid.units(); index += gridDim.x / p.cluster) {
    const Unit u = unit_of(p.grid, index);
    const int row = (static_cast<int>(u.row * p.cluster) + rank) * kTileRows + consumer * kGroupRows, column = static_cast<int>(u.column) * kColumns;
    const int layer = static_cast<int>(u.layer);
    if (p.loads && leads) {  // while the tile is added up
      wait_stores_read<0>();
      expect_bytes(loaded, kChunks * kBoxBytes);
      for (int i = 0; i < kChunks; i++) load_box(base + room.box(consumer, i), &p.before, loaded, column + i * kWidth, row, layer);
    }
    __syncwarp();
    add_up<kAlongKA, kAlongKB, kColumns>(p, base, consumer, range_of(p, u), ring, d);
    if (p.loads) wait_barrier(loaded, loads++ & 1);
    finish<kColumns, T, kActivation>(p, shared, base, consumer, row, column, layer, boxes_used, d);
  }
  if (leads) wait_stores();
  __syncwarp();
}

#endif

template <bool kAlongKA, bool kAlongKB, int kColumns, class T, Activation kActivation>
__global__ void __launch_bounds__(kProductThreads, 1) wgmma_product(const __grid_constant__ WgmmaArguments p) {
#if GRAFT_WGMMA
  unsigned char* const shared = product_memory();
  const uint32_t base = window_address(shared);
  const Room room{kColumns, p.stages, p.boxes};
  const int rank = static_cast<int>(cluster_rank());
  if (threadIdx.x == 0) {
    fetch_map(&p.a), fetch_map(&p.b), fetch_map(&p.c);
    for (int i = 0; i < p.stages; i++) {
      init_barrier(base + room.full(i), 1);
      init_barrier(base + room.empty(i), kConsumerWarps * static_cast<int>(p.cluster));
    }
    for (int i = 0; i < kConsumers; i++) init_barrier(base + room.loaded(i), 1);
    publish_barriers();
  }
  __syncwarp();
  cluster_barrier();
  const int group = __shfl_sync(0xFFFFFFFFu, static_cast<int>(threadIdx.x) / kGroupThreads, 0);  // known to be one for the warp
  if (group == kConsumers) {
    give_registers<kProducerRegisters>();
    if (threadIdx.x == kConsumers * kGroupThreads) produce<kAlongKA, kAlongKB, kColumns>(p, base, rank);
    __syncwarp();
  } else {
    take_registers<kConsumerRegisters>();
    consume<kAlongKA, kAlongKB, kColumns, T, kActivation>(p, shared, base, rank, group);
  }
  cluster_barrier();  // shared memory of this block takes copies and arrivals of the other until both are through
#endif
}

}  // namespace graft::cuda
