// Packing lifetimes into one arena: nothing that lives together overlaps, and little is wasted.
#include "arena.h"
#include "column.h"
#include "harness.h"

using namespace graft;
using namespace graft::test;

namespace {

size_t peak(const std::vector<Interval>& all) {
  size_t most = 0;
  for (const Interval& at : all) {  // the peak is reached where some interval begins
    size_t live = 0;
    for (const Interval& x : all)
      if (x.first <= at.first && at.first <= x.last) live += aligned(x.bytes);
    most = std::max(most, live);
  }
  return most;
}

void expect_sound(Harness& harness, std::vector<Interval> all, double most_waste) {
  std::vector<Interval> again = all;
  const size_t total = pack_arena(all), live = peak(all);
  for (size_t i = 0; i < all.size(); i++) {
    harness.expect(all[i].offset % 64 == 0, "interval ", i, " lies at ", all[i].offset);
    harness.expect(all[i].offset + all[i].bytes <= total, "interval ", i, " ends behind the arena");
    for (size_t j = 0; j < i; j++) {
      bool together = all[i].first <= all[j].last && all[j].first <= all[i].last;
      bool apart = all[i].offset + all[i].bytes <= all[j].offset || all[j].offset + all[j].bytes <= all[i].offset;
      harness.expect(!together || apart, "intervals ", i, " and ", j, " live together and overlap");
    }
  }
  harness.expect(total >= live, "the arena has ", total, " bytes, ", live, " live at once");
  harness.expect(static_cast<double>(total) <= most_waste * static_cast<double>(live), "the arena has ", total, " bytes where ", live, " live at once");
  harness.expect(pack_arena(again) == total, "a second packing has another size");
  for (size_t i = 0; i < all.size(); i++) harness.expect(again[i].offset == all[i].offset, "interval ", i, " moved in a second packing");
}

// Lifetimes of a training step of a chain: activation i lives from step i to its backward, gradients are short.
std::vector<Interval> chain(Random& random, int layers, bool keeps_activations) {
  std::vector<Interval> all;
  for (int i = 0; i < layers; i++) {
    size_t bytes = static_cast<size_t>(1024 * (1 + random.below(4))) << (layers - i) * 4 / layers;
    int backward = 2 * layers - 1 - i;
    all.push_back({i, keeps_activations ? backward : i + 1, bytes});
    if (keeps_activations) all.push_back({backward - 1, backward, bytes});
    if (random.below(3) == 0) all.push_back({i, i, bytes / 2});  // scratch
  }
  return all;
}

}  // namespace

int main(int argc, char** argv) {
  Harness harness(argc, argv);
  harness.test("nothing takes nothing", [&] {
    std::vector<Interval> none;
    harness.expect(pack_arena(none) == 0, "an empty arena has bytes");
  });
  harness.test("two that touch in one step do not share", [&] {
    std::vector<Interval> two{{0, 1, 64}, {1, 2, 64}};
    harness.expect(pack_arena(two) == 128, "expected 128 bytes");
  });
  harness.test("two that follow each other share", [&] {
    std::vector<Interval> two{{0, 1, 64}, {2, 3, 64}};
    harness.expect(pack_arena(two) == 64, "expected 64 bytes");
  });
  harness.test("random lifetimes", [&] {
    for (int i = 0; i < 50; i++) {
      Random random(harness.seed(), text("arena ", i));
      std::vector<Interval> all;
      for (int64_t n = 1 + random.below(80); n > 0; n--) {
        int first = static_cast<int>(random.below(100));
        all.push_back({first, first + static_cast<int>(random.below(30)), static_cast<size_t>(1 + random.below(100000))});
      }
      expect_sound(harness, all, 2);
    }
  });
  harness.test("training and inference of chains waste at most half", [&] {
    for (int i = 0; i < 30; i++) {
      Random random(harness.seed(), text("chain ", i));
      expect_sound(harness, chain(random, 5 + static_cast<int>(random.below(60)), i % 2 == 0), 1.5);
    }
  });
  return harness.finish();
}
