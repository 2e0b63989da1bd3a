// attention, by heads: o[i] = sum_j p[i, j] v[j] with p[i] = softmax over j of scale * q[i] . k[j].
// Query, key and value lie apart, [batch, queries, width] and [batch, keys, width], or side by side in one
// [batch, tokens, 3 * width] (query, key, value; each heads x head size). Query i counts the keys below keys[sample], with causal only those
// up to i. Where none counts the result is 0 and no gradient flows.
#include <algorithm>
#include <cmath>

#include "reference.h"

namespace graft::reference {
namespace {

enum { Query, Key, Value, Keys };

std::vector<TensorType> infer(const OpCall& call) {
  const Shape& q = call.inputs[Query].shape;
  require_float(call, Query, "attention", "query");
  require(q.rank == 3, "attention: query must be [batch, tokens, width], got ", q.str());
  require(call.has(Key) == call.has(Value), "attention: key and value come both or, packed behind the query, neither; only ",
          call.has(Key) ? "key" : "value", " came");
  const int64_t heads = call.integer("heads"), parts = call.has(Key) ? 1 : 3, causal = call.integer("causal");
  require(heads >= 1, "attention: heads must be at least 1, got ", heads);
  require(q[-1] % (heads * parts) == 0, "attention: the width of ", parts == 3 ? "the packed query " : "query ", q.str(), " must be a multiple of ",
          parts == 3 ? "3 * " : "", heads, " heads");
  require(causal == 0 || causal == 1, "attention: causal must be 0 or 1, got ", causal);
  const double scale = call.number("scale");
  require(scale >= 0 && std::isfinite(scale), "attention: scale must be a positive number, or 0 for 1 / sqrt(head size), got ", scale);
  if (call.has(Key)) {
    const Shape& k = call.inputs[Key].shape;
    require_float(call, Key, "attention", "key");
    require_float(call, Value, "attention", "value");
    require(k.rank == 3 && k[0] == q[0] && k[2] == q[2], "attention: key must be [", q[0], ", keys, ", q[2], "] for query ", q.str(), ", got ", k.str());
    require(call.inputs[Value].shape == k, "attention: value must be as key ", k.str(), ", got ", call.inputs[Value].shape.str());
  }
  if (call.has(Keys)) {
    const TensorType& keys = call.inputs[Keys];
    require(keys.dtype == DType::I32 && keys.shape == Shape{q[0]}, "attention: keys must be i32 [", q[0], "], got ", name_of(keys.dtype), " ",
            keys.shape.str());
  }
  TensorType result = call.inputs[Query];
  result.shape[-1] = q[-1] / parts;
  // Of a query's scores: log of the sum of their exponentials, 0 where no key counts.
  return {result, {result.dtype == DType::F64 ? DType::F64 : DType::F32, {q[0], heads, q[1]}}};
}

OpDef::Reads backward_reads(const OpCall& call, const std::vector<bool>& wanted) {
  OpDef::Reads reads = reads_nothing(call, wanted);
  const bool any = std::find(wanted.begin(), wanted.end(), true) != wanted.end();
  if (call.has(Key)) {
    reads.inputs[Query] = reads.inputs[Key] = any;
    reads.inputs[Value] = wanted[Query] || wanted[Key];
  } else {
    reads.inputs[Query] = any;
  }
  if (call.has(Keys)) reads.inputs[Keys] = any;
  reads.outputs[1] = any;
  return reads;
}

// Where the elements of one head lie.
struct Part {
  int64_t start, row;  // of sample 0, head 0, token 0; from token to token
  int64_t tokens, size;
  int64_t at(int64_t sample, int64_t head, int64_t token) const { return start + (sample * tokens + token) * row + head * size; }
};

struct Geometry {
  int64_t batch, heads;
  Part q, k, v, o;
  double scale;
  bool causal;

  explicit Geometry(const Run& run) : batch(run.out_shape()[0]), heads(run.integer("heads")), causal(run.integer("causal") != 0) {
    const int64_t queries = run.out_shape()[1], width = run.out_shape()[2], size = width / heads;
    const bool packed = !run.has(Key);
    const int64_t keys = packed ? queries : run.in_shape(Key)[1], row = packed ? 3 * width : width;
    q = {0, row, queries, size};
    k = {packed ? width : 0, row, keys, size};
    v = {packed ? 2 * width : 0, row, keys, size};
    o = {0, width, queries, size};
    scale = run.number("scale") > 0 ? run.number("scale") : 1 / std::sqrt(static_cast<double>(size));
  }
  // How many keys query i of a sample counts.
  int64_t counted(const Run& run, int64_t sample, int64_t i) const {
    int64_t n = run.has(Keys) ? std::clamp<int64_t>(static_cast<int64_t>(run.in(Keys)[sample]), 0, k.tokens) : k.tokens;
    return causal ? std::min(n, i + 1) : n;
  }
};

// v as separate steps would store it between them: probabilities and the gradients of scores are factors of a next product.
double stored(double v, DType type) {
  alignas(8) char place[8];
  store(place, type, 0, v);
  return load(place, type, 0);
}

double dot(In a, int64_t at, In b, int64_t bt, int64_t n) {
  double sum = 0;
  for (int64_t d = 0; d < n; d++) sum += a[at + d] * b[bt + d];
  return sum;
}

void forward(const Run& run) {
  const Geometry g(run);
  In q = run.in(Query), k = run.has(Key) ? run.in(Key) : q, v = run.has(Value) ? run.in(Value) : q;
  const DType type = run.request.outputs[0].dtype;
  double* p = run.sums();
  for (int64_t b = 0; b < g.batch; b++)
    for (int64_t h = 0; h < g.heads; h++)
      for (int64_t i = 0; i < g.q.tokens; i++) {
        const int64_t n = g.counted(run, b, i), lse = (b * g.heads + h) * g.q.tokens + i;
        double max = -INFINITY, sum = 0;
        for (int64_t j = 0; j < n; j++) {
          p[j] = g.scale * dot(q, g.q.at(b, h, i), k, g.k.at(b, h, j), g.q.size);
          max = std::max(max, p[j]);
        }
        for (int64_t j = 0; j < n; j++) sum += p[j] = std::exp(p[j] - max);
        for (int64_t d = 0; d < g.q.size; d++) {
          double o = 0;
          for (int64_t j = 0; j < n; j++) o += stored(p[j] / sum, type) * v[g.v.at(b, h, j) + d];
          run.out(0).put(g.o.at(b, h, i) + d, o);
        }
        run.out(1).put(lse, n > 0 ? max + std::log(sum) : 0);
      }
}

// dv[j] = sum_i p[i, j] g[i]; dp[i, j] = g[i] . v[j]; ds = scale * p * (dp - sum_j p dp); dq[i] = sum_j ds k[j]; dk[j] = sum_i ds q[i].
void backward(const Run& run) {
  const Geometry g(run);
  const bool packed = !run.has(Key);
  In q = run.in(Query), k = packed ? q : run.in(Key), v = packed ? q : run.in(Value), go = run.result_gradient(), lse = run.saved(1);
  const DType type = run.request.outputs[0].dtype;
  const bool scores = packed || run.gradient(Query).wanted() || run.gradient(Key).wanted();
  double *p = run.sums(), *dp = p + g.k.tokens, *dq = dp + g.k.tokens;
  double *dk = packed ? dq : dq + run.in_shape(Query).count(), *dv = packed ? dq : dk + run.in_shape(Key).count();
  std::fill(dq, packed ? dq + run.in_shape(Query).count() : dv + run.in_shape(Value).count(), 0.0);
  for (int64_t b = 0; b < g.batch; b++)
    for (int64_t h = 0; h < g.heads; h++)
      for (int64_t i = 0; i < g.q.tokens; i++) {
        const int64_t n = g.counted(run, b, i), qi = g.q.at(b, h, i), oi = g.o.at(b, h, i);
        double sum = 0;
        for (int64_t j = 0; j < n; j++) {
          p[j] = std::exp(g.scale * dot(q, qi, k, g.k.at(b, h, j), g.q.size) - lse[(b * g.heads + h) * g.q.tokens + i]);
          if (scores) sum += p[j] * (dp[j] = dot(go, oi, v, g.v.at(b, h, j), g.q.size));
        }
        for (int64_t j = 0; j < n; j++) {
          const int64_t kj = g.k.at(b, h, j), vj = g.v.at(b, h, j);
          const double pj = stored(p[j], type), ds = scores ? g.scale * stored(p[j] * (dp[j] - sum), type) : 0;
          for (int64_t d = 0; d < g.q.size; d++) {
            dv[vj + d] += pj * go[oi + d];
            if (!scores) continue;
            dq[qi + d] += ds * k[kj + d];
            dk[kj + d] += ds * q[qi + d];
          }
        }
      }
  double* sums[] = {dq, dk, dv};
  for (size_t input : {Query, Key, Value})
    for (int64_t i = 0; run.gradient(input).wanted() && i < run.in_shape(input).count(); i++) run.gradient(input).put(i, sums[input][i]);
}

size_t sums(const Request& r) {
  size_t count = 0;
  for (size_t i : {Query, Key, Value})
    if (r.call().has(i)) count += r.inputs[i].count();
  const int64_t keys = r.inputs[r.call().has(Key) ? Key : Query].shape[1];
  return r.pass == Pass::Backward ? 2 * keys + count : keys;
}

}  // namespace

void add_attention() {
  OpDef def;
  def.name = "attention";
  def.inputs = {{"query"}, {"key", Role::Data, true}, {"value", Role::Data, true}, {"keys", Role::Exact, true}};
  def.attributes = {{"heads", 0, true}, {"causal"}, {"scale"}};
  def.infer = infer;
  def.backward_reads = backward_reads;
  add_op(def, {forward, backward, sums});
}

}  // namespace graft::reference
