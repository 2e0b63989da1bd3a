#include "arena.h"

#include <algorithm>
#include <numeric>

namespace graft {

size_t pack_arena(std::vector<Interval>& intervals) {
  std::vector<size_t> order(intervals.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return intervals[a].bytes > intervals[b].bytes; });
  std::vector<size_t> placed;  // sorted by offset
  size_t total = 0;
  for (size_t i : order) {
    Interval& x = intervals[i];
    size_t bytes = (x.bytes + 63) / 64 * 64;
    size_t best = 0, best_gap = static_cast<size_t>(-1), free_from = 0;
    bool found = false;
    for (size_t j : placed) {
      const Interval& y = intervals[j];
      if (y.last < x.first || x.last < y.first) continue;
      if (y.offset >= free_from + bytes && y.offset - free_from < best_gap) {
        best_gap = y.offset - free_from;
        best = free_from;
        found = true;
      }
      free_from = std::max(free_from, y.offset + (y.bytes + 63) / 64 * 64);
    }
    x.offset = found ? best : free_from;
    total = std::max(total, x.offset + bytes);
    placed.insert(std::upper_bound(placed.begin(), placed.end(), i, [&](size_t a, size_t b) { return intervals[a].offset < intervals[b].offset; }), i);
  }
  return total;
}

}  // namespace graft
