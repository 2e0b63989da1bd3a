// Packing of lifetimes into one arena: a pure function.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace graft {

// Live from step `first` to step `last`, both included.
struct Interval {
  int first, last;
  size_t bytes;
  size_t offset = 0;  // result
};

// Gives every interval an offset (multiples of 64) so that intervals that are live together do not overlap. Returns the
// bytes needed. Largest first, each at the lowest gap that fits (Pisarchyk & Lee 2020, "greedy by size").
size_t pack_arena(std::vector<Interval>& intervals);

}  // namespace graft
