// How long each value lives, which values may lie on each other, and where all of them lie in the arena.
#pragma once
#include <vector>

#include "draft.h"

namespace graft {

struct Layout {
  std::vector<size_t> offset;  // per draft value (of its root), bytes; of a resident input in the session's memory
  size_t bytes = 0;            // of the arena
  size_t resident = 0;         // of inputs in memory of the session
  size_t unshared = 0;         // sum of all values
};

Layout lay_out(Draft& draft);

}  // namespace graft
