// Attention by heads, forward and backward. A thread takes one head of one sample (or a part of its queries) at a time; the head's
// operands are laid out for the products of tile.h, and its scores exist for a tile of queries only. Backward works the probabilities
// out again from the log of the sum of exponentials that forward kept.
#include <omp.h>

#include "tile.h"

namespace graft::cpu::GRAFT_ISA_NAMESPACE {
namespace {

constexpr int64_t kScoreBytes = 100 << 10;  // of a tile's scores, about
constexpr int64_t kRowStep = 24;            // a multiple of every kernel's rows
constexpr int64_t kFewHeads = 16;           // fewer than this are cut into parts

constexpr int64_t up(int64_t n, int64_t step) { return (n + step - 1) / step * step; }

template <class T>
struct Units;
template <>
struct Units<float> {
  using Type = float;
  static constexpr int64_t per = 1;
};
template <>
struct Units<bf16> {
  using Type = Pair;
  static constexpr int64_t per = 2;
};
template <class T>
constexpr int64_t units(int64_t elements) {
  return (elements + Units<T>::per - 1) / Units<T>::per;
}

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

constexpr int64_t kAhead = 8;  // rows: they lie too far apart for the processor to foresee them

template <class T>
inline void foresee(const T* row, int64_t size) {
  for (int64_t i = 0; i < size; i += 64 / static_cast<int64_t>(sizeof(T))) __builtin_prefetch(row + i);
}

// to[row][unit], zeros behind a row up to whole vectors.
template <class T>
void pack_rows(const T* x, int64_t x_row, int64_t rows, int64_t size, typename Units<T>::Type* to, int64_t step) {
  typedef uint32_t Loose __attribute__((vector_size(4 * kLane), aligned(2), may_alias));
  const int64_t whole = size / Units<T>::per / kLane * kLane, rest = size - whole * Units<T>::per;
  for (int64_t r = 0; r < rows; r++, x += x_row, to += step) {
    foresee(x + kAhead * x_row, r + kAhead < rows ? size : 0);
    for (int64_t u = 0; u < whole; u += kLane) *reinterpret_cast<Loose*>(to + u) = *reinterpret_cast<const Loose*>(x + u * Units<T>::per);
    if (rest == 0) continue;
    __builtin_memset(to + whole, 0, 4 * kLane);
    __builtin_memcpy(to + whole, x + whole * Units<T>::per, sizeof(T) * rest);
  }
}

// to[unit][row], zeros up to `step`.
template <class T>
void pack_across(const T* x, int64_t x_row, int64_t rows, int64_t size, typename Units<T>::Type* to, int64_t step) {
  constexpr int64_t per = Units<T>::per;
  typedef uint32_t Four __attribute__((vector_size(16)));
  typedef uint32_t LooseFour __attribute__((vector_size(16), aligned(2), may_alias));
  const int64_t whole = size / per / 4 * 4;
  auto row = [&](const T* from, int64_t r) { return r < rows ? Four(*reinterpret_cast<const LooseFour*>(from)) : Four{}; };
  for (int64_t r = 0; r < step; r += 4) {
    const T* from = x + r * x_row;
    for (int64_t i = kAhead; i < kAhead + 4; i++) foresee(from + i * x_row, r + i < rows ? size : 0);
    for (int64_t u = 0; u < whole; u += 4, from += 4 * per) {
      const Four a = row(from, r), b = row(from + x_row, r + 1), c = row(from + 2 * x_row, r + 2), d = row(from + 3 * x_row, r + 3);
      const Four ac = __builtin_shuffle(a, c, Four{0, 4, 1, 5}), AC = __builtin_shuffle(a, c, Four{2, 6, 3, 7});
      const Four bd = __builtin_shuffle(b, d, Four{0, 4, 1, 5}), BD = __builtin_shuffle(b, d, Four{2, 6, 3, 7});
      typename Units<T>::Type* at = to + u * step + r;
      *reinterpret_cast<LooseFour*>(at) = __builtin_shuffle(ac, bd, Four{0, 4, 1, 5});
      *reinterpret_cast<LooseFour*>(at + step) = __builtin_shuffle(ac, bd, Four{2, 6, 3, 7});
      *reinterpret_cast<LooseFour*>(at + 2 * step) = __builtin_shuffle(AC, BD, Four{0, 4, 1, 5});
      *reinterpret_cast<LooseFour*>(at + 3 * step) = __builtin_shuffle(AC, BD, Four{2, 6, 3, 7});
    }
  }
  for (int64_t u = whole; u < units<T>(size); u++) {
    typename Units<T>::Type* at = to + u * step;
    for (int64_t r = 0; r < step; r++) at[r] = 0;
    const bool half = (u + 1) * per > size;
    for (int64_t r = 0; r < rows; r++) __builtin_memcpy(at + r, x + r * x_row + u * per, half ? sizeof(T) : 4);
  }
}

// to[unit of rows][element], zeros up to `step`.
inline void pack_deep(const float* x, int64_t x_row, int64_t rows, int64_t size, float* to, int64_t step) { pack_rows(x, x_row, rows, size, to, step); }
inline void pack_deep(const bf16* x, int64_t x_row, int64_t rows, int64_t size, Pair* to, int64_t step) {
  for (int64_t r = 0; r < rows; r += 2, to += step) {
    const bf16 *low = x + r * x_row, *high = low + x_row;
    for (int64_t i = kAhead; i < kAhead + 2; i++) foresee(low + i * x_row, r + i < rows ? size : 0);
    if (r + 1 < rows)
      for (int64_t i = 0; i < size; i++) to[i] = low[i].bits | static_cast<Pair>(high[i].bits) << 16;
    else
      for (int64_t i = 0; i < size; i++) to[i] = low[i].bits;
    for (int64_t i = size; i < step; i++) to[i] = 0;
  }
}

template <class T>
void store_rows(const float* from, int64_t step, int64_t rows, int64_t size, float factor, T* to, int64_t to_row) {
  for (int64_t r = 0; r < rows; r++, from += step, to += to_row) {
    int64_t i = 0;
    for (; i + kLane <= size; i += kLane) write(to + i, read(from + i) * factor);
    for (; i < size; i++) store(to + i, from[i] * factor);
  }
}

template <class T>
void zero_rows(int64_t rows, int64_t size, T* to, int64_t to_row) {
  for (int64_t r = 0; r < rows; r++) __builtin_memset(to + r * to_row, 0, sizeof(T) * size);
}

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

// Probabilities in place of `count` scores, not yet divided by their sum; zeros up to `width`. As bf16 they lie at the row's start.
template <class T>
float softmax_row(float* s, int64_t count, int64_t width, float scale, float& lse) {
  const int64_t full = up(count, kLane);
  for (int64_t i = count; i < full; i++) s[i] = -__builtin_inff();
  Floats top = read(s);
  for (int64_t i = kLane; i < full; i += kLane) top = greater(read(s + i), top);
  const float shift = largest(top) * scale;
  Floats sum = {};
  T* p = reinterpret_cast<T*>(s);
  for (int64_t i = 0; i < full; i += kLane) {
    const Floats e = exp_below(read(s + i) * scale - shift);
    sum += e;
    write(p + i, e);
  }
  if (width > full) __builtin_memset(p + full, 0, sizeof(T) * (width - full));
  const float all = total(sum);
  lse = shift + __builtin_logf(all);
  return 1 / all;
}

template <class T>
struct ForwardRoom {
  using U = typename Units<T>::Type;
  U *keys, *values, *queries;
  float *scores, *result, *factor;
  ForwardRoom(Pieces& p, const AttentionCall& c, const Sizes& s) {
    keys = p.take<U>(units<T>(c.size) * s.across);
    values = p.take<U>(units<T>(c.keys) * s.deep);
    queries = p.take<U>((s.rows + kSlack) * s.deep);
    scores = p.take<float>((s.rows + kSlack) * s.across);
    result = p.take<float>((s.rows + kSlack) * s.deep);
    factor = p.take<float>(s.rows);
  }
};

template <class T>
void forward_head(const AttentionCall& c, const Sizes& s, const ForwardRoom<T>& room, int64_t number, int64_t begin, int64_t end) {
  using U = typename Units<T>::Type;
  const Head<T> head(c, number);
  const int64_t keys = head.counted(end), size = c.size;
  T* result = static_cast<T*>(c.result);
  if (keys == 0) {
    zero_rows(end - begin, size, result + head.result(begin), c.heads * size);
    for (int64_t i = begin; i < end; i++) *head.lse(i) = 0;
    return;
  }
  pack_across(static_cast<const T*>(c.key) + head.key(0), c.key_row, keys, size, room.keys, s.across);
  pack_deep(static_cast<const T*>(c.value) + head.key(0), c.key_row, keys, size, room.values, s.deep);
  for (int64_t first = begin; first < end; first += s.rows) {
    const int64_t rows = least(s.rows, end - first), n = head.counted(first + rows), width = up(n, kLane);
    pack_rows(static_cast<const T*>(c.query) + head.query(first), c.query_row, rows, size, room.queries, s.deep);
    product<U>({room.queries, s.deep, 1}, room.keys, s.across, room.scores, s.across, rows, width / kLane, units<T>(size), false);
    for (int64_t r = 0; r < rows; r++)
      room.factor[r] = softmax_row<T>(room.scores + r * s.across, head.counted(first + r + 1), width, c.scale, *head.lse(first + r));
    product<U>({reinterpret_cast<const U*>(room.scores), s.across, 1}, room.values, s.deep, room.result, s.deep, rows, s.vectors, units<T>(n), false);
    for (int64_t r = 0; r < rows; r++)
      store_rows(room.result + r * s.deep, s.deep, 1, size, room.factor[r], result + head.result(first + r), c.heads * size);
  }
}

// p = exp(scale * s - lse) in place of `count` scores; where `slopes` holds the gradients of p, also the sum of their products.
inline float probabilities_row(float* s, const float* slopes, int64_t count, float scale, float lse) {
  const int64_t full = up(count, kLane);
  for (int64_t i = count; i < full; i++) s[i] = -__builtin_inff();
  Floats sum = {};
  for (int64_t i = 0; i < full; i += kLane) {
    const Floats p = exp_below(read(s + i) * scale - lse);
    write(s + i, p);
    if (slopes) sum += p * read(slopes + i);
  }
  return total(sum);
}

template <class T>
struct BackwardRoom {
  using U = typename Units<T>::Type;
  U *keys, *values, *keys_deep;         // as forward's: [units][keys] twice, [units of keys][size]
  U *queries, *slopes;                  // of a tile: [queries][units]
  U *queries_deep, *slopes_deep;        // of a tile: [units of queries][size]
  U* rows;                              // bf16: the gradient of the scores, [queries][units of keys]
  float *scores, *score_slopes, *sums;  // [queries][keys] twice, then of a query
  float *dq, *dk, *dv;
  BackwardRoom(Pieces& p, const AttentionCall& c, const Sizes& s) {
    keys = p.take<U>(units<T>(c.size) * s.across);
    values = p.take<U>(units<T>(c.size) * s.across);
    keys_deep = p.take<U>(units<T>(c.keys) * s.deep);
    queries = queries_deep = p.take<U>((s.rows + kSlack) * s.deep);
    slopes = slopes_deep = p.take<U>((s.rows + kSlack) * s.deep);
    rows = nullptr;
    if constexpr (sizeof(T) == 2) {
      queries_deep = p.take<U>(units<T>(s.rows) * s.deep);
      slopes_deep = p.take<U>(units<T>(s.rows) * s.deep);
      rows = p.take<U>((s.rows + kSlack) * s.across / 2);
    }
    scores = p.take<float>((s.rows + kSlack) * s.across);
    score_slopes = p.take<float>((s.rows + kSlack) * s.across);
    sums = p.take<float>(s.rows + 1);
    dq = p.take<float>((s.rows + kSlack) * s.deep);
    dk = s.parts > 1 ? nullptr : p.take<float>(gradient_floats(c, s));
    dv = s.parts > 1 ? nullptr : p.take<float>(gradient_floats(c, s));
  }
  static int64_t gradient_floats(const AttentionCall& c, const Sizes& s) { return up((c.keys + kSlack) * s.deep, 16); }
};

// Probabilities p and ds = p * (dp - sum) of a tile, where the products read them: transposed in steps of one unit of queries, ds also
// by rows. `width`: columns that are written, zeros behind the last key.
template <class T>
struct Gradients {
  Left<typename Units<T>::Type> probabilities, scores, rows;
};

inline Gradients<float> score_gradients(const BackwardRoom<float>& room, const Sizes& s, const Head<float>& head, int64_t first, int64_t rows, int64_t width) {
  for (int64_t r = 0; r < rows; r++) {
    float *p = room.scores + r * s.across, *ds = room.score_slopes + r * s.across;
    const int64_t full = up(head.counted(first + r + 1), kLane);
    for (int64_t i = 0; i < full; i += kLane) write(ds + i, read(p + i) * (read(ds + i) - room.sums[r]));
    if (width == full) continue;
    __builtin_memset(p + full, 0, 4 * (width - full));
    __builtin_memset(ds + full, 0, 4 * (width - full));
  }
  return {{room.scores, 1, s.across}, {room.score_slopes, 1, s.across}, {room.score_slopes, s.across, 1}};
}

#ifdef __AVX512BF16__
// Pairs of rows: a pair's probabilities go over the first row's, its gradients over the first row's and, by rows, into room.rows.
inline Gradients<bf16> score_gradients(const BackwardRoom<bf16>& room, const Sizes& s, const Head<bf16>& head, int64_t first, int64_t rows, int64_t width) {
  for (int64_t r = 0; r < rows; r += 2) {
    float *p = room.scores + r * s.across, *ds = room.score_slopes + r * s.across;
    bf16 *low = reinterpret_cast<bf16*>(room.rows) + r * s.across, *high = low + s.across;
    const bool both = r + 1 < rows;
    const int64_t last = up(head.counted(first + r + 1 + both), kLane), before = up(head.counted(first + r + 1), kLane);
    if (!both || before < last) {
      __builtin_memset(p + s.across + (both ? last : 0), 0, 4 * (both ? 0 : last));
      __builtin_memset(p + before, 0, 4 * (last - before));
    }
    for (int64_t i = 0; i < last; i += kLane) {
      const Floats p0 = read(p + i), p1 = read(p + s.across + i);
      const Floats d0 = i < before ? p0 * (read(ds + i) - room.sums[r]) : Floats{};
      const Floats d1 = both ? p1 * (read(ds + s.across + i) - room.sums[r + 1]) : Floats{};
      write_pairs(p + i, p0, p1);
      write_pairs(ds + i, d0, d1);
      write(low + i, d0);
      write(high + i, d1);
    }
    if (width == last) continue;
    __builtin_memset(p + last, 0, 4 * (width - last));
    __builtin_memset(ds + last, 0, 4 * (width - last));
    __builtin_memset(low + last, 0, 2 * (width - last));
    __builtin_memset(high + last, 0, 2 * (width - last));
  }
  const Pair *probabilities = reinterpret_cast<const Pair*>(room.scores), *scores = reinterpret_cast<const Pair*>(room.score_slopes);
  return {{probabilities, 1, 2 * s.across}, {scores, 1, 2 * s.across}, {room.rows, s.across / 2, 1}};
}
#endif

template <class T>
void backward_head(const AttentionCall& c, const Sizes& s, const BackwardRoom<T>& room, int64_t number, int64_t begin, int64_t end) {
  using U = typename Units<T>::Type;
  const Head<T> head(c, number);
  const int64_t keys = head.counted(end), size = c.size;
  const T *query = static_cast<const T*>(c.query), *key = static_cast<const T*>(c.key), *value = static_cast<const T*>(c.value);
  const bool scores = c.dquery || c.dkey;  // else the gradient of the values alone
  // The first tile writes these gradients, the others add to them.
  const int64_t written = keys == 0 ? 0 : head.counted(least(end, begin + s.rows));
  __builtin_memset(room.dk + written * s.deep, 0, 4 * (head.keys - written) * s.deep);
  __builtin_memset(room.dv + written * s.deep, 0, 4 * (head.keys - written) * s.deep);
  if (keys == 0) {
    if (c.dquery) zero_rows(end - begin, size, static_cast<T*>(c.dquery) + head.query(begin), c.query_row);
    return;
  }
  pack_across(key + head.key(0), c.key_row, keys, size, room.keys, s.across);
  if (scores) pack_across(value + head.key(0), c.key_row, keys, size, room.values, s.across);
  if (c.dquery) pack_deep(key + head.key(0), c.key_row, keys, size, room.keys_deep, s.deep);
  for (int64_t first = begin; first < end; first += s.rows) {
    const int64_t rows = least(s.rows, end - first), n = head.counted(first + rows);
    const int64_t full = up(n, kLane), width = least(s.across, up(n + kSlack, kLane));
    const T *q = query + head.query(first), *dout = static_cast<const T*>(c.dout) + head.result(first);
    const int64_t dout_row = c.heads * size;
    pack_rows(q, c.query_row, rows, size, room.queries, s.deep);
    product<U>({room.queries, s.deep, 1}, room.keys, s.across, room.scores, s.across, rows, full / kLane, units<T>(size), false);
    if (scores) {
      pack_rows(dout, dout_row, rows, size, room.slopes, s.deep);
      product<U>({room.slopes, s.deep, 1}, room.values, s.across, room.score_slopes, s.across, rows, full / kLane, units<T>(size), false);
    }
    for (int64_t r = 0; r < rows; r++)
      room.sums[r] = probabilities_row(room.scores + r * s.across, scores ? room.score_slopes + r * s.across : nullptr, head.counted(first + r + 1),
                                       c.scale, *head.lse(first + r));
    const Gradients<T> g = score_gradients(room, s, head, first, rows, width);
    if (c.dvalue) {
      if (sizeof(T) == 2 || !scores) pack_deep(dout, dout_row, rows, size, room.slopes_deep, s.deep);
      product<U>(g.probabilities, room.slopes_deep, s.deep, room.dv, s.deep, n, s.vectors, units<T>(rows), first > begin);
    }
    if (c.dkey) {
      if (sizeof(T) == 2) pack_deep(q, c.query_row, rows, size, room.queries_deep, s.deep);
      product<U>(g.scores, room.queries_deep, s.deep, room.dk, s.deep, n, s.vectors, units<T>(rows), first > begin);
    }
    if (c.dquery) {
      product<U>(g.rows, room.keys_deep, s.deep, room.dq, s.deep, rows, s.vectors, units<T>(n), false);
      store_rows(room.dq, s.deep, rows, size, c.scale, static_cast<T*>(c.dquery) + head.query(first), c.query_row);
    }
  }
}

// A head's gradient of keys or values: the sum of its parts'.
template <class T>
void store_keys(const AttentionCall& c, const Sizes& s, float* sum, int64_t parts, int64_t step, int64_t number, float factor, void* gradient) {
  if (!gradient) return;
  const Head<T> head(c, number);
  T* to = static_cast<T*>(gradient) + head.key(0);
  for (int64_t p = 1; p < parts; p++)
    for (int64_t i = 0; i < head.keys * s.deep; i++) sum[i] += sum[p * step + i];
  store_rows(sum, s.deep, head.keys, c.size, factor, to, c.key_row);
  zero_rows(c.keys - head.keys, c.size, to + head.keys * c.key_row, c.key_row);
}

template <class T>
size_t forward_bytes(const AttentionCall& c, const Sizes& s) {
  Pieces pieces(0);
  ForwardRoom<T>(pieces, c, s);
  return pieces.at();
}

template <class T>
size_t backward_bytes(const AttentionCall& c, const Sizes& s) {
  Pieces pieces(0);
  BackwardRoom<T>(pieces, c, s);
  return pieces.at();
}

// f(thread's room, head, first query, end) for every part of every head.
template <class Room, class F>
void over_parts(const AttentionCall& c, const Sizes& s, size_t bytes, const F& f) {
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

template <class T>
void forward_all(const AttentionCall& c) {
  const Sizes s(c);
  over_parts<ForwardRoom<T>>(c, s, forward_bytes<T>(c, s), [&](const ForwardRoom<T>& room, int64_t number, int64_t, int64_t begin, int64_t end) {
    forward_head<T>(c, s, room, number, begin, end);
  });
}

template <class T>
void backward_all(const AttentionCall& c) {
  const Sizes s(c);
  const size_t bytes = backward_bytes<T>(c, s);
  const int64_t step = BackwardRoom<T>::gradient_floats(c, s);
  // Behind the threads' rooms, where a head has parts: [head][keys, values][part].
  float* partial = reinterpret_cast<float*>(static_cast<char*>(c.scratch) + bytes * c.threads);
  over_parts<BackwardRoom<T>>(c, s, bytes, [&](BackwardRoom<T> room, int64_t number, int64_t part, int64_t begin, int64_t end) {
    if (s.parts > 1) {
      room.dk = partial + (2 * number * s.parts + part) * step;
      room.dv = room.dk + s.parts * step;
    }
    backward_head<T>(c, s, room, number, begin, end);
    if (s.parts > 1) return;
    store_keys<T>(c, s, room.dk, 1, 0, number, c.scale, c.dkey);
    store_keys<T>(c, s, room.dv, 1, 0, number, 1, c.dvalue);
  });
  if (s.parts == 1) return;
  over_items(c.batch * c.heads, c.keys * s.deep * s.parts, [&](int64_t number) {
    float* sum = partial + 2 * number * s.parts * step;
    store_keys<T>(c, s, sum, s.parts, step, number, c.scale, c.dkey);
    store_keys<T>(c, s, sum + s.parts * step, s.parts, step, number, 1, c.dvalue);
  });
}

template <class T>
size_t bytes_of(const AttentionCall& c, bool backward) {
  const Sizes s(c);
  if (!backward) return c.threads * forward_bytes<T>(c, s);
  const int64_t partial = s.parts > 1 ? 2 * c.batch * c.heads * s.parts * BackwardRoom<T>::gradient_floats(c, s) : 0;
  return c.threads * backward_bytes<T>(c, s) + 4 * partial;
}

size_t attention_scratch(const AttentionCall& c, bool backward) {
#ifdef __AVX512BF16__
  if (c.type == Store::BF16) return bytes_of<bf16>(c, backward);
#endif
  return bytes_of<float>(c, backward);
}

void attention(const AttentionCall& c) {
#ifdef __AVX512BF16__
  if (c.type == Store::BF16) return forward_all<bf16>(c);
#endif
  forward_all<float>(c);
}

void attention_gradients(const AttentionCall& c) {
#ifdef __AVX512BF16__
  if (c.type == Store::BF16) return backward_all<bf16>(c);
#endif
  backward_all<float>(c);
}

}  // namespace

void add_attention(Simd& table) {
  table.attention_scratch = attention_scratch;
  table.attention = attention;
  table.attention_gradients = attention_gradients;
}

}  // namespace graft::cpu::GRAFT_ISA_NAMESPACE
