#include "emulated/wgmma.h"

#include <deque>
#include <map>
#include <vector>

#include "error.h"
#include "number_formats.h"

namespace graft::cuda {
namespace {

constexpr uint32_t kWindow = kPattern;  // the address of product_memory() in the shared window

#define GRAFT_HERE emulated::Place{__FILE__, __LINE__}

unsigned char* start_of(int rank) {
  unsigned char* p = static_cast<unsigned char*>(emulated::dynamic_shared_memory(rank));
  return p + (kPattern - reinterpret_cast<uintptr_t>(p) % kPattern) % kPattern;
}

unsigned char* at(uint32_t address, size_t bytes, int rank) {
  unsigned char* const p = start_of(rank) + (address - kWindow);
  const unsigned char* const whole = static_cast<unsigned char*>(emulated::dynamic_shared_memory(rank));
  require(address >= kWindow && p + bytes <= whole + emulated::dynamic_shared_bytes(), "address ", address, " lies outside of shared memory");
  return p;
}
unsigned char* at(uint32_t address, size_t bytes) { return at(address, bytes, emulated::cluster_rank()); }

constexpr uint8_t kMade = 0x5B;
struct Barrier {
  int32_t bytes;
  uint8_t arrivals, pending, phase, made;
};
static_assert(sizeof(Barrier) == 8);

Barrier& barrier_at(uint32_t address, int rank) {
  Barrier& b = *reinterpret_cast<Barrier*>(at(address, sizeof(Barrier), rank));
  require(address % 8 == 0 && b.made == kMade, "no barrier at address ", address);
  return b;
}
void count(Barrier& b, int arrivals, int bytes) {
  require(b.pending >= arrivals, "more arrivals at a barrier than its phase takes");
  b.pending = static_cast<uint8_t>(b.pending - arrivals);
  b.bytes += bytes;
  if (b.pending == 0 && b.bytes == 0) {
    b.phase ^= 1;
    b.pending = b.arrivals;
  }
  emulated::progress();
}

struct Load {
  TensorMap map;
  uint32_t to, barrier;
  int x, y, z, rank;
};
struct Store {
  TensorMap map;
  uint32_t from;
  int x, y, z;
};
struct Multiplication {
  float* d;
  int columns;
  bool along_ka, along_kb, adds;
  uint64_t a, b;
};
template <class T>
struct Groups {  // of one thread, oldest first; the last one is open
  std::deque<std::vector<T>> all = {{}};
};

// Of the cluster that runs: one at a time on a thread of the CPU.
thread_local std::deque<Load> loads;
thread_local std::map<int, Groups<Store>> stores;
thread_local std::map<int, Groups<Multiplication>> multiplications;

int thread_number() { return emulated::cluster_rank() * 1024 + static_cast<int>(emulated::thread_index().x); }

// Moves a box between the tensor and shared memory: f(shared bytes, tensor bytes or null where there is none, bytes).
template <class F>
void each_element(const TensorMap& map, uint32_t address, int x, int y, int z, int rank, F f) {
  require(address % 128 == 0, "a box at address ", address, ", which is no multiple of 128");
  at(address, static_cast<size_t>(map.box[0] * map.box[1] * map.element), rank);
  for (int j = 0; j < map.box[1]; j++)
    for (int i = 0; i < map.box[0]; i++) {
      unsigned char* inside = start_of(rank) + swizzled(address + static_cast<uint32_t>((j * map.box[0] + i) * map.element)) - kWindow;
      const bool there = x + i >= 0 && x + i < map.size[0] && y + j >= 0 && y + j < map.size[1] && z >= 0 && z < map.size[2];
      char* outside = static_cast<char*>(map.address) + (x + i) * int64_t{map.element} + (y + j) * map.step[0] + z * map.step[1];
      f(inside, there ? outside : nullptr, static_cast<size_t>(map.element));
    }
}

void land(const Load& l) {
  each_element(l.map, l.to, l.x, l.y, l.z, l.rank, [](unsigned char* inside, const char* outside, size_t bytes) {
    if (outside) std::memcpy(inside, outside, bytes);
    else std::memset(inside, 0, bytes);
  });
  count(barrier_at(l.barrier, l.rank), 0, -l.map.box[0] * l.map.box[1] * l.map.element);
}

// One load that is under way, not always the first.
void land_one() {
  if (loads.empty()) return;
  static thread_local uint64_t turn = 0;
  turn = turn * 6364136223846793005u + 1442695040888963407u + emulated::fibre_seed();
  const auto which = loads.begin() + static_cast<std::ptrdiff_t>((turn >> 33) % loads.size());
  const Load l = *which;
  loads.erase(which);
  land(l);
}

// Element (i, k) of a factor by its descriptor. Units of 16 bytes are T = 8 elements; CuTe's canonical layouts with 128-byte swizzle:
//   along k   ((8, m), (T, 2)) : ((8T, stride), (1, T))
//   along mn  ((T, 8, m), (8, k)) : ((1, T, leading), (8T, stride))
float element(uint64_t descriptor, bool along_k, int i, int k) {
  const auto field = [&](int bit) { return static_cast<uint32_t>(descriptor >> bit & 0x3FFF) << 4; };
  const uint32_t start = field(0), leading = field(16), stride = field(32);
  const uint32_t u = static_cast<uint32_t>(i), l = static_cast<uint32_t>(k);
  const uint32_t address = along_k ? start + u % 8 * 128 + u / 8 * stride + l * 2 : start + u % 64 * 2 + u / 64 * leading + l % 8 * 128 + l / 8 * stride;
  uint16_t bits;
  std::memcpy(&bits, at(address ^ (address >> 7 & 7) << 4, 2), 2);
  return bf16_to_float(bits);
}

void multiply_now(const Multiplication& m) {
  require(m.a >> 62 == 1 && m.b >> 62 == 1 && (m.a >> 49 & 7) == 0 && (m.b >> 49 & 7) == 0, "a descriptor that is not of 128-byte swizzle");
  const int t = static_cast<int>(emulated::thread_index().x) % kGroupThreads;
  float rows[2][kStepK];  // t / 32 * 16 + t % 32 / 4 and eight below
  for (int half = 0; half < 2; half++)
    for (int k = 0; k < kStepK; k++) rows[half][k] = element(m.a, m.along_ka, t / 32 * 16 + t % 32 / 4 + 8 * half, k);
  for (int n = 0; n < m.columns / 8; n++)
    for (int e = 0; e < 2; e++) {
      float column[kStepK];
      for (int k = 0; k < kStepK; k++) column[k] = element(m.b, m.along_kb, 8 * n + t % 4 * 2 + e, k);
      for (int half = 0; half < 2; half++) {
        float& d = m.d[4 * n + 2 * half + e];
        float sum = m.adds ? d : 0;
        for (int k = 0; k < kStepK; k++) sum += rows[half][k] * column[k];
        d = sum;
      }
    }
}

template <class T, class F>
void run_but(Groups<T>& groups, int pending, F f) {
  while (static_cast<int>(groups.all.size()) - 1 > pending) {
    for (const T& one : groups.all.front()) f(one);
    groups.all.pop_front();
  }
}

}  // namespace

unsigned char* product_memory() { return start_of(emulated::cluster_rank()); }
uint32_t window_address(const void* p) { return static_cast<uint32_t>(static_cast<const unsigned char*>(p) - product_memory()) + kWindow; }

void cluster_barrier() { emulated::block_barrier(GRAFT_HERE); }

void group_barrier(int consumer) {
  struct Gathering {
    int32_t come, number;
  };
  static const char sites[8] = {};
  auto& g = *static_cast<Gathering*>(emulated::shared_memory(sites + 4 * emulated::cluster_rank() + consumer, sizeof(Gathering), alignof(Gathering)));
  if (g.come < 0) g = {0, 0};
  const int32_t mine = g.number;
  if (++g.come == kGroupThreads) {
    g.come = 0;
    g.number++;
  }
  emulated::progress();
  while (g.number == mine) emulated::poll(GRAFT_HERE);
}

void init_barrier(uint32_t barrier, int arrivals) {
  *reinterpret_cast<Barrier*>(at(barrier, sizeof(Barrier))) = {0, static_cast<uint8_t>(arrivals), static_cast<uint8_t>(arrivals), 0, kMade};
}
void expect_bytes(uint32_t barrier, uint32_t bytes) { count(barrier_at(barrier, emulated::cluster_rank()), 1, static_cast<int>(bytes)); }
void arrive(uint32_t barrier, uint32_t rank) { count(barrier_at(barrier, static_cast<int>(rank)), 1, 0); }
void wait_barrier(uint32_t barrier, uint32_t parity) {
  const Barrier& b = barrier_at(barrier, emulated::cluster_rank());
  while (b.phase == parity) {
    land_one();
    emulated::poll(GRAFT_HERE);
  }
}

void load_box_to_all(uint32_t to, const TensorMap* map, uint32_t barrier, int x, int y, int z, uint16_t blocks) {
  for (int rank = 0; blocks >> rank; rank++) {
    if (!(blocks >> rank & 1)) continue;
    std::memset(at(to, static_cast<size_t>(map->box[0] * map->box[1] * map->element), rank), 0xFF, static_cast<size_t>(map->box[0] * map->box[1] * map->element));
    loads.push_back({*map, to, barrier, x, y, z, rank});
  }
  emulated::progress();
}

void store_box(const TensorMap* map, uint32_t from, int x, int y, int z) { stores[thread_number()].all.back().push_back({*map, from, x, y, z}); }
void commit_stores() { stores[thread_number()].all.emplace_back(); }
void wait_stores_read_but(int pending) {
  run_but(stores[thread_number()], pending, [](const Store& s) {
    each_element(s.map, s.from, s.x, s.y, s.z, emulated::cluster_rank(), [](const unsigned char* inside, char* outside, size_t bytes) {
      if (outside) std::memcpy(outside, inside, bytes);
    });
  });
}

void multiply_later(float* d, int columns, bool along_ka, bool along_kb, uint64_t a, uint64_t b, bool adds) {
  multiplications[thread_number()].all.back().push_back({d, columns, along_ka, along_kb, adds, a, b});
}
void commit_multiply() { multiplications[thread_number()].all.emplace_back(); }
void wait_multiply_but(int pending) {
  run_but(multiplications[thread_number()], pending, multiply_now);
  emulated::warp_barrier(0xFFFFFFFFu, &pending, sizeof pending, GRAFT_HERE);  // .sync.aligned: a lane that arrives somewhere now speaks for its warp
}

uint32_t packed(float first, float second) { return static_cast<uint32_t>(float_to_bf16(first)) | static_cast<uint32_t>(float_to_bf16(second)) << 16; }

}  // namespace graft::cuda
