#include "emulated/threads.h"

#include <sys/mman.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <exception>
#include <mutex>
#include <set>
#include <utility>
#include <vector>

#include "emulated/stacks.h"
#include "error.h"

namespace graft::emulated {
namespace {

constexpr unsigned kLanes = 32;
constexpr size_t kStack = 256 << 10;  // reserved; a page is taken when it is touched
constexpr size_t kGuard = 64;         // bytes of a known value behind each piece of shared memory
constexpr unsigned char kUntouched = 0xA5;

enum class State : uint8_t { Ready, Polling, InWarp, AtBarrier, Done };

struct Copy {
  void* to;
  const void* from;
  size_t bytes, whole, group;
};

struct Fibre {
  Stack stack;
  Coordinates index;
  State state;
  uint32_t mask;
  Place place;
  alignas(16) unsigned char value[kExchanged];
  std::vector<Copy> copies;  // under way, oldest first
  size_t groups;             // committed
};

// A piece of shared memory and its guard.
struct Piece {
  const void* site;
  size_t bytes;
  std::vector<unsigned char> memory;
  unsigned char* start;
};

class Block;
thread_local Block* running = nullptr;

class Block {
 public:
  ~Block() {
    if (stacks_) munmap(stacks_, stack_count_ * kStack);
  }

  void run(Coordinates index, Coordinates shape, Coordinates grid, size_t dynamic_shared, const std::function<void()>& thread, uint64_t seed, unsigned cluster) {
    index_ = index, shape_ = shape, grid_ = grid, thread_ = &thread, seed_ = seed;
    blocks_.assign(cluster, index);
    for (unsigned i = 0; i < cluster; i++) blocks_[i].x += i;
    prepare();
    pieces_.clear();
    dynamic_.clear();
    for (const Coordinates& block : blocks_) dynamic_.push_back(piece(&block, dynamic_shared, 16));
    dynamic_bytes_ = dynamic_shared;
    Block* before = running;
    running = this;
    try {
      while (!rounds()) release_barrier();
    } catch (...) {
      running = before;
      Stack::forget(stacks_, stack_count_ * kStack);
      throw;
    }
    running = before;
    for (const Fibre& f : fibres_)
      if (!f.copies.empty()) fail(text("thread ", &f - fibres_.data(), " ended with a copy under way"));
    for (const Piece& p : pieces_)
      for (size_t i = 0; i < kGuard; i++)
        if (p.start[p.bytes + i] != kUntouched) fail(text("shared memory of ", p.bytes, " bytes was written ", i, " bytes behind its end"));
  }

  // Called by fibres.
  void wait(State state, uint32_t mask, Place place) {
    Fibre& f = *current_;
    f.state = state;
    f.mask = mask;
    f.place = place;
    f.stack.leave_for(scheduler_);
  }
  void copy_later(void* to, const void* from, size_t bytes, size_t whole) {
    for (const void* p : {static_cast<const void*>(to), from}) require_aligned(p, whole);
    if (bytes > whole) fail(text("a copy of ", whole, " bytes was asked to read ", bytes));
    std::memset(to, 0xFF, whole);
    current_->copies.push_back({to, from, bytes, whole, current_->groups});
  }
  void wait_copies(size_t newest) {
    std::vector<Copy>& copies = current_->copies;
    size_t done = 0;
    for (; done < copies.size() && copies[done].group + newest < current_->groups; done++) {
      const Copy& c = copies[done];
      std::memcpy(c.to, c.from, c.bytes);
      std::memset(static_cast<char*>(c.to) + c.bytes, 0, c.whole - c.bytes);
    }
    copies.erase(copies.begin(), copies.begin() + static_cast<std::ptrdiff_t>(done));
  }
  void require_aligned(const void* address, size_t to) const {
    if (reinterpret_cast<uintptr_t>(address) % to != 0) fail(text("an address that is not aligned to ", to, " bytes"));
  }
  unsigned char* piece(const void* site, size_t bytes, size_t alignment) {
    for (Piece& p : pieces_)
      if (p.site == site) {
        if (p.bytes != bytes) fail("one piece of shared memory was named with two sizes");
        return p.start;
      }
    pieces_.push_back({site, bytes, std::vector<unsigned char>(bytes + kGuard + alignment, 0xFF), nullptr});
    Piece& p = pieces_.back();
    p.start = p.memory.data() + (alignment - reinterpret_cast<uintptr_t>(p.memory.data()) % alignment) % alignment;
    std::memset(p.start + bytes, kUntouched, kGuard);
    return p.start;
  }
  [[noreturn]] void fail(const std::string& what) const {
    throw Error(GRAFT_INTERNAL, text("kernel, block (", index_.x, ", ", index_.y, ", ", index_.z, "): ", what));
  }

  Fibre* current_ = nullptr;
  Coordinates index_, shape_, grid_;
  std::vector<Coordinates> blocks_;       // of the cluster
  std::vector<unsigned char*> dynamic_;   // of each
  size_t dynamic_bytes_ = 0;
  int64_t events_ = 0;                    // what polling threads may wait for

  size_t rank() const { return static_cast<size_t>(current_ - fibres_.data()) / (fibres_.size() / blocks_.size()); }
  int lane() const { return static_cast<int>((current_ - fibres_.data()) % kLanes); }
  unsigned char* snapshot(int lane) { return snapshots_[(current_ - fibres_.data()) / kLanes * kLanes + lane].value; }

 private:
  static void begin() {
    Block* block = running;
    block->scheduler_.left();
    try {
      (*block->thread_)();
    } catch (...) {
      block->failure_ = std::current_exception();  // nothing may leave a fibre's stack
    }
    block->current_->state = State::Done;
    block->current_->stack.end_for(block->scheduler_);
  }

  void prepare() {
    const size_t threads = size_t{shape_.x} * shape_.y * shape_.z, n = threads * blocks_.size();
    if (stack_count_ < n) {
      if (stacks_) munmap(stacks_, stack_count_ * kStack);
      void* p = mmap(nullptr, n * kStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
      require(p != MAP_FAILED, "the system gives no stacks for ", n, " emulated threads");
      stacks_ = static_cast<char*>(p);
      stack_count_ = n;
    }
    fibres_.resize(n);
    snapshots_.resize((n + kLanes - 1) / kLanes * kLanes);
    for (size_t i = 0; i < n; i++) {
      Fibre& f = fibres_[i];
      const size_t t = i % threads;
      f.index = Coordinates(static_cast<unsigned>(t % shape_.x), static_cast<unsigned>(t / shape_.x % shape_.y), static_cast<unsigned>(t / shape_.x / shape_.y));
      f.state = State::Ready;
      f.copies.clear();
      f.groups = 0;
      f.stack = Stack(stacks_ + i * kStack, kStack, &Block::begin);
    }
  }

  // Resumes all until each is done or waits at a barrier of the block; whether all are done.
  bool rounds() {
    for (int idle = 0; idle < 2;) {
      const int64_t before = events_;
      round();
      const Fibre* polling = nullptr;
      for (Fibre& f : fibres_)
        if (f.state == State::Polling) {
          f.state = State::Ready;
          polling = &f;
        }
      if (!polling) break;
      idle = events_ == before ? idle + 1 : 0;
      if (idle == 2) fail(text("thread ", polling - fibres_.data(), " waits at ", polling->place.file, ":", polling->place.line, " for what no thread brings about"));
    }
    for (const Fibre& f : fibres_)
      if (f.state != State::Done) return false;
    return true;
  }

  void round() {
    const unsigned count = static_cast<unsigned>(fibres_.size()), warps = (count + kLanes - 1) / kLanes;
    const unsigned turn = static_cast<unsigned>(seed_ >> 8) | 1;  // odd: i * turn runs through all lanes
    const unsigned first_warp = static_cast<unsigned>(seed_ % warps);
    for (unsigned k = 0; k < warps; k++) {
      const unsigned w = (seed_ & 64) ? (first_warp + k) % warps : (first_warp + warps - k) % warps;
      const unsigned begin = w * kLanes, end = std::min(count, begin + kLanes);
      do
        for (unsigned i = 0; i < kLanes; i++) {
          const unsigned at = begin + (i * turn + static_cast<unsigned>(seed_)) % kLanes;
          if (at < end && fibres_[at].state == State::Ready) resume(fibres_[at]);
        }
      while (release_warp(begin, end));
    }
  }

  void resume(Fibre& f) {
    current_ = &f;
    scheduler_.leave_for(f.stack);
    if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
  }

  // Lets those lanes go on whose exchange is complete; whether there were any.
  bool release_warp(unsigned begin, unsigned end) {
    bool released = false;
    for (unsigned i = begin; i < end; i++) {
      if (fibres_[i].state != State::InWarp) continue;
      const Fibre& first = fibres_[i];
      bool complete = true;
      for (unsigned j = begin; j < begin + kLanes && complete; j++)
        if (first.mask >> (j - begin) & 1) complete = j < end && joins(fibres_[j], first);
      if (!complete) continue;
      for (unsigned j = begin; j < end; j++)
        if (first.mask >> (j - begin) & 1) std::memcpy(snapshots_[j].value, fibres_[j].value, kExchanged);
      const uint32_t mask = first.mask;
      for (unsigned j = begin; j < end; j++)
        if (mask >> (j - begin) & 1) fibres_[j].state = State::Ready;
      released = true;
    }
    return released;
  }
  static bool joins(const Fibre& f, const Fibre& first) {
    return f.state == State::InWarp && f.mask == first.mask && f.place.line == first.place.line &&
           (f.place.file == first.place.file || std::strcmp(f.place.file, first.place.file) == 0);
  }

  // All fibres must wait at the same barrier; they go on.
  void release_barrier() {
    const Fibre* waiting = nullptr;
    for (const Fibre& f : fibres_) {
      if (f.state == State::InWarp)
        fail(text("thread ", &f - fibres_.data(), " waits at ", f.place.file, ":", f.place.line, " for lanes of its warp that never come"));
      if (f.state == State::AtBarrier && !waiting) waiting = &f;
    }
    for (const Fibre& f : fibres_) {
      if (f.state == State::Done)
        fail(text("thread ", &f - fibres_.data(), " ended, thread ", waiting - fibres_.data(), " waits for it at the barrier ", waiting->place.file, ":", waiting->place.line));
      if (f.place.line != waiting->place.line || std::strcmp(f.place.file, waiting->place.file) != 0)
        fail(text("thread ", waiting - fibres_.data(), " waits at the barrier ", waiting->place.file, ":", waiting->place.line, ", thread ",
                  &f - fibres_.data(), " at ", f.place.file, ":", f.place.line));
    }
    for (Fibre& f : fibres_) f.state = State::Ready;
  }

  std::vector<Fibre> fibres_;
  struct Snapshot {
    alignas(16) unsigned char value[kExchanged];
  };
  std::vector<Snapshot> snapshots_;
  std::deque<Piece> pieces_;
  char* stacks_ = nullptr;
  size_t stack_count_ = 0;
  Stack scheduler_;
  const std::function<void()>* thread_ = nullptr;
  uint64_t seed_ = 0;
  std::exception_ptr failure_;
};

std::mutex counting;
std::set<const void*> seen;
std::atomic<int64_t> launched{0};

std::atomic<uint64_t>& seed() {
  static std::atomic<uint64_t> value{[] {
    const char* given = std::getenv("GRAFT_FIBRE_SEED");
    return given ? std::strtoull(given, nullptr, 10) : 1ull;
  }()};
  return value;
}

uint64_t mixed(uint64_t z) {  // splitmix64
  z += 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

}  // namespace

const Coordinates& thread_index() { return running->current_->index; }
const Coordinates& block_index() { return running->blocks_[running->rank()]; }
const Coordinates& block_shape() { return running->shape_; }
const Coordinates& grid_shape() { return running->grid_; }
int lane() { return running->lane(); }

void block_barrier(Place place) { running->wait(State::AtBarrier, 0, place); }

void warp_barrier(uint32_t mask, const void* value, size_t bytes, Place place) {
  std::memcpy(running->current_->value, value, bytes);
  running->wait(State::InWarp, mask, place);
}
const void* exchanged(int lane) { return running->snapshot(lane); }

void copy_later(void* to, const void* from, size_t bytes, size_t whole) { running->copy_later(to, from, bytes, whole); }
void commit_copies() { running->current_->groups++; }
void wait_copies(size_t newest) { running->wait_copies(newest); }
void require_aligned(const void* address, size_t to) { running->require_aligned(address, to); }

void* shared_memory(const void* site, size_t bytes, size_t alignment) { return running->piece(site, bytes, alignment); }
void* dynamic_shared_memory() { return running->dynamic_[running->rank()]; }
int cluster_rank() { return static_cast<int>(running->rank()); }
void* dynamic_shared_memory(int rank) { return running->dynamic_.at(static_cast<size_t>(rank)); }
size_t dynamic_shared_bytes() { return running->dynamic_bytes_; }

void poll(Place place) { running->wait(State::Polling, 0, place); }
void progress() { running->events_++; }

void launch(const void* kernel, Coordinates grid, Coordinates block, size_t dynamic_shared, const std::function<void()>& thread, unsigned cluster) {
  const int64_t threads = int64_t{block.x} * block.y * block.z;
  require(threads >= 1 && threads <= 1024, "a block has 1 to 1024 threads, not ", threads);
  require(grid.y <= 65535 && grid.z <= 65535, "a grid has at most 65535 blocks along y and z, not ", grid.y, " and ", grid.z);
  require(cluster >= 1 && grid.x % cluster == 0, "a grid of ", grid.x, " blocks is none of clusters of ", cluster);
  static thread_local Block machine;
  {
    std::lock_guard<std::mutex> lock(counting);
    seen.insert(kernel);
  }
  const uint64_t order = mixed(seed() ^ static_cast<uint64_t>(launched++));
  const int64_t blocks = int64_t{grid.x} * grid.y * grid.z;
  for (int64_t k = 0; k < blocks; k += cluster) {
    const int64_t i = order & 32 ? k : blocks - cluster - k;
    const Coordinates index(static_cast<unsigned>(i % grid.x), static_cast<unsigned>(i / grid.x % grid.y), static_cast<unsigned>(i / grid.x / grid.y));
    machine.run(index, block, grid, dynamic_shared, thread, mixed(order + static_cast<uint64_t>(i)), cluster);
  }
}

uint64_t fibre_seed() { return seed(); }
void set_fibre_seed(uint64_t value) { seed() = value; }
size_t kernels_launched() {
  std::lock_guard<std::mutex> lock(counting);
  return seen.size();
}
int64_t launches() { return launched; }

}  // namespace graft::emulated
