// embed_tokens: prefix tokens in front of each sample's own, and positions added to all.
#include "reduce.cuh"

namespace graft::cuda {

template <class T>
struct EmbedForward {
  const T* x;
  const float *token, *position;
  T* y;
  int64_t prefix;
  Divisor whole;  // elements of the prefix, of a sample of the result
  __device__ void operator()(int64_t at) const {
    const int64_t n = at / whole, i = at % whole;
    const float v = i < prefix ? token[i] : float_of(x[n * (whole - prefix) + i - prefix]);
    y[at] = stored<T>(v + position[i]);
  }
};

template <class T>
struct EmbedBackward {
  Incoming<T> g;
  Gradient<T> dx;
  int64_t prefix;
  Divisor own;  // elements of a sample without the prefix
  __device__ void operator()(int64_t at) const { dx.put(at, g(at / own * (prefix + own) + prefix + at % own));
  }
};

template <class T>
struct OverSamples {
  Incoming<T> g;
  int64_t whole;
  __device__ void operator()(int64_t, int64_t n, int64_t i, float (&v)[1]) const { v[0] = g(n * whole + i); }
};
struct PutTokens {
  Gradient<float> token, position;
  int64_t prefix;
  __device__ void operator()(int64_t i, const double (&sums)[1]) const {
    const float sum = static_cast<float>(sums[0]);
    if (token.address && i < prefix) token.put(i, sum);
    if (position.address) position.put(i, sum);
  }
};

namespace {

template <class T>
std::unique_ptr<Kernel> embed(const Device& d, const Request& r) {
  const int64_t samples = r.inputs[0].shape[0], prefix = r.inputs[1].count(), whole = r.inputs[2].count();
  if (r.pass == Pass::Forward)
    return own(d, "embed_tokens", 0, [=, &d](const Args& a) {
      over_all(d, samples * whole, EmbedForward<T>{in<T>(a, 0), in<float>(a, 1), in<float>(a, 2), static_cast<T*>(a.out[0]), prefix, whole});
    });
  // Where only the tokens' gradient is wanted the sums end behind the prefix.
  const SumShape s(1, samples, wants(r, 2) ? whole : prefix);
  return own(d, "embed_tokens", wants(r, 1) || wants(r, 2) ? s.scratch(1) : 0, [=, &d](const Args& a) {
    const Incoming<T> g = incoming<T>(r, a);
    const PutTokens sums{gradient_of<float>(r, a, 1), gradient_of<float>(r, a, 2), prefix};
    if (sums.token.address || sums.position.address) middle_sums<1>(d, s, static_cast<float*>(a.scratch), OverSamples<T>{g, whole}, sums);
    const EmbedBackward<T> f{g, gradient_of<T>(r, a, 0), prefix, whole - prefix};
    if (f.dx.address) over_all(d, samples * (whole - prefix), f);
  });
}

}  // namespace

std::unique_ptr<Kernel> make_embed_tokens(const Device& d, const Request& r) {
  if (!storable(r.inputs[0].dtype) || r.outputs[0].dtype != r.inputs[0].dtype || r.epilogue.any()) return nullptr;
  return r.outputs[0].dtype == DType::BF16 ? embed<Bf16>(d, r) : embed<float>(d, r);
}

}  // namespace graft::cuda
