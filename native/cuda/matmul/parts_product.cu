// Products of F32 factors on tensor cores, where they are asked for: each number is a sum of two or three bf16 parts, of which two keep
// 16 bits and three all 24, and those products of parts that count are the terms of one bf16 product, the small ones first. What is left
// out is below 2^-17 (three terms of two parts) or 2^-25 (six of three) of the terms' sizes; tests state the error against double.
#include "matmul/mma_product.cuh"
#include "matmul/product.h"

namespace graft::cuda {

// A factor as its parts will lie: lines along the axis that is contiguous, if there is one, padded to multiples of eight numbers.
struct SplitFactor {
  Divisor length, lines;  // length: of a line, padded
  int64_t numbers;        // of a line
  int64_t from_line, from_number, from_matrix, matrices;
  bool along;             // whether lines run along the summed axis
  int parts;
  const float* from = nullptr;
  Bf16* to = nullptr;

  SplitFactor(int64_t batch, int64_t x, int64_t l, int64_t stays, int64_t summed, int64_t step, int parts)
      : from_matrix(step), matrices(step == 0 ? 1 : batch), along(summed == 1 || stays != 1), parts(parts) {
    numbers = along ? l : x;
    length = (numbers + 7) / 8 * 8, lines = along ? x : l;
    from_line = along ? stays : summed, from_number = along ? summed : stays;
  }
  __host__ __device__ int64_t plane() const { return matrices * lines * length; }
  Lines part(int i) const { return {to + i * plane(), length, from_matrix == 0 ? 0 : lines * length, true}; }
  __device__ void operator()(int64_t at) const {
    const int64_t line = at / length, number = at % length;
    float rest = number < numbers ? from[line / lines * from_matrix + line % lines * from_line + number * from_number] : 0;
    for (int i = 0; i < parts; i++) {
      const Bf16 part = stored<Bf16>(rest);
      to[i * plane() + at] = part;
      rest = fabsf(float_of(part)) < INFINITY ? rest - float_of(part) : 0;  // of an infinity nothing is left
    }
  }
};

std::unique_ptr<Kernel> make_parts_product(const Device& d, const ProductRequest& r) {
  const bool six = r.f32 == F32Product::Bf16x6;
  if (r.type != DType::F32 || (!six && r.f32 != F32Product::Bf16x3) || !storable(r.result) || r.k2 > 0 || (r.c.column != 1 && r.n > 1)) return nullptr;
  const int64_t most = int64_t{1} << 30;
  const int parts = six ? 3 : 2, terms = six ? 6 : 3, slices = terms * slices_of<Bf16>(r.k);
  if (r.m >= most || r.n >= most || r.k >= most / terms) return nullptr;
  const SplitFactor a(r.batch, r.m, r.k, r.a.row, r.a.column, r.a.step, parts), b(r.batch, r.n, r.k, r.b.column, r.b.row, r.b.step, parts);
  const MmaCut cut(d, r.batch, r.m, r.n, slices);
  if (!fits_mma(r.batch, r.m, r.n, cut) || !allow_mma<Bf16>(d)) return nullptr;
  auto bytes = [&](const SplitFactor& f) { return aligned(sizeof(Bf16) * static_cast<size_t>(parts * f.plane())); };
  return own(d, six ? "mma:product_bf16x6" : "mma:product_bf16x3", bytes(a) + bytes(b) + cut.scratch(r.batch, r.m, r.n), [=, &d](const Args& args) {
    Cut scratch(args.scratch);
    SplitFactor left = a, right = b;
    left.from = in<float>(args, 0), left.to = scratch.take<Bf16>(parts * a.plane());
    right.from = in<float>(args, 1), right.to = scratch.take<Bf16>(parts * b.plane());
    over_all(d, left.plane(), left);
    over_all(d, right.plane(), right);
    MmaProduct p{};
    int term = 0;
    for (int sum = parts - 1; sum >= 0 && r.k > 0; sum--)  // parts i and sum - i: of one size
      for (int i = 0; i <= sum; i++) p.terms[term++] = {left.part(i), right.part(sum - i), static_cast<int>(r.k)};
    p.m = static_cast<int>(r.m), p.n = static_cast<int>(r.n), p.slices = slices, p.batch = r.batch;
    p.finish = finish_of(r, args);
    run_mma<Bf16>(d, cut, p, left.along, right.along, scratch.take<char>(0));
  });
}

}  // namespace graft::cuda
