// lora_linear backward: u = g b (the gradient of t without its factor), then dx = g w + s u a in one product, da = s u^T z, db = s g^T t.
#include "lora.cuh"
#include "reduce.cuh"

namespace graft::cuda {

// u of rows whose adapters differ: a block a row.
template <class T>
__global__ void __launch_bounds__(kThreads) grouped_up(const __grid_constant__ Branch u, const T* g, const T* b, float* through) {
  const int64_t row = blockIdx.x, adapter = u.adapter_of(row);
  for (int64_t j = 0; j < u.columns(); j++) {
    const int64_t slice = j / u.rank;
    float sum = 0;
    for (int64_t n = u.starts[slice] + threadIdx.x; adapter >= 0 && n < u.starts[slice] + u.width; n += blockDim.x)
      sum += float_of(g[row * u.out + n]) * float_of(b[u.at_b(adapter, slice, n, j % u.rank)]);
    sum = block_sum(sum);
    if (threadIdx.x == 0) through[row * u.columns() + j] = sum;
  }
}

// Adds s u a to what a product made, or to nothing.
template <class T>
struct StoreThrough {
  Branch u;
  const float* through;  // null: no update
  const T* a;
  Gradient<T> dx;
  __device__ int64_t start(int64_t) const { return 0; }
  __device__ void put(int64_t, int64_t row, int64_t k, float sum) const {
    const int64_t g = through ? u.adapter_of(row) : -1;
    if (g >= 0) {
      const float* left = through + row * u.columns();
      const T* right = a + u.at_a(g, 0, k);
      float update = 0;
#pragma unroll 1
      for (int j = 0; j < static_cast<int>(u.columns()); j++, right += u.in) update += left[j] * float_of(*right);
      sum += u.scale(g) * update;
    }
    dx.put(row * u.in + k, sum);
  }
};

// Gradients of grouped updates: one element each, over the rows that name its adapter.
template <class T>
struct GroupedA {
  Branch u;
  const float* through;
  const T* z;
  Gradient<float> da;
  __device__ void operator()(int64_t at) const {
    const int64_t k = at % u.in, j = at / u.in % u.columns(), g = at / u.in / u.columns();
    float sum = 0;
    for (int64_t row = 0; row < u.rows; row++)
      if (u.adapter_of(row) == g) sum += through[row * u.columns() + j] * float_of(z[row * u.in + k]);
    da.put(at, u.scale(g) * sum);
  }
};
template <class T>
struct GroupedB {
  Branch u;
  const float* t;
  const T* g;
  Gradient<float> db;
  __device__ void operator()(int64_t at) const {
    const int64_t j = at % u.rank, n = at / u.rank % u.width, slice = at / u.rank / u.width % u.slices, adapter = at / u.rank / u.width / u.slices;
    float sum = 0;
#pragma unroll 1
    for (int64_t row = 0; row < u.rows; row++)
      if (u.adapter_of(row) == adapter) sum += float_of(g[row * u.out + u.starts[slice] + n]) * t[row * u.columns() + slice * u.rank + j];
    db.put(at, u.scale(adapter) * sum);
  }
};

// A block an adapter: d(scale) = factor * sum over its rows of t . u.
__global__ void __launch_bounds__(kThreads) scale_gradients(const __grid_constant__ Branch u, const float* t, const float* through, Gradient<float> dscales) {
  const int64_t g = blockIdx.x;
  float sum = 0;
  for (int64_t i = threadIdx.x; i < u.rows * u.columns(); i += blockDim.x)
    if (u.adapter_of(i / u.columns()) == g) sum += t[i] * through[i];
  sum = block_sum(sum);
  if (threadIdx.x == 0) dscales.put(g, u.factor * sum);
}

void add_scale_gradients(const Device& d, const Branch& u, const float* t, const float* through, const Gradient<float>& dscales) {
  launch(scale_gradients, {u.adapters, kThreads, 0, d.stream}, u, t, through, dscales);
}

namespace {

template <class T>
class LoraBackward {
 public:
  LoraBackward(const Device& d, const Request& r)
      : d_(d), r_(r), branch_(branch_of(r)), separate_(r.call().has(kZ)), grouped_(r.call().has(kAdapter)), scaled_(r.call().has(kScales)),
        columns_(branch_.slices * branch_.rank), sums_(1, branch_.rows, branch_.out) {
    through_ = wants(r, kA) || wants(r, separate_ ? kZ : kX) || wants(r, kScales);
  }
  size_t scratch_bytes() const {
    return (through_ ? aligned(4 * static_cast<size_t>(branch_.rows * columns_)) : 0) + (wants(r_, kBias) ? sums_.scratch(1) : 0);
  }

  void run(const Args& args) const {
    Branch u = branch_;
    if (grouped_) u.adapter = in<int32_t>(args, kAdapter);
    if (scaled_) u.scales = in<float>(args, kScales);
    Cut scratch(args.scratch);
    float* through = through_ ? scratch.take<float>(u.rows * columns_) : nullptr;
    const T *g = static_cast<const T*>(args.dout), *z = in<T>(args, separate_ ? kZ : kX);
    base(args, u, g, scratch.take<float>(0));
    if (through_) pass_b(args, u, g, through);
    branch(args, u, g, z, through);
    // Last: dx may not lie on g, but what is read above may be freed behind it.
    data(args, u, g, through);
  }

 private:
  void base(const Args& args, const Branch& u, const T* g, float* partial) const {
    const Gradient<float> dw = gradient_of<float>(r_, args, kWeight), db = gradient_of<float>(r_, args, kBias);
    if (db.address) middle_sums<1>(d_, sums_, partial, ColumnTerm<T>{g, u.out}, PutColumnSum{db});
    if (dw.address) product(d_, 1, u.out, u.in, u.rows, 1, left<T>(g, 1, u.out), right<T>(args.in[kX], u.in, 1), store(dw, u.in));
  }
  void pass_b(const Args& args, const Branch& u, const T* g, float* through) const {
    const T* b = in<T>(args, kB);
    if (grouped_) return launch(grouped_up<T>, {u.rows, 128, 0, d_.stream}, u, g, b, through);
    for (int64_t i = 0; i < u.slices; i++)
      product(d_, 1, u.rows, u.rank, u.width, 1, left<T>(g + u.starts[i], u.out, 1), right<T>(b + i * u.width * u.rank, u.rank, 1),
              Store<float>{through + i * u.rank, columns_, 1});
  }
  void branch(const Args& args, const Branch& u, const T* g, const T* z, const float* through) const {
    const Gradient<float> da = gradient_of<float>(r_, args, kA), db = gradient_of<float>(r_, args, kB), ds = gradient_of<float>(r_, args, kScales);
    const float* t = static_cast<const float*>(args.out[1]);
    if (grouped_) {
      if (da.address) over_all(d_, u.adapters * columns_ * u.in, GroupedA<T>{u, through, z, da});
      if (db.address) over_all(d_, u.adapters * u.slices * u.width * u.rank, GroupedB<T>{u, t, g, db});
      if (ds.address) add_scale_gradients(d_, u, t, through, ds);
      return;
    }
    if (da.address) product(d_, 1, columns_, u.in, u.rows, 1, left<float>(through, 1, columns_), right<T>(z, u.in, 1), scaled(da, u.in));
    for (int64_t i = 0; db.address && i < u.slices; i++) {
      Store<float> to = scaled(db, u.rank);
      to.p += i * u.width * u.rank;
      product(d_, 1, u.width, u.rank, u.rows, 1, left<T>(g + u.starts[i], 1, u.out), right<float>(t + i * u.rank, columns_, 1), to);
    }
  }
  void data(const Args& args, const Branch& u, const T* g, const float* through) const {
    const Gradient<T> dx = gradient_of<T>(r_, args, kX), dz = gradient_of<T>(r_, args, kZ);
    const Matrix<T> rows = left<T>(g, u.out, 1), weight = right<T>(args.in[kWeight], u.in, 1);
    if (dx.address) product(d_, 1, u.rows, u.in, u.out, 1, rows, weight, StoreThrough<T>{u, separate_ ? nullptr : through, in<T>(args, kA), dx});
    if (dz.address) product(d_, 1, u.rows, u.in, 0, 1, rows, weight, StoreThrough<T>{u, through, in<T>(args, kA), dz});
  }
  Store<float> scaled(const Gradient<float>& gradient, int64_t row) const {
    Store<float> c = store(gradient, row);
    c.factor = branch_.factor;
    return c;
  }

  const Device& d_;
  Request r_;
  Branch branch_;
  bool separate_, grouped_, scaled_, through_;
  int64_t columns_;
  SumShape sums_;
};

template <class T>
std::unique_ptr<Kernel> backward(const Device& d, const Request& r) {
  const LoraBackward<T> kernel(d, r);
  return own(d, "simt:lora_linear", kernel.scratch_bytes(), [kernel](const Args& args) { kernel.run(args); });
}

}  // namespace

std::unique_ptr<Kernel> make_lora_backward(const Device& d, const Request& r) {
  if (r.second_gradient || r.epilogue.any()) return nullptr;
  return r.outputs[0].dtype == DType::BF16 ? backward<Bf16>(d, r) : backward<float>(d, r);
}

}  // namespace graft::cuda
