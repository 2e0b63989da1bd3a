// attention, on the own kernels.
#include <cmath>

#include "kernels.h"
#include "onednn.h"

namespace graft::cpu {
namespace {

enum { Query, Key, Value, Keys };

// All of the call that the request tells.
AttentionCall described(const Request& r) {
  const bool packed = !r.call().has(Key);
  const Shape& result = r.outputs[0].shape;
  AttentionCall c{};
  c.type = store_of(r.inputs[Query].dtype);
  c.batch = result[0];
  c.heads = r.call().integer("heads");
  c.queries = result[1];
  c.keys = packed ? c.queries : r.inputs[Key].shape[1];
  c.size = result[2] / c.heads;
  c.query_row = c.key_row = packed ? 3 * result[2] : result[2];
  c.causal = r.call().integer("causal") != 0;
  const double scale = r.call().number("scale");
  c.scale = static_cast<float>(scale > 0 ? scale : 1 / std::sqrt(static_cast<double>(c.size)));
  c.threads = threads();
  return c;
}

}  // namespace

std::unique_ptr<Kernel> make_attention(const Request& r) {
  const bool packed = !r.call().has(Key), counted = r.call().has(Keys), backward = r.pass == Pass::Backward;
  const DType type = r.inputs[Query].dtype;
  bool served = (type == DType::F32 || (type == DType::BF16 && has_bf16())) && r.outputs[0].dtype == type && !r.epilogue.any() && !r.second_gradient;
  for (size_t i : {Key, Value}) served = served && (packed || r.inputs[i].dtype == type);
  for (size_t i : {Query, Key, Value}) served = served && mode_of(r, i) != GradMode::Accumulate;
  if (!served) return nullptr;
  const AttentionCall call = described(r);
  const bool dquery = wants(r, Query), dkey = packed ? dquery : wants(r, Key), dvalue = packed ? dquery : wants(r, Value);
  const size_t scratch = backward ? simd().attention_gradients_scratch(call) : simd().attention_scratch(call);
  return own("attention", scratch, [=](const Args& a) {
    AttentionCall c = call;
    // Packed, key and value lie one and two results' widths behind the query.
    const size_t part = packed ? size_of(type) * static_cast<size_t>(c.heads * c.size) : 0;
    auto address = [&](void* const* operands, size_t i) { return packed ? static_cast<char*>(operands[Query]) + i * part : operands[i]; };
    c.query = address(a.in, Query);
    c.key = address(a.in, Key);
    c.value = address(a.in, Value);
    c.counts = counted ? static_cast<const int32_t*>(a.in[Keys]) : nullptr;
    c.lse = static_cast<float*>(a.out[1]);
    c.scratch = a.scratch;
    if (!backward) {
      c.result = a.out[0];
      simd().attention(c);
      return;
    }
    c.dout = a.dout;
    c.dquery = dquery ? address(a.din, Query) : nullptr;
    c.dkey = dkey ? address(a.din, Key) : nullptr;
    c.dvalue = dvalue ? address(a.din, Value) : nullptr;
    simd().attention_gradients(c);
  });
}

}  // namespace graft::cpu
