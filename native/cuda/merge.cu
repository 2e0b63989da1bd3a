// W += factor * B A on each slice of a weight's rows, in one pass: a thread loads its 8 x 4 elements of the weight before the product
// begins and stores them after it, rounded once; A and B go through shared memory, sums are F32.
#include "operands.cuh"

namespace graft::cuda {

constexpr int kMergeThreads = 128, kMergeRows = 32, kMergeColumns = 128, kMergeRanks = 16;  // of a block, its tile, and what of A and B it holds
constexpr int kMostMerged = 8;                                         // slices

struct Merge {
  int64_t columns, width;
  int64_t starts[kMostMerged];  // first row of each slice in the weight
  int rank, column_tiles;
  float factor;
  bool whole;  // rows of the weight are aligned to four elements
};

// A block takes a tile of one slice (blockIdx.y); a warp 8 rows of it, a lane 4 columns.
template <class W, class F>
__global__ void __launch_bounds__(kMergeThreads) merge_low_rank(const __grid_constant__ Merge s, const F* a, const F* b, W* weight) {
  GRAFT_SHARED(float4, a_tile, kMergeRanks * kMergeColumns / 4);
  GRAFT_SHARED(float4, b_tile, kMergeRanks * kMergeRows / 4);
  float *a_shared = reinterpret_cast<float*>(a_tile), *b_shared = reinterpret_cast<float*>(b_tile);
  const int tile_row = static_cast<int>(blockIdx.x) / s.column_tiles, tile_column = static_cast<int>(blockIdx.x) % s.column_tiles;
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const int64_t slice = blockIdx.y, first_row = static_cast<int64_t>(tile_row) * kMergeRows, first_column = static_cast<int64_t>(tile_column) * kMergeColumns;
  const int64_t column = first_column + 4 * lane, row = first_row + 8 * warp;
  const int columns = column + 4 <= s.columns ? 4 : column < s.columns ? static_cast<int>(s.columns - column) : 0;
  const int rows = row + 8 <= s.width ? 8 : row < s.width ? static_cast<int>(s.width - row) : 0;
  W* place = weight + (s.starts[slice] + row) * s.columns + column;
  Four before[8], sum[8];
#pragma unroll
  for (int i = 0; i < 8; i++) {
    before[i] = load4(place, i * s.columns, i < rows ? columns : 0, s.whole);
    sum[i] = {{0, 0, 0, 0}};
  }
  for (int j0 = 0; j0 < s.rank; j0 += kMergeRanks) {
    __syncthreads();  // the ranks before have been used
    for (int i = static_cast<int>(threadIdx.x); i < kMergeRanks * kMergeColumns; i += kMergeThreads) {
      const int j = j0 + i / kMergeColumns;
      const int64_t k = first_column + i % kMergeColumns;
      a_shared[i] = j < s.rank && k < s.columns ? float_of(a[(slice * s.rank + j) * s.columns + k]) : 0;
    }
    for (int i = static_cast<int>(threadIdx.x); i < kMergeRanks * kMergeRows; i += kMergeThreads) {
      const int j = j0 + i % kMergeRanks;
      const int64_t n = first_row + i / kMergeRanks;
      b_shared[i % kMergeRanks * kMergeRows + i / kMergeRanks] = j < s.rank && n < s.width ? float_of(b[(slice * s.width + n) * s.rank + j]) : 0;
    }
    __syncthreads();
#pragma unroll 4
    for (int j = 0; j < kMergeRanks; j++) {
      const float4 x = a_tile[j * (kMergeColumns / 4) + lane], y0 = b_tile[j * (kMergeRows / 4) + 2 * warp], y1 = b_tile[j * (kMergeRows / 4) + 2 * warp + 1];
      const float y[8] = {y0.x, y0.y, y0.z, y0.w, y1.x, y1.y, y1.z, y1.w};
#pragma unroll
      for (int i = 0; i < 8; i++) {
        sum[i].v[0] += y[i] * x.x;
        sum[i].v[1] += y[i] * x.y;
        sum[i].v[2] += y[i] * x.z;
        sum[i].v[3] += y[i] * x.w;
      }
    }
  }
#pragma unroll
  for (int i = 0; i < 8; i++) {
    if (i >= rows) continue;
#pragma unroll
    for (int k = 0; k < 4; k++) before[i].v[k] += s.factor * sum[i].v[k];
    store4(place, i * s.columns, columns, s.whole, before[i]);
  }
}

namespace {

template <class W, class F>
std::unique_ptr<Kernel> typed(const Device& d, const Merge& sizes, int64_t slices) {
  return own(d, "simt:merge_low_rank", 0, [=, &d](const Args& args) {
    Merge s = sizes;
    W* weight = static_cast<W*>(args.out[0]);
    s.whole = s.columns % 4 == 0 && aligned_for_four(weight);
    LaunchShape shape{ceil_div(s.width, kMergeRows) * s.column_tiles, kMergeThreads, 0, d.stream};
    shape.rows = slices;
    launch(merge_low_rank<W, F>, shape, s, in<F>(args, 0), in<F>(args, 1), weight);
  });
}

}  // namespace

std::unique_ptr<Kernel> make_merge(const Device& d, const ServiceRequest& r) {
  const DType w = r.outputs[0].dtype, f = r.inputs[0].dtype;
  if (!storable(w) || !storable(f) || r.inputs[1].dtype != f) return nullptr;
  const int64_t slices = static_cast<int64_t>(r.attributes.at("slices"));
  if (slices > kMostMerged) return nullptr;
  Merge s{};
  s.columns = r.outputs[0].shape[1];
  s.width = r.inputs[1].shape[0] / slices;
  s.rank = static_cast<int>(r.inputs[1].shape[1]);
  s.column_tiles = static_cast<int>(ceil_div(s.columns, kMergeColumns));
  s.factor = static_cast<float>(r.attributes.at("factor"));
  for (int64_t i = 0; i < slices; i++) s.starts[i] = static_cast<int64_t>(r.attributes.at(text("start", i)));
  if (w == DType::BF16) return f == DType::BF16 ? typed<Bf16, Bf16>(d, s, slices) : typed<Bf16, float>(d, s, slices);
  return f == DType::BF16 ? typed<float, Bf16>(d, s, slices) : typed<float, float>(d, s, slices);
}

}  // namespace graft::cuda
