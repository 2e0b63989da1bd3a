// Attention by heads. A thread takes one head of one sample (or a part of its queries) at a time; the head's operands are laid out for
// the products of tile.h, and its scores exist for a tile of queries only.
#include "attention.h"

namespace graft::cpu::GRAFT_ISA_NAMESPACE {
namespace {

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

template <class T>
void forward_all(const AttentionCall& c) {
  const Sizes s(c);
  over_parts<ForwardRoom<T>>(c, s, [&](const ForwardRoom<T>& room, int64_t number, int64_t, int64_t begin, int64_t end) {
    forward_head<T>(c, s, room, number, begin, end);
  });
}

size_t attention_scratch(const AttentionCall& c) {
  const Sizes s(c);
#ifdef __AVX512BF16__
  if (c.type == Store::BF16) return c.threads * room_bytes<ForwardRoom<bf16>>(c, s);
#endif
  return c.threads * room_bytes<ForwardRoom<float>>(c, s);
}

void attention(const AttentionCall& c) {
#ifdef __AVX512BF16__
  if (c.type == Store::BF16) return forward_all<bf16>(c);
#endif
  forward_all<float>(c);
}

}  // namespace

void add_attention(Simd& table) {
  table.attention_scratch = attention_scratch;
  table.attention = attention;
}

}  // namespace graft::cpu::GRAFT_ISA_NAMESPACE
