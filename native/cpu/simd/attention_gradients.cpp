// The gradients of attention, cut up as forward is. The probabilities are worked out again from the log of the sum of exponentials
// that forward kept; with p the probabilities and g the result's gradient, by rows i of queries and j of keys
//   dv[j] = sum_i p[i, j] g[i],  dp[i, j] = g[i] . v[j],  ds = p * (dp - sum_j p dp),  dq[i] = scale sum_j ds k[j],  dk[j] = scale sum_i ds q[i].
#include "attention.h"

namespace graft::cpu::GRAFT_ISA_NAMESPACE {
namespace {

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
  if (rows % 2) {  // the last pair's second row
    __builtin_memset(room.scores + rows * s.across, 0, 4 * width);
    __builtin_memset(room.score_slopes + rows * s.across, 0, 4 * width);
    room.sums[rows] = 0;
  }
  for (int64_t r = 0; r < rows; r += 2) {
    float *p = room.scores + r * s.across, *ds = room.score_slopes + r * s.across;
    bf16 *low = reinterpret_cast<bf16*>(room.rows) + r * s.across, *high = low + s.across;
    const int64_t before = up(head.counted(first + r + 1), kLane), last = up(head.counted(first + r + 2), kLane);
    for (int64_t i = before; i < last; i++) p[i] = ds[i] = 0;
    for (int64_t i = 0; i < last; i += kLane) {
      const Floats p0 = read(p + i), p1 = read(p + s.across + i);
      const Floats d0 = p0 * (read(ds + i) - room.sums[r]), d1 = p1 * (read(ds + s.across + i) - room.sums[r + 1]);
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
void backward_all(const AttentionCall& c) {
  const Sizes s(c);
  const int64_t step = BackwardRoom<T>::gradient_floats(c, s);
  // Behind the threads' rooms, where a head has parts: [head][keys, values][part].
  float* partial = reinterpret_cast<float*>(static_cast<char*>(c.scratch) + c.threads * room_bytes<BackwardRoom<T>>(c, s));
  over_parts<BackwardRoom<T>>(c, s, [&](BackwardRoom<T> room, int64_t number, int64_t part, int64_t begin, int64_t end) {
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
size_t bytes_of(const AttentionCall& c) {
  const Sizes s(c);
  const int64_t partial = s.parts > 1 ? 2 * c.batch * c.heads * s.parts * BackwardRoom<T>::gradient_floats(c, s) : 0;
  return c.threads * room_bytes<BackwardRoom<T>>(c, s) + 4 * partial;
}

size_t attention_gradients_scratch(const AttentionCall& c) {
#ifdef __AVX512BF16__
  if (c.type == Store::BF16) return bytes_of<bf16>(c);
#endif
  return bytes_of<float>(c);
}

void attention_gradients(const AttentionCall& c) {
#ifdef __AVX512BF16__
  if (c.type == Store::BF16) return backward_all<bf16>(c);
#endif
  backward_all<float>(c);
}

}  // namespace

void add_attention_gradients(Simd& table) {
  table.attention_gradients_scratch = attention_gradients_scratch;
  table.attention_gradients = attention_gradients;
}

}  // namespace graft::cpu::GRAFT_ISA_NAMESPACE
