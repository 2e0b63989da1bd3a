// The arithmetic of products by wgmma and TMA (compute capability 9.0a), as functions of numbers alone: the kernel computes with them and
// tests hold them to the rules of the PTX ISA (8.x: 9.7.15 wgmma, 9.7.9.27 cp.async.bulk.tensor, 9.7.13.15 mbarrier).
//
// A block of three warpgroups makes tiles of 128 x N: two consumers make 64 rows each, one thread of the third loads for them. A stage of
// the ring in shared memory holds a slice of 64 along k of both factors: a, 128 x 64, then b, N x 64. Factors lie in memory with k or
// the other axis ("mn") contiguous, and lie so in shared memory too, in rows of 128 bytes that TMA writes swizzled:
//   along k   row i of the tile is 64 k of it; rows follow one another
//   along mn  row l is 64 neighbouring i at one k; 64 such rows make a panel of 8 KiB, panels follow one another
#pragma once
#include <cstdint>

#if defined(__CUDACC__)
#define GRAFT_BOTH __host__ __device__ constexpr
#else
#define GRAFT_BOTH constexpr
#endif

namespace graft::cuda {

constexpr int kTileRows = 128, kGroupRows = 64, kSliceK = 64, kStepK = 16;  // kStepK: of one wgmma on 16-bit factors
constexpr int kGroupThreads = 128, kConsumers = 2, kProductThreads = (kConsumers + 1) * kGroupThreads;
constexpr uint32_t kRowBytes = 128, kPanelBytes = 64 * kRowBytes, kPattern = 1024;  // kPattern: what the swizzle repeats after
constexpr uint32_t kBoxBytes = kGroupRows * kRowBytes;                               // results of a consumer, 128 bytes of each row

// Registers of a thread as setmaxnreg sets them: multiples of 8 in [24, 256]. A block starts with 168 each, what
// __launch_bounds__(384, 1) leaves of 65536.
constexpr int kProducerRegisters = 40, kConsumerRegisters = 232, kLaunchRegisters = 168;
static_assert((kConsumers * kConsumerRegisters + kProducerRegisters) * kGroupThreads <= kLaunchRegisters * kProductThreads, "the pool is what the block started with");

// Where the 128-byte swizzle puts the byte at `offset` of memory that begins on kPattern: 16-byte units within a row of 128 bytes are
// exchanged by exclusive or with the row's number in its group of eight.
GRAFT_BOTH uint32_t swizzled(uint32_t offset) { return offset ^ (offset >> 3 & 0x70); }

// A matrix descriptor of wgmma: bits 0-13 start address, 16-29 leading and 32-45 stride dimension byte offset, each without its lower
// four bits; 49-51 base offset, 0 as all patterns begin on kPattern; 62-63 swizzle, 1 for 128 bytes.
GRAFT_BOTH uint64_t descriptor_field(uint32_t bytes) { return (bytes & 0x3FFFF) >> 4; }
GRAFT_BOTH uint64_t descriptor(uint32_t address, uint32_t leading, uint32_t stride) {
  return descriptor_field(address) | descriptor_field(leading) << 16 | descriptor_field(stride) << 32 | uint64_t{1} << 62;
}

// Of the part of a factor that one wgmma reads: 64 rows from `part` * 64 on (of b: all, part 0), 16 k; descriptor_step adds 16 k.
//   along k   stride: from eight rows to the next eight; leading is not used where rows are swizzled, 1 by convention
//   along mn  stride: from eight k to the next eight; leading: from one panel to the next
// The start lies below 256 KiB with the whole tile, so that a step is added to the descriptor without a carry out of its field.
GRAFT_BOTH uint64_t factor_descriptor(bool along_k, uint32_t tile, int part) {
  return descriptor(tile + static_cast<uint32_t>(part) * kPanelBytes, along_k ? 16 : kPanelBytes, 8 * kRowBytes);
}
GRAFT_BOTH uint64_t descriptor_step(bool along_k, int step) {
  return descriptor_field(static_cast<uint32_t>(step) * (along_k ? kStepK * 2 : kStepK * kRowBytes));
}

// Where the accumulator d[i] of thread `t` of a warpgroup lies in its 64 x N part of the result.
GRAFT_BOTH int accumulator_row(int t, int i) { return t / 32 * 16 + t % 32 / 4 + (i & 2) * 4; }
GRAFT_BOTH int accumulator_column(int t, int i) { return i / 4 * 8 + t % 4 * 2 + (i & 1); }

// Where element (row, column) of a box of results lies: 64 rows of 128 bytes, swizzled. `size`: bytes of an element.
GRAFT_BOTH uint32_t box_offset(int row, int column, int size) { return swizzled(static_cast<uint32_t>(row) * kRowBytes + static_cast<uint32_t>(column * size)); }

// The stage of a ring that is used next, and the parity of the phase of its barrier to wait for. A consumer starts with parity 0, the
// first phase; a producer with 1, the phase before the first, which counts as complete.
struct Ring {
  int stage;
  uint32_t parity;
  GRAFT_BOTH void advance(int stages) {
    if (++stage == stages) {
      stage = 0;
      parity ^= 1;
    }
  }
};

// Shared memory of a block, from an address on kPattern on: stages, boxes of each consumer, barriers of 8 bytes.
struct Room {
  int columns, stages, boxes;  // columns: N; boxes: of each consumer
  GRAFT_BOTH uint32_t factor_a(int stage) const { return static_cast<uint32_t>(stage) * stage_bytes(); }
  GRAFT_BOTH uint32_t factor_b(int stage) const { return factor_a(stage) + kTileRows * kRowBytes; }
  GRAFT_BOTH uint32_t stage_bytes() const { return static_cast<uint32_t>(kTileRows + columns) * kRowBytes; }
  GRAFT_BOTH uint32_t box(int consumer, int i) const { return static_cast<uint32_t>(stages) * stage_bytes() + static_cast<uint32_t>(consumer * boxes + i) * kBoxBytes; }
  GRAFT_BOTH uint32_t full(int stage) const { return box(kConsumers, 0) + 8 * static_cast<uint32_t>(stage); }
  GRAFT_BOTH uint32_t empty(int stage) const { return full(stages + stage); }
  GRAFT_BOTH uint32_t loaded(int consumer) const { return full(2 * stages + consumer); }
  GRAFT_BOTH uint32_t bytes() const { return full(2 * stages + kConsumers) + kPattern; }  // the base is put on kPattern by hand
};

// Boxes of a tile along its columns.
GRAFT_BOTH int chunks(int columns, int result_size) { return columns * result_size / static_cast<int>(kRowBytes); }

// The order in which tiles are made: blocks work on neighbouring units at once, so that units of one time should read few different rows
// and columns. Columns are walked through `kBand` rows of tiles at a time.
constexpr uint32_t kBand = 8;
struct Grid {
  uint32_t rows, columns, layers;  // tiles (of a cluster, along the rows) and parts of k times batches
  GRAFT_BOTH uint32_t units() const { return rows * columns * layers; }
};
struct Unit {
  uint32_t row, column, layer;
};
GRAFT_BOTH Unit unit_of(const Grid& grid, uint32_t index) {
  const uint32_t tiles = grid.rows * grid.columns, layer = index / tiles, tile = index - layer * tiles;
  const uint32_t band = tile / (kBand * grid.columns), within = tile - band * kBand * grid.columns;
  const uint32_t left = grid.rows - band * kBand, height = left < kBand ? left : kBand;
  const uint32_t column = within / height;
  return {band * kBand + within - column * height, column, layer};
}

}  // namespace graft::cuda
