// attention in bf16 on tensor cores: heads of up to 32, 64 and 128 elements have a kernel of their own each.
#include "attention/mma_backward.cuh"
#include "attention/mma_forward.cuh"

namespace graft::cuda {
namespace {

class MmaAttention : public Kernel {
 public:
  MmaAttention(const Device& d, const Request& r, const Heads& h, std::unique_ptr<Kernel> other) : d_(d), r_(r), heads_(h), other_(std::move(other)) {}
  std::string name() const override { return "own:mma:attention:cuda"; }
  size_t scratch_bytes() const override { return other_->scratch_bytes(); }  // for deltas, as they lie there
  PackSpec pack(size_t i) const override { return i < r_.inputs.size() ? PackSpec{r_.inputs[i].dtype, "", r_.inputs[i].bytes()} : PackSpec{}; }

  void run(const Args& args) const override {
    if (!whole(args)) return other_->run(args);
    Current current(d_.number);
    if (heads_.size <= 32) run<32>(args);
    else if (heads_.size <= 64) run<64>(args);
    else run<128>(args);
  }

  template <int kSize>
  bool allow() const {
    if (MmaForward<kSize>::kSharedBytes > d_.most_shared || MmaBackward<kSize>::kSharedBytes > d_.most_shared) return false;
    allow_shared(d_, mma_attention_forward<kSize>, MmaForward<kSize>::kSharedBytes);
    allow_shared(d_, mma_attention_queries<kSize>, MmaBackward<kSize>::kSharedBytes);
    allow_shared(d_, mma_attention_keys<kSize>, MmaBackward<kSize>::kSharedBytes);
    return true;
  }

 private:
  // Whether the operands begin at multiples of 16 bytes, which their rows then do too.
  bool whole(const Args& args) const {
    auto fits = [](const void* p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; };
    bool all = fits(args.out[0]) && fits(r_.pass == Pass::Backward ? args.dout : nullptr);
    for (size_t i : {kQuery, kKey, kValue}) {
      if (r_.call().has(i)) all = all && fits(args.in[i]);
      if (r_.pass == Pass::Backward && wants(r_, i)) all = all && fits(args.din[i]);
    }
    return all;
  }

  template <int kSize>
  void run(const Args& args) const {
    Heads h = heads_;
    if (r_.call().has(kKeys)) h.keys = in<int32_t>(args, kKeys);
    const bool packed = !r_.call().has(kKey);
    const Bf16 *q = in<Bf16>(args, kQuery), *k = packed ? q : in<Bf16>(args, kKey), *v = packed ? q : in<Bf16>(args, kValue), *g = static_cast<const Bf16*>(args.dout);
    const int64_t queries = h.batch * h.heads * ceil_div(h.q.tokens, kOwnTokens), keys = h.batch * h.heads * ceil_div(h.k.tokens, kOwnTokens);
    if (r_.pass == Pass::Forward)
      return launch(mma_attention_forward<kSize>, {queries, kAttentionThreads, MmaForward<kSize>::kSharedBytes, d_.stream}, h, q, k, v, static_cast<Bf16*>(args.out[0]),
                    static_cast<float*>(args.out[1]));
    const Gradient<Bf16> dq = gradient_of<Bf16>(r_, args, kQuery), dk = packed ? dq : gradient_of<Bf16>(r_, args, kKey), dv = packed ? dq : gradient_of<Bf16>(r_, args, kValue);
    const float* logs = static_cast<const float*>(args.out[1]);
    float* deltas = static_cast<float*>(args.scratch);
    const size_t shared = MmaBackward<kSize>::kSharedBytes;
    if (dq.address || dk.address) launch(mma_attention_queries<kSize>, {queries, kAttentionThreads, shared, d_.stream}, h, q, k, v, g, logs, deltas, dq);
    if (dk.address || dv.address)
      launch(mma_attention_keys<kSize>, {keys, kAttentionThreads, shared, d_.stream}, h, q, k, v, g, logs, static_cast<const float*>(deltas), dk, dv);
  }

  const Device& d_;
  Request r_;
  Heads heads_;
  std::unique_ptr<Kernel> other_;
};

}  // namespace

std::unique_ptr<Kernel> make_mma_attention(const Device& d, const Request& r, std::unique_ptr<Kernel>& other) {
  const Heads h = heads_of(r);
  const int64_t most = int64_t{1} << 30;
  if (r.outputs[0].dtype != DType::BF16 || h.size % 8 != 0 || h.size > 128 || h.q.tokens >= most || h.k.tokens >= most) return nullptr;
  auto kernel = std::make_unique<MmaAttention>(d, r, h, nullptr);
  if (!(h.size <= 32 ? kernel->allow<32>() : h.size <= 64 ? kernel->allow<64>() : kernel->allow<128>())) return nullptr;
  return std::make_unique<MmaAttention>(d, r, h, std::move(other));
}

}  // namespace graft::cuda
