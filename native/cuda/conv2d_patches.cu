// conv2d of one group as matrix products over patches: what an output position reads lies in scratch memory as a line (r, s, channel), for
// runs of whole samples, and make_product does the rest. The gradient of x is gathered from the gradients of the patches, in the order of
// the taps, so that it is the same bits each time (im2col and col2im; K. Chellapilla, S. Puri, P. Simard, "High Performance
// Convolutional Neural Networks for Document Processing", 2006).
#include "convolution.cuh"
#include "matmul/product.h"
#include "product.cuh"
#include "reduce.cuh"

namespace graft::cuda {

// 16 bytes of neighbouring channels.
struct alignas(16) Channels {
  uint32_t words[4];
};

// Element or piece i of the patches of a run of samples. z counts channels in V.
template <class V>
struct GatherPatches {
  Convolution z;
  Divisor line, channels;
  const V* x;
  V* patches;
  __device__ void operator()(int64_t i) const {
    const int position = static_cast<int>(i / line), l = static_cast<int>(i % line);
    const int tap = static_cast<int>(l / channels), c = static_cast<int>(l % channels);
    const int64_t at = z.input(position, tap / z.w.kernel, tap % z.w.kernel);
    patches[i] = at < 0 ? V{} : x[at + c];
  }
};

// dx of a run of samples. z.outs is the length of a line.
template <class T>
struct GatherGradients {
  Convolution z;
  Divisor channels;
  const float* patches;
  Gradient<T> dx;
  __device__ void operator()(int64_t i) const {
    const int position = static_cast<int>(i / channels), c = static_cast<int>(i % channels);
    float sum = 0;
    for (int r = 0; r < z.h.kernel; r++)
      for (int s = 0; s < z.w.kernel; s++) {
        const int64_t at = z.output(position, r, s);
        if (at >= 0) sum += patches[at + (r * z.w.kernel + s) * z.channels + c];
      }
    dx.put(i, sum);
  }
};

struct ClearFilters {
  float* address;
  __device__ void operator()(int64_t i) const { address[i] = 0; }
};

namespace {

// A product for each run of samples: the whole ones, and the last where it is shorter.
struct Runs {
  std::shared_ptr<Kernel> whole, rest;
  const Kernel& of(bool is_whole) const { return is_whole ? *whole : *rest; }
};

bool by_simt(const Kernel& kernel) { return kernel.name().find(":simt:") != std::string::npos; }

// One conv2d: its sizes and how many samples a run has.
struct Plan {
  Convolution z;
  int64_t line, positions, per_run;  // elements of a patch; outputs of a sample; samples
  Plan(const Request& r, int64_t element, size_t bytes) : z(convolution(r)), line(z.taps() * z.cg), positions(int64_t{z.h.result} * z.w.result) {
    per_run = std::clamp<int64_t>(static_cast<int64_t>(bytes) / std::max<int64_t>(line * positions * element, 1), 1, std::max(z.samples, 1));
  }
  size_t scratch(int64_t element) const { return aligned(static_cast<size_t>(per_run * positions * line * element)); }
  // `request(m)` is the product over m output positions; false where none fits or own:simt does.
  template <class MakeRequest>
  bool add(const Device& d, InnerProducts& inner, Runs& runs, const MakeRequest& request) const {
    runs.whole = inner.add(d, request(per_run * positions));
    if (!runs.whole || by_simt(*runs.whole)) return false;
    if (z.samples % per_run == 0) return true;
    runs.rest = inner.add(d, request(z.samples % per_run * positions));
    return runs.rest && !by_simt(*runs.rest);
  }
  // body(first sample, sizes with the run's samples, whether the run is a whole one)
  template <class Body>
  void each(const Body& body) const {
    for (int64_t first = 0; first < z.samples; first += per_run) {
      Convolution run = z;
      run.samples = static_cast<int>(std::min<int64_t>(per_run, z.samples - first));
      body(first, run, run.samples == per_run);
    }
  }
};

template <class T>
void gather_patches(const Device& d, const Convolution& run, int64_t count, int64_t line, const T* x, T* patches) {
  constexpr int kWide = sizeof(Channels) / sizeof(T);
  if (run.channels % kWide == 0 && reinterpret_cast<uintptr_t>(x) % sizeof(Channels) == 0) {
    Convolution wide = run;
    wide.channels /= kWide;
    over_all(d, count / kWide, GatherPatches<Channels>{wide, line / kWide, wide.channels, reinterpret_cast<const Channels*>(x), reinterpret_cast<Channels*>(patches)});
  } else {
    over_all(d, count, GatherPatches<T>{run, line, run.channels, x, patches});
  }
}

ProductRequest product_of(const Request& r, int64_t m, int64_t n, int64_t k, ProductRequest::Matrix a, ProductRequest::Matrix b) {
  ProductRequest p;
  p.m = m, p.n = n, p.k = k;
  p.a = a, p.b = b, p.c = {n, 1, 0};
  p.type = p.result = r.outputs[0].dtype;
  return p;
}

template <class T>
std::unique_ptr<Kernel> forward(const Device& d, const Request& r, size_t bytes) {
  const Plan plan(r, sizeof(T), bytes);
  const int64_t line = plan.line, outs = plan.z.outs;
  const bool biased = r.call().has(kShift);
  InnerProducts inner;
  Runs y;
  const bool fits = plan.add(d, inner, y, [&](int64_t m) {
    ProductRequest p = product_of(r, m, outs, line, {line, 1, 0}, {1, line, 0});
    p.bias = biased;
    p.epilogue = r.epilogue;
    return p;
  });
  if (!fits) return nullptr;
  inner.add("own:patches:cuda");
  const size_t scratch = plan.scratch(sizeof(T));
  return inner.kernel(d, [=, &d](const Args& a) {
    T* patches = static_cast<T*>(a.scratch);
    plan.each([&](int64_t first, const Convolution& run, bool whole) {
      const int64_t rows = run.outputs(), at = first * plan.positions * outs;
      gather_patches(d, run, rows * line, line, in<T>(a, kInput) + first * run.h.size * run.w.size * run.channels, patches);
      ProductOperands o;
      o.a = patches, o.b = a.in[kFilter], o.bias = biased ? a.in[kShift] : nullptr, o.c = static_cast<T*>(a.out[0]) + at, o.scratch = static_cast<char*>(a.scratch) + scratch;
      o.residual = r.epilogue.residual ? static_cast<T*>(a.residual) + at : nullptr;
      run_product(y.of(whole), o);
    });
  }, scratch);
}

template <class T>
std::unique_ptr<Kernel> backward(const Device& d, const Request& r, size_t bytes) {
  const Plan plan(r, sizeof(float), bytes);  // gradients of patches are F32
  const int64_t line = plan.line, outs = plan.z.outs;
  InnerProducts inner;
  Runs dw, dx;
  if (wants(r, kFilter) && !plan.add(d, inner, dw, [&](int64_t m) {
        ProductRequest p = product_of(r, outs, line, m, {1, outs, 0}, {line, 1, 0});
        p.result = DType::F32;
        p.accumulate = true;
        return p;
      }))
    return nullptr;
  if (wants(r, kInput) && !plan.add(d, inner, dx, [&](int64_t m) {
        ProductRequest p = product_of(r, m, line, outs, {outs, 1, 0}, {line, 1, 0});
        p.result = DType::F32;
        return p;
      }))
    return nullptr;
  if (!dw.whole && !dx.whole) return nullptr;
  inner.add("own:patches:cuda");
  const SumShape columns(1, plan.z.outputs(), outs);
  const size_t scratch = std::max(plan.scratch(sizeof(float)), wants(r, kShift) ? aligned(columns.scratch(1)) : 0);
  return inner.kernel(d, [=, &d](const Args& a) {
    const T* g = static_cast<const T*>(a.dout);
    const Gradient<T> grad = gradient_of<T>(r, a, kInput);
    const Gradient<float> filters = gradient_of<float>(r, a, kFilter), db = gradient_of<float>(r, a, kShift);
    void* behind = static_cast<char*>(a.scratch) + scratch;
    if (db.address) middle_sums<1>(d, columns, static_cast<float*>(a.scratch), ColumnTerm<T>{g, outs}, PutColumnSum{db});
    if (filters.address && !filters.accumulate) over_all(d, outs * line, ClearFilters{filters.address});
    plan.each([&](int64_t first, const Convolution& run, bool whole) {
      const int64_t rows = run.outputs(), inputs = run.inputs(), from = first * run.h.size * run.w.size * run.channels;
      const T* part = g + first * plan.positions * outs;
      if (filters.address) {
        T* patches = static_cast<T*>(a.scratch);
        gather_patches(d, run, rows * line, line, in<T>(a, kInput) + from, patches);
        run_product(dw.of(whole), part, patches, filters.address, behind);
      }
      if (grad.address) {
        float* patches = static_cast<float*>(a.scratch);
        run_product(dx.of(whole), part, a.in[kFilter], patches, behind);
        Convolution lines = run;
        lines.outs = static_cast<int>(line);
        over_all(d, inputs * run.channels, GatherGradients<T>{lines, run.channels, patches, Gradient<T>{grad.address + from, grad.accumulate}});
      }
    });
  }, scratch);
}

}  // namespace

std::unique_ptr<Kernel> make_patches_conv2d(const Device& d, const Request& r, size_t bytes) {
  if (r.call().integer("groups") != 1) return nullptr;
  const bool narrow = r.inputs[kInput].dtype == DType::BF16;
  if (r.pass == Pass::Forward) return narrow ? forward<Bf16>(d, r, bytes) : forward<float>(d, r, bytes);
  return narrow ? backward<Bf16>(d, r, bytes) : backward<float>(d, r, bytes);
}

}  // namespace graft::cuda
