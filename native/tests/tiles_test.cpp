// The arithmetic of products by wgmma (cuda/matmul/tiles.h) against the rules of the PTX ISA and CuTe's canonical layouts.
#include "cuda/matmul/tiles.h"

#include <map>
#include <set>

#include "harness.h"

using namespace graft;
using namespace graft::cuda;
using namespace graft::test;

namespace {

// Where a wgmma looks for element (i, k) of a factor, by the descriptor's fields alone.
uint32_t looked_for(uint64_t descriptor, bool along_k, uint32_t i, uint32_t k) {
  const auto field = [&](int bit) { return static_cast<uint32_t>(descriptor >> bit & 0x3FFF) << 4; };
  const uint32_t address = along_k ? field(0) + i % 8 * 128 + i / 8 * field(32) + k * 2
                                   : field(0) + i % 64 * 2 + i / 64 * field(16) + k % 8 * 128 + k / 8 * field(32);
  return address ^ (address >> 7 & 7) << 4;
}

void addresses(Harness& harness) {
  harness.test("the swizzle exchanges units of 16 bytes within rows of 128, differently in each of eight rows", [&] {
    for (uint32_t row = 0; row < 16; row++) {
      std::set<uint32_t> units;
      for (uint32_t unit = 0; unit < 8; unit++) {
        const uint32_t to = swizzled(row * 128 + unit * 16);
        harness.expect(to / 128 == row && to % 16 == 0, "row ", row, ", unit ", unit, " goes to ", to);
        harness.expect(to / 16 % 8 == (unit ^ row % 8), "row ", row, ", unit ", unit, " goes to unit ", to / 16 % 8);
        units.insert(to);
      }
      harness.expect(units.size() == 8, "row ", row, " has ", units.size(), " units");
    }
  });
  harness.test("a descriptor's fields lie at the bits of the PTX ISA", [&] {
    const uint64_t d = descriptor(0x1A340, 8192, 1024);
    harness.expect((d & 0x3FFF) == 0x1A34, "start ", d & 0x3FFF);
    harness.expect((d >> 16 & 0x3FFF) == 512 && (d >> 32 & 0x3FFF) == 64, "offsets ", d >> 16 & 0x3FFF, " and ", d >> 32 & 0x3FFF);
    harness.expect(d >> 62 == 1 && d >> 46 == 0x10000, "upper bits ", d >> 46);
    harness.expect((d >> 14 & 3) == 0 && (d >> 30 & 3) == 0, "reserved bits are set");
    harness.expect(factor_descriptor(true, 0, 0) == 0x4000004000010000u, "of a tile along k at 0: ", factor_descriptor(true, 0, 0));
  });
  harness.test("wgmma finds each element of a stage where TMA puts it", [&] {
    const Room room{256, 4, 2};
    const uint32_t base = 3 * kPattern;
    for (int stage = 0; stage < room.stages; stage++)
      for (bool along_k : {true, false})
        for (bool left : {true, false}) {
          const uint32_t tile = base + (left ? room.factor_a(stage) : room.factor_b(stage));
          for (int i = 0; i < (left ? kTileRows : 256); i++)
            for (int k = 0; k < kSliceK; k++) {
              const uint32_t row = static_cast<uint32_t>(along_k ? i : k), column = static_cast<uint32_t>(along_k ? k : i % 64);
              const uint32_t panel = along_k ? 0 : static_cast<uint32_t>(i / 64) * kPanelBytes;
              const uint32_t written = tile + panel + swizzled(row * kRowBytes + column * 2);
              const uint64_t d = factor_descriptor(along_k, tile, left ? i / 64 : 0) + descriptor_step(along_k, k / kStepK);
              const uint32_t found = looked_for(d, along_k, static_cast<uint32_t>(left ? i % 64 : i), static_cast<uint32_t>(k % kStepK));
              harness.expect(found == written, left ? "a" : "b", along_k ? " along k" : " along mn", ", element (", i, ", ", k, ") is at ", written, ", looked for at ", found);
            }
        }
  });
  harness.test("the last stage's descriptors do not carry out of their field", [&] {
    for (int columns : {128, 192, 256}) {
      Room room{columns, 1, 2};
      while (Room{columns, room.stages + 1, 2}.bytes() <= 232448) room.stages++;
      const uint32_t end = kPattern + room.factor_a(room.stages);
      harness.expect(end <= 0x40000, "stages end at ", end, ", descriptors reach to 262144");
    }
  });
}

void results(Harness& harness) {
  harness.test("accumulators cover a consumer's part of a tile, each element once", [&] {
    for (int columns : {128, 192, 256}) {
      std::set<std::pair<int, int>> seen;
      for (int t = 0; t < kGroupThreads; t++)
        for (int i = 0; i < columns / 2; i++) seen.insert({accumulator_row(t, i), accumulator_column(t, i)});
      harness.expect(seen.size() == static_cast<size_t>(kGroupRows * columns), columns, " columns: ", seen.size(), " elements");
      harness.expect(seen.begin()->first == 0 && seen.rbegin()->first == kGroupRows - 1 && seen.rbegin()->second == columns - 1, "beyond the tile");
    }
    // Figure of m64nNk16's accumulator: thread 37 is lane 5 of warp 1; its d[6] is row 16 + 1 + 8, column 8 + 2.
    harness.expect(accumulator_row(37, 6) == 25 && accumulator_column(37, 6) == 10, "thread 37, d[6]: ", accumulator_row(37, 6), ", ", accumulator_column(37, 6));
  });
  harness.test("a warp puts bf16 results into all banks at once", [&] {
    for (int i = 0; i < 32; i += 2) {
      std::set<uint32_t> banks;
      for (int t = 0; t < 32; t++) banks.insert(box_offset(accumulator_row(t, i), accumulator_column(t, i), 2) / 4 % 32);
      harness.expect(banks.size() == 32, "d[", i, "]: ", banks.size(), " banks");
    }
  });
}

void memory(Harness& harness) {
  harness.test("what shared memory holds does not overlap and is aligned", [&] {
    for (int columns : {128, 192, 256})
      for (int boxes : {2, 4, 6}) {
        Room room{columns, 1, boxes};
        while (Room{columns, room.stages + 1, boxes}.bytes() <= 232448) room.stages++;
        harness.expect(room.stages >= 2, columns, " columns, ", boxes, " boxes: ", room.stages, " stages");
        std::map<uint32_t, uint32_t> pieces;
        for (int s = 0; s < room.stages; s++) {
          pieces[room.factor_a(s)] = kTileRows * kSliceK * 2;
          pieces[room.factor_b(s)] = static_cast<uint32_t>(columns) * kSliceK * 2;
          pieces[room.full(s)] = pieces[room.empty(s)] = 8;
        }
        for (int c = 0; c < kConsumers; c++) {
          pieces[room.loaded(c)] = 8;
          for (int i = 0; i < boxes; i++) pieces[room.box(c, i)] = kBoxBytes;
        }
        harness.expect(pieces.size() == static_cast<size_t>(4 * room.stages + kConsumers * (boxes + 1)), "two pieces begin at one address");
        uint32_t end = 0;
        for (const auto& [start, bytes] : pieces) {
          harness.expect(start >= end && start % (bytes == 8 ? 8 : kPattern) == 0, "a piece at ", start, " after one that ends at ", end);
          end = start + bytes;
        }
        harness.expect(end + kPattern <= room.bytes() && room.bytes() <= 232448, "ends at ", end, " of ", room.bytes());
        harness.expect(room.stage_bytes() < 1 << 20, "an mbarrier counts less than 2^20 bytes");
      }
  });
  harness.test("a producer is one round ahead of a consumer, which waits for the phases in turn", [&] {
    Ring producer{0, 1}, consumer{0, 0};
    uint32_t full[3] = {}, empty[3] = {};  // phases that are complete
    for (int i = 0; i < 20; i++) {
      // waiting for parity p passes when the number of complete phases is odd for p = 0, even for p = 1
      harness.expect(empty[producer.stage] % 2 != producer.parity, "slice ", i, ": the producer would wait");
      full[producer.stage]++;
      harness.expect(full[consumer.stage] % 2 != consumer.parity && producer.stage == consumer.stage, "slice ", i, ": the consumer would wait");
      Ring next = producer;
      next.advance(3);
      if (i >= 2) harness.expect(empty[next.stage] % 2 != next.parity || next.stage == consumer.stage, "slice ", i);
      empty[consumer.stage]++;
      producer.advance(3), consumer.advance(3);
    }
  });
  harness.test("a producer does not overtake: a full stage must be given back first", [&] {
    Ring producer{0, 1};
    const uint32_t nothing_given_back = 0;
    for (int i = 0; i < 3; i++) producer.advance(3);
    harness.expect(nothing_given_back % 2 == producer.parity, "the fourth slice would not wait");
  });
}

void order(Harness& harness) {
  harness.test("every tile is made once", [&] {
    for (uint32_t rows : {1u, 7u, 8u, 9u, 99u})
      for (uint32_t columns : {1u, 3u, 12u})
        for (uint32_t layers : {1u, 5u}) {
          const Grid grid{rows, columns, layers};
          std::set<std::tuple<uint32_t, uint32_t, uint32_t>> seen;
          for (uint32_t i = 0; i < grid.units(); i++) {
            const Unit u = unit_of(grid, i);
            harness.expect(u.row < rows && u.column < columns && u.layer < layers, "unit ", i, " is at ", u.row, ", ", u.column, ", ", u.layer);
            seen.insert({u.row, u.column, u.layer});
          }
          harness.expect(seen.size() == grid.units(), rows, " x ", columns, " x ", layers, ": ", seen.size(), " tiles");
        }
  });
  harness.test("66 clusters that work at once read few rows and columns", [&] {
    const Grid grid{32, 32, 1};
    for (uint32_t first = 0; first + 66 <= grid.units(); first += 66) {
      std::set<uint32_t> rows, columns;
      for (uint32_t i = first; i < first + 66; i++) {
        const Unit u = unit_of(grid, i);
        rows.insert(u.row), columns.insert(u.column);
      }
      harness.expect(rows.size() + columns.size() <= 27, "from ", first, ": ", rows.size(), " rows and ", columns.size(), " columns"); // row by row: 32 + 3
    }
  });
}

}  // namespace

int main(int argc, char** argv) {
  Harness harness(argc, argv);
  addresses(harness);
  results(harness);
  memory(harness);
  order(harness);
  return harness.finish();
}
