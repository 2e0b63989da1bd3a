// Blocks of GPU threads on one CPU thread: each thread of a block is a fibre that runs until it waits for others (a barrier, an
// exchange in its warp) and is resumed when all have come. So the threads of a block see each other's shared memory as on a GPU, and
// what a kernel may not do becomes an error that names the place:
//   a barrier that some threads of the block never reach, or two barriers waited for at once,
//   an exchange in a warp that a thread of its mask does not join,
//   writing beside shared memory. Shared memory begins as NaN in every block,
//   ending with a copy under way. The destination of a copy is NaN until the thread that began it has waited for it,
//   threads that all look again and again for something that none of them does.
// The blocks of a cluster run at once, each with dynamic shared memory of its own; block_barrier is one of all its threads.
// Warps and the threads in them are resumed in an order drawn from a seed (GRAFT_FIBRE_SEED, 1 without it): with another seed a missing
// barrier shows elsewhere. Memory ordering, speed and what depends on either are not modelled.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>

namespace graft::emulated {

struct Coordinates {
  unsigned x = 1, y = 1, z = 1;
  constexpr Coordinates(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

// Where a thread waits, in source.
struct Place {
  const char* file;
  int line;
};

constexpr size_t kExchanged = 32;  // bytes that a lane can hand to others at once

// Of the fibre that runs now. Only valid within launch().
const Coordinates& thread_index();
const Coordinates& block_index();
const Coordinates& block_shape();
const Coordinates& grid_shape();
int lane();

void block_barrier(Place place);
// Waits until all lanes of the mask have come with `bytes` of `value`; then lane i's value lies at exchanged(i), until this thread's
// next call.
void warp_barrier(uint32_t mask, const void* value, size_t bytes, Place place);
const void* exchanged(int lane);

// Copies that run by themselves, in groups: `bytes` from `from`, then zeros up to `whole`, land in `to` when the thread waits for all
// but its `newest` last groups.
void copy_later(void* to, const void* from, size_t bytes, size_t whole);
void commit_copies();
void wait_copies(size_t newest);
void require_aligned(const void* address, size_t to);
// For a thread that waits for something which is none of the above: it calls poll() until it is there, and who brings it about calls
// progress().
void poll(Place place);
void progress();

// Shared memory of the block: the same bytes for every thread that names the same site.
void* shared_memory(const void* site, size_t bytes, size_t alignment);
void* dynamic_shared_memory();

// Of a cluster: the number of this thread's block in it, and the dynamic shared memory of any.
int cluster_rank();
void* dynamic_shared_memory(int rank);
size_t dynamic_shared_bytes();

// Runs `thread` once for every thread of the grid, whose blocks along x make clusters. Throws Error where the kernel breaks a rule above.
void launch(const void* kernel, Coordinates grid, Coordinates block, size_t dynamic_shared, const std::function<void()>& thread, unsigned cluster = 1);

uint64_t fibre_seed();
void set_fibre_seed(uint64_t seed);
// Kernels, as different functions, that were launched so far in this process, and how often in all.
size_t kernels_launched();
int64_t launches();

}  // namespace graft::emulated
