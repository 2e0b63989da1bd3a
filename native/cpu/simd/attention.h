// What attention forward and backward share: how a head's work is cut up, where its elements lie.
#pragma once
#include <omp.h>

#include "pack.h"

namespace graft::cpu::GRAFT_ISA_NAMESPACE {

constexpr int64_t kScoreBytes = 100 << 10;  // of a tile's scores, about
constexpr int64_t kRowStep = 24;            // a multiple of every kernel's rows
constexpr int64_t kFewHeads = 16;           // fewer than this are cut into parts

// Cuts memory into pieces; from address 0 it counts what they take.
class Pieces {
 public:
  explicit Pieces(uintptr_t at) : at_(at) {}
  template <class X>
  X* take(int64_t count) {
    X* piece = reinterpret_cast<X*>(at_);
    at_ += up(count * static_cast<int64_t>(sizeof(X)), 64);
    return piece;
  }
  uintptr_t at() const { return at_; }

 private:
  uintptr_t at_;
};

struct Sizes {
  int64_t part, parts;  // queries of a part; parts of a head
  int64_t rows;         // queries of a tile
  int64_t across;       // step of what has a column for each key
  int64_t deep;         // step of what has a column for each element of the head
  int64_t vectors;      // of a head's elements

  explicit Sizes(const AttentionCall& c) {
    const int64_t heads = c.batch * c.heads;
    parts = heads >= kFewHeads ? 1 : least((c.queries + 63) / 64, (kFewHeads + heads - 1) / heads);
    part = (c.queries + parts - 1) / parts;
    parts = (c.queries + part - 1) / part;
    across = up(c.keys, kLane);
    if (across > kWidest * kLane) across = (across / kLane | 1) * kLane;  // no power of two: rows would share the cache's sets
    vectors = up(c.size, kLane) / kLane;
    deep = vectors * kLane;
    const int64_t fitting = most(2 * kRowStep, least<int64_t>(c.causal ? 48 : 240, kScoreBytes / (4 * across) / kRowStep * kRowStep));
    const int64_t tiles = (part + fitting - 1) / fitting;
    rows = least(up((part + tiles - 1) / tiles, kRowStep), up(part, 2));
  }
};

// One head of one sample.
template <class T>
struct Head {
  const AttentionCall& c;
  int64_t sample, head, keys;  // keys: how many count
  Head(const AttentionCall& c, int64_t number) : c(c), sample(number / c.heads), head(number % c.heads), keys(c.keys) {
    if (c.counts) keys = most<int64_t>(0, least<int64_t>(c.counts[sample], c.keys));
  }
  int64_t query(int64_t i) const { return (sample * c.queries + i) * c.query_row + head * c.size; }
  int64_t key(int64_t j) const { return (sample * c.keys + j) * c.key_row + head * c.size; }
  int64_t result(int64_t i) const { return ((sample * c.queries + i) * c.heads + head) * c.size; }
  float* lse(int64_t i) const { return c.lse + (sample * c.heads + head) * c.queries + i; }
  // Keys that any query below `end` counts.
  int64_t counted(int64_t end) const { return c.causal ? least(keys, end) : keys; }
};

// Bytes of a thread's room.
template <class Room>
size_t room_bytes(const AttentionCall& c, const Sizes& s) {
  Pieces pieces(0);
  Room(pieces, c, s);
  return pieces.at();
}

// f(thread's room, head, number of the part, its first query, its end) for every part of every head.
template <class Room, class F>
void over_parts(const AttentionCall& c, const Sizes& s, const F& f) {
  const size_t bytes = room_bytes<Room>(c, s);
  const int64_t count = c.batch * c.heads * s.parts;
#pragma omp parallel num_threads(c.threads) if (count > 1 && count * s.part * c.keys * c.size > 8 * kBlock)
  {
    Pieces pieces(reinterpret_cast<uintptr_t>(c.scratch) + bytes * omp_get_thread_num());
    const Room room(pieces, c, s);
#pragma omp for schedule(dynamic)
    for (int64_t i = 0; i < count; i++) {
      const int64_t begin = i % s.parts * s.part;
      f(room, i / s.parts, i % s.parts, begin, least(c.queries, begin + s.part));
    }
  }
}

}  // namespace graft::cpu::GRAFT_ISA_NAMESPACE
