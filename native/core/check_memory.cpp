// What a plan takes of memory, counted by group and held against the limit before any of it is allocated.
#include <algorithm>

#include "passes.h"

namespace graft {
namespace {

std::string mib(size_t bytes) { return text((bytes + (1 << 20) - 1) >> 20, " MiB"); }

// Which smaller batch would do, where `growing` bytes grow with the batch.
std::string fitting(size_t limit, size_t fixed, size_t growing, int batch) {
  if (fixed >= limit || batch < 2 || growing == 0) return "no batch fits";
  const size_t fits = std::min(static_cast<size_t>(static_cast<double>(limit - fixed) / static_cast<double>(growing) * batch), static_cast<size_t>(batch) - 1);
  return fits >= 1 ? text("a batch of about ", fits, " would fit") : "no batch fits";
}

}  // namespace

void check_memory(PlanMemory& memory, const StoreUse& use, const Params& params, size_t limit, int batch) {
  for (const auto& form : use.forms) {
    memory.packed += form->bytes();
    if (form->stale(params)) memory.packed_new += form->bytes();
  }
  size_t plain_new = 0;
  for (int p : use.plain) {
    const size_t bytes = 4 * static_cast<size_t>(params.shape(p).count());
    memory.plain += bytes;
    if (!params.has_plain(p)) plain_new += bytes;
  }
  const size_t trained_new = memory.trained_new = use.trained.items.empty() ? 0 : params.new_bytes(use.trained);
  const size_t other = plain_new + memory.step_block + memory.resident + memory.feeds;
  const size_t fixed = memory.packed_new + trained_new + other;
  const size_t needed = memory.arena + fixed;
  if (needed <= limit) return;

  throw Error(GRAFT_OUT_OF_MEMORY, text("the plan needs ", mib(needed), " and ", mib(limit), " are available: arena ", mib(memory.arena),
              ", packed weights ", mib(memory.packed_new), ", weights, gradients and moments of what is trained ", mib(trained_new), ", other ",
              mib(other), "; at batch ", batch, ", ", fitting(limit, fixed - memory.feeds, memory.arena + memory.feeds, batch)));
}

Error with_groups(const Error& refused, const PlanMemory& m, int batch, size_t free, size_t fixed) {
  if (refused.status() != GRAFT_OUT_OF_MEMORY) return refused;
  const size_t held = m.trained + m.gradients + m.moments + m.anchor, trained = held ? held : m.trained_new, other = m.plain + m.step_block + m.resident + m.feeds;
  return Error(GRAFT_OUT_OF_MEMORY, text(refused.what(), ", less than when the plan was compiled; at batch ", batch, " it takes ", mib(m.arena + m.packed + trained + other), ": arena ", mib(m.arena),
               ", packed weights ", mib(m.packed), ", weights, gradients and moments of what is trained ", mib(trained), ", other ", mib(other), "; in ", mib(free), " ",
               fitting(free, fixed, m.arena + m.feeds, batch)));
}

}  // namespace graft
