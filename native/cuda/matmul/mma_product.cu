#include "matmul/mma_product.cuh"

#include <algorithm>

#include "matmul/product.h"

namespace graft::cuda {

// A thread four columns of one row.
__global__ void __launch_bounds__(kThreads) add_splits(const __grid_constant__ MmaProduct p) {
  const unsigned fours = static_cast<unsigned>(p.n + 3) / 4, index = static_cast<unsigned>(global_thread());
  const unsigned row = index / fours, matrix = row / static_cast<unsigned>(p.m);
  if (matrix >= p.batch) return;
  const int i = static_cast<int>(row % static_cast<unsigned>(p.m)), j = static_cast<int>(index % fours) * 4, there = p.n - j < 4 ? p.n - j : 4;
  Four sum = {{0, 0, 0, 0}};
  for (int split = 0; split < p.splits; split++) {
    const Four part = load4(p.partial, ((split * p.batch + matrix) * p.m + i) * p.n + j, there, p.n % 4 == 0);
#pragma unroll
    for (int e = 0; e < 4; e++) sum.v[e] += part.v[e];
  }
  p.finish.put(matrix, i, j, there, sum);
}

void finish_splits(const Device& d, const MmaProduct& p) {
  launch(add_splits, {ceil_div(p.batch * p.m * ceil_div(p.n, 4), kThreads), kThreads, 0, d.stream}, p);
}

MmaCut::MmaCut(const Device& d, int64_t batch, int64_t m, int64_t n, int slices) {
  auto tiles = [&](int64_t of) { return batch * ceil_div(m, of) * ceil_div(n, of); };
  extent = tiles(128) >= d.multiprocessors ? 128 : 64;
  const int64_t least = 8;  // slices of a block: below that its start and the second kernel take longer
  const int64_t wanted = tiles(extent) < d.multiprocessors ? ceil_div(2 * d.multiprocessors, std::max<int64_t>(tiles(extent), 1)) : 1;
  const int64_t parts = std::max<int64_t>(1, std::min(wanted, slices / least));
  per_split = static_cast<int>(std::max<int64_t>(1, ceil_div(slices, parts)));
  splits = static_cast<int>(std::max<int64_t>(1, ceil_div(slices, per_split)));
}

namespace {

template <class T, int kExtent, bool kAlongA, bool kAlongB>
void run(const Device& d, const MmaProduct& p) {
  launch(mma_product<T, kExtent, kAlongA, kAlongB>,
         {p.batch * p.splits * p.tiles_m * p.tiles_n, kMmaThreads, MmaBlock<T, kExtent, kAlongA, kAlongB>::kSharedBytes, d.stream}, p);
}

template <class T, int kExtent>
void run(const Device& d, const MmaProduct& p, bool along_a, bool along_b) {
  if (along_a) along_b ? run<T, kExtent, true, true>(d, p) : run<T, kExtent, true, false>(d, p);
  else along_b ? run<T, kExtent, false, true>(d, p) : run<T, kExtent, false, false>(d, p);
}

template <class T, int kExtent, bool kAlongA, bool kAlongB>
void allow() {
  const int bytes = static_cast<int>(MmaBlock<T, kExtent, kAlongA, kAlongB>::kSharedBytes);
  check(cudaFuncSetAttribute(mma_product<T, kExtent, kAlongA, kAlongB>, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes), "asking for more shared memory");
}

// A factor as terms may have it: contiguous along the summed axis or along the other; lines of one number are both.
struct Layout {
  bool along_l, along_x;
  int64_t stays, summed, step;
  // x numbers along the axis that stays, `stays` elements apart; l along the one that is summed.
  Layout(int64_t x, int64_t l, int64_t stays, int64_t summed, int64_t step)
      : along_l(summed == 1 || l <= 1), along_x(stays == 1 || x <= 1), stays(stays), summed(summed), step(step) {}
  template <class T>
  Lines at(const void* p, bool along) const {
    const int64_t line = along ? stays : summed;
    return {p, line, step, reinterpret_cast<uintptr_t>(p) % 16 == 0 && line % Depth<T>::kChunk == 0 && step % Depth<T>::kChunk == 0};
  }
};

// The product of the transposed factors, for a result that lies by columns.
ProductRequest turned(const ProductRequest& r) {
  auto turn = [](const ProductRequest::Matrix& x) { return ProductRequest::Matrix{x.column, x.row, x.step}; };
  ProductRequest t = r;
  t.m = r.n, t.n = r.m;
  t.a = turn(r.b), t.b = turn(r.a), t.a2 = turn(r.b2), t.b2 = turn(r.a2), t.c = turn(r.c);
  return t;
}

}  // namespace

template <class T>
void run_mma(const Device& d, const MmaCut& cut, MmaProduct p, bool along_a, bool along_b, void* scratch) {
  p.tiles_m = static_cast<int>(ceil_div(p.m, cut.extent)), p.tiles_n = static_cast<int>(ceil_div(p.n, cut.extent));
  p.splits = cut.splits, p.per_split = cut.per_split;
  p.partial = static_cast<float*>(scratch);
  if (cut.extent == 128) run<T, 128>(d, p, along_a, along_b);
  else run<T, 64>(d, p, along_a, along_b);
  if (p.splits > 1) finish_splits(d, p);
}

template <class T>
bool allow_mma(const Device& d) {
  if (d.most_shared < MmaBlock<T, 128, true, true>::kSharedBytes) return false;
  allow<T, 128, true, true>(), allow<T, 128, true, false>(), allow<T, 128, false, true>(), allow<T, 128, false, false>();
  return true;
}

template void run_mma<Bf16>(const Device&, const MmaCut&, MmaProduct, bool, bool, void*);
template void run_mma<float>(const Device&, const MmaCut&, MmaProduct, bool, bool, void*);
template bool allow_mma<Bf16>(const Device&);
template bool allow_mma<float>(const Device&);

bool fits_mma(int64_t batch, int64_t m, int64_t n, const MmaCut& cut) {
  const int64_t most = int64_t{1} << 30;
  return batch * cut.splits * ceil_div(m, cut.extent) * ceil_div(n, cut.extent) < most && (cut.splits == 1 || batch * m * n < most);
}

Finish finish_of(const ProductRequest& r, const Args& args) {
  Finish f{};
  f.c = args.out[0];
  f.saved = r.saves ? args.out[1] : nullptr;
  f.residual = r.epilogue.residual ? args.residual : nullptr;
  f.factor = r.scaled ? in<float>(args, 3) : nullptr;
  f.bias = r.bias ? in<float>(args, 2) : nullptr;
  f.row = r.c.row, f.step = r.c.step;
  f.times = r.times, f.slope = r.epilogue.slope;
  f.activation = r.epilogue.activation;
  f.bf16 = r.result == DType::BF16, f.accumulate = r.accumulate;
  auto fits = [](const void* p, uintptr_t to) { return reinterpret_cast<uintptr_t>(p) % to == 0; };
  const uintptr_t four = f.bf16 ? 8 : 16;
  f.whole = r.c.row % 4 == 0 && r.c.step % 4 == 0 && fits(f.c, four) && fits(f.saved, four) && fits(f.residual, four) && fits(f.bias, 16);
  return f;
}

namespace {

template <class T>
std::unique_ptr<Kernel> make_product_of(const Device& d, const ProductRequest& request, const char* name) {
  if (!storable(request.result)) return nullptr;
  const bool by_columns = request.c.column != 1 && request.n > 1;
  if (by_columns && (request.c.row != 1 || request.bias)) return nullptr;
  const ProductRequest r = by_columns ? turned(request) : request;
  const int64_t most = int64_t{1} << 30;
  if (r.m >= most || r.n >= most || r.k >= most || r.k2 >= most) return nullptr;
  const Layout a(r.m, r.k, r.a.row, r.a.column, r.a.step), b(r.n, r.k, r.b.column, r.b.row, r.b.step);
  const Layout a2(r.m, r.k2, r.a2.row, r.a2.column, r.a2.step), b2(r.n, r.k2, r.b2.column, r.b2.row, r.b2.step);
  const bool along_a = a.along_l && a2.along_l, along_b = b.along_l && b2.along_l;
  if (!along_a && !(a.along_x && (r.k2 == 0 || a2.along_x))) return nullptr;
  if (!along_b && !(b.along_x && (r.k2 == 0 || b2.along_x))) return nullptr;
  const int slices = slices_of<T>(r.k) + slices_of<T>(r.k2);
  const MmaCut cut(d, r.batch, r.m, r.n, slices);
  if (!fits_mma(r.batch, r.m, r.n, cut) || !allow_mma<T>(d)) return nullptr;
  return own(d, name, cut.scratch(r.batch, r.m, r.n), [=, &d](const Args& args) {
    const size_t left = by_columns ? 1 : 0, right = 1 - left;
    MmaProduct p{};
    int terms = 0;
    if (r.k > 0) p.terms[terms++] = {a.at<T>(args.in[left], along_a), b.at<T>(args.in[right], along_b), static_cast<int>(r.k)};
    if (r.k2 > 0) p.terms[terms++] = {a2.at<T>(args.in[4 + left], along_a), b2.at<T>(args.in[4 + right], along_b), static_cast<int>(r.k2)};
    p.m = static_cast<int>(r.m), p.n = static_cast<int>(r.n), p.slices = slices, p.batch = r.batch;
    p.finish = finish_of(r, args);
    run_mma<T>(d, cut, p, along_a, along_b, args.scratch);
  });
}

}  // namespace

std::unique_ptr<Kernel> make_mma_product(const Device& d, const ProductRequest& r) {
  return r.type == DType::BF16 ? make_product_of<Bf16>(d, r, "mma:product") : nullptr;
}

std::unique_ptr<Kernel> make_tf32_product(const Device& d, const ProductRequest& r) {
  return r.type == DType::F32 && r.f32 == F32Product::Tf32 ? make_product_of<float>(d, r, "mma:product_tf32") : nullptr;
}

}  // namespace graft::cuda
