// Products by wgmma on the host: which requests fit, how they are cut, tensor maps and the launch.
#include "matmul/mma_product.cuh"
#include "matmul/wgmma_product.h"

#include <algorithm>

namespace graft::cuda {
namespace {

constexpr int64_t kMost = int64_t{1} << 30;  // of any extent: coordinates of TMA are 32-bit and go beyond the end

int element_bytes(DType type) { return type == DType::BF16 ? 2 : 4; }

int64_t slices_of(const ProductRequest& r) { return ceil_div(r.k, kSliceK) + ceil_div(r.k2, kSliceK); }
bool loads(const ProductRequest& r) { return r.accumulate || r.epilogue.residual; }

Grid grid_of(const ProductRequest& r, int columns, int cluster, int parts) {
  return {static_cast<uint32_t>(ceil_div(r.m, kTileRows * cluster)), static_cast<uint32_t>(ceil_div(r.n, columns)), static_cast<uint32_t>(r.batch * parts)};
}

// A model, to order tilings by, and none of what a device takes: a multiprocessor multiplies 128 x N x 64 in 4 N clocks and has about 30
// bytes a clock from L2; a tile's end is not overlapped.
double clocks(const ProductRequest& r, int columns, int cluster, int parts, int multiprocessors) {
  const Grid grid = grid_of(r, columns, cluster, parts);
  const double bytes = (kTileRows + columns / cluster) * kRowBytes, slice = std::max(4. * columns, bytes / 30);
  const double result = (loads(r) ? 2. : 1.) * kTileRows * columns * (parts > 1 ? 4 : element_bytes(r.result));
  const double tile = 600 + static_cast<double>(ceil_div(slices_of(r), parts)) * slice + result / 40;
  const int64_t waves = ceil_div(grid.units(), std::max(1, multiprocessors / cluster));
  const double again = parts > 1 ? 4000 + static_cast<double>(r.batch * r.m * r.n) * 4 * (parts + 1) / (15. * multiprocessors) : 0;
  return static_cast<double>(waves) * tile + again;
}

}  // namespace

WgmmaFactor wgmma_factor(const ProductRequest::Matrix& matrix, bool left, int64_t extent, int64_t k, int64_t batch) {
  const int64_t of_k = left ? matrix.column : matrix.row, of_extent = left ? matrix.row : matrix.column;
  const bool along_k = of_k == 1 && (of_extent >= k || extent == 1), along_extent = of_extent == 1 && of_k >= extent;
  WgmmaFactor f;
  f.along_k = along_k;
  f.line = along_k ? of_extent : of_k;
  f.fits = (along_k || along_extent) && is_map(factor_map(along_k, extent, k, f.line, batch, matrix.step, 1));
  return f;
}

bool wgmma_fits(const ProductRequest& r) {
  if (r.type != DType::BF16 || !storable(r.result) || !r.aligned) return false;
  for (int64_t extent : {r.batch, r.m, r.n, r.k})
    if (extent < 1 || extent > kMost) return false;
  if (r.k2 < 0 || r.k2 > kMost || ceil_div(r.m, kTileRows) * ceil_div(r.n, 128) * r.batch > kMost) return false;
  const WgmmaFactor a = wgmma_factor(r.a, true, r.m, r.k, r.batch), b = wgmma_factor(r.b, false, r.n, r.k, r.batch);
  if (!a.fits || !b.fits || (!a.along_k && b.along_k)) return false;
  if (r.k2 > 0) {
    const WgmmaFactor a2 = wgmma_factor(r.a2, true, r.m, r.k2, r.batch), b2 = wgmma_factor(r.b2, false, r.n, r.k2, r.batch);
    if (!a2.fits || !b2.fits || a2.along_k != a.along_k || b2.along_k != b.along_k) return false;
    if (r.batch > 1 && ((r.a2.step == 0) != (r.a.step == 0) || (r.b2.step == 0) != (r.b.step == 0))) return false;
  }
  if (r.c.column != 1 || r.c.row < r.n || (r.batch > 1 && r.c.step < 1)) return false;
  if (!is_map(result_map(r.m, r.n, r.c.row, r.batch, r.c.step, element_bytes(r.result)))) return false;
  if ((r.accumulate && r.epilogue.residual) || (r.saves && loads(r))) return false;  // one thing is added, or one kept
  const auto instance = !a.along_k ? wgmma_tn : b.along_k ? wgmma_nt : wgmma_nn;
  return instance(128, r.result, r.epilogue.activation) != nullptr;
}

std::vector<WgmmaTiling> wgmma_tilings(const ProductRequest& r, int multiprocessors, size_t most_shared) {
  std::vector<WgmmaTiling> all;
  const int size = element_bytes(r.result);
  for (int columns : {256, 192, 128})
    for (int cluster : {2, 1}) {
      if (multiprocessors < cluster) continue;
      const int64_t slices = slices_of(r), units = grid_of(r, columns, cluster, 1).units(), least = 8;  // least: slices of a part
      const int64_t most = r.n % 4 == 0 ? std::min(slices / least, multiprocessors / cluster / units) : 1;
      for (int64_t wanted : {int64_t{1}, most}) {
        if (wanted < 1 || (wanted == 1 && !all.empty() && all.back().columns == columns && all.back().cluster == cluster)) continue;
        const int parts = static_cast<int>(ceil_div(slices, ceil_div(slices, wanted)));
        const int boxes = parts == 1 && loads(r) ? chunks(columns, size) : 2;
        int stages = 0;  // as many as there is room for, to what hides the latency of memory
        while (stages < 8 && Room{columns, stages + 1, boxes}.bytes() <= most_shared) stages++;
        if (stages >= 2) all.push_back({columns, cluster, parts, stages, boxes, clocks(r, columns, cluster, parts, multiprocessors)});
      }
    }
  std::stable_sort(all.begin(), all.end(), [](const WgmmaTiling& a, const WgmmaTiling& b) { return a.clocks < b.clocks; });
  return all;
}

namespace {

void launch_clusters(WgmmaKernel kernel, int64_t blocks, uint32_t cluster, size_t shared, cudaStream_t stream, const WgmmaArguments& arguments) {
#if defined(__CUDACC__)
  cudaLaunchAttribute attribute = {};
  attribute.id = cudaLaunchAttributeClusterDimension;
  attribute.val.clusterDim.x = cluster;
  attribute.val.clusterDim.y = attribute.val.clusterDim.z = 1;
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(static_cast<unsigned>(blocks));
  config.blockDim = dim3(kProductThreads);
  config.dynamicSmemBytes = shared;
  config.stream = stream;
  config.attrs = &attribute;
  config.numAttrs = 1;
  check(cudaLaunchKernelEx(&config, kernel, arguments), "launching a kernel");
#else
  emulated::enqueue(stream, [=] {
    emulated::launch(reinterpret_cast<const void*>(kernel), dim3(static_cast<unsigned>(blocks)), dim3(kProductThreads), shared, [&] { kernel(arguments); }, cluster);
  });
#endif
}

}  // namespace

std::unique_ptr<Kernel> cut_wgmma_product(const Device& d, const ProductRequest& r, const WgmmaTiling& tiling) {
  const WgmmaFactor a = wgmma_factor(r.a, true, r.m, r.k, r.batch), b = wgmma_factor(r.b, false, r.n, r.k, r.batch);
  const WgmmaKernel kernel = (!a.along_k ? wgmma_tn : b.along_k ? wgmma_nt : wgmma_nn)(tiling.columns, tiling.parts > 1 ? DType::F32 : r.result, tiling.parts > 1 ? Activation::None : r.epilogue.activation);
  const bool split = tiling.parts > 1;
  const int size = element_bytes(r.result), cluster = tiling.cluster;
  const int rows_a = a.along_k ? kTileRows : kSliceK, rows_b = (b.along_k ? tiling.columns : kSliceK) / cluster;
  const MapShape map_a = factor_map(a.along_k, r.m, r.k, a.line, r.batch, r.a.step, rows_a);
  const MapShape map_b = factor_map(b.along_k, r.n, r.k, b.line, r.batch, r.b.step, rows_b);
  MapShape map_a2 = map_a, map_b2 = map_b;
  if (r.k2 > 0) {
    map_a2 = factor_map(a.along_k, r.m, r.k2, wgmma_factor(r.a2, true, r.m, r.k2, r.batch).line, r.batch, r.a2.step, rows_a);
    map_b2 = factor_map(b.along_k, r.n, r.k2, wgmma_factor(r.b2, false, r.n, r.k2, r.batch).line, r.batch, r.b2.step, rows_b);
  }
  const int64_t layers = r.batch * tiling.parts;
  const MapShape map_c = split ? result_map(r.m, r.n, r.n, layers, r.m * r.n, sizeof(float)) : result_map(r.m, r.n, r.c.row, r.batch, r.c.step, size);
  WgmmaArguments fixed{};
  fixed.times = split ? 1 : r.times;
  fixed.grid = grid_of(r, tiling.columns, cluster, tiling.parts);
  fixed.cluster = static_cast<uint32_t>(cluster);
  fixed.batch = static_cast<uint32_t>(r.batch);
  fixed.m = static_cast<int>(r.m), fixed.n = static_cast<int>(r.n);
  fixed.first_slices = static_cast<int>(ceil_div(r.k, kSliceK));
  fixed.slices = static_cast<int>(slices_of(r));
  fixed.slices_per_part = static_cast<int>(ceil_div(fixed.slices, tiling.parts));
  fixed.stages = tiling.stages, fixed.boxes = tiling.boxes;
  fixed.shared_a = r.batch > 1 && r.a.step == 0, fixed.shared_b = r.batch > 1 && r.b.step == 0;
  fixed.loads = !split && loads(r), fixed.saves = !split && r.saves, fixed.rectifies = !split && r.epilogue.activation == Activation::Relu;
  const size_t shared = Room{tiling.columns, tiling.stages, tiling.boxes}.bytes();
  const int64_t clusters = std::min<int64_t>(fixed.grid.units(), std::max(1, d.multiprocessors / cluster));
#if defined(__CUDACC__)
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared)), "asking for shared memory");
#endif
  const char* layout = !a.along_k ? "tn" : b.along_k ? "nt" : "nn";
  return own(d, text("wgmma:", layout, ":128x", tiling.columns, cluster == 2 ? ":pair" : "", split ? text(":parts", tiling.parts) : ""), split ? sizeof(float) * static_cast<size_t>(layers * r.m * r.n) : 0, [=, &d](const Args& args) {
    WgmmaArguments p = fixed;
    p.a = tensor_map(map_a, args.in[0], "the left factor");
    p.b = tensor_map(map_b, args.in[1], "the right factor");
    p.a2 = r.k2 > 0 ? tensor_map(map_a2, args.in[4], "the second left factor") : p.a;
    p.b2 = r.k2 > 0 ? tensor_map(map_b2, args.in[5], "the second right factor") : p.b;
    p.c = tensor_map(map_c, split ? args.scratch : args.out[0], split ? "scratch" : "the result");
    p.before = fixed.loads && r.epilogue.residual ? tensor_map(map_c, args.residual, "the residual") : p.c;
    p.saved = fixed.saves ? tensor_map(map_c, args.out[1], "what the activation is applied to") : p.c;
    p.bias = !split && r.bias ? static_cast<const float*>(args.in[2]) : nullptr;
    p.factor = !split && r.scaled ? static_cast<const float*>(args.in[3]) : nullptr;
    launch_clusters(kernel, clusters * cluster, p.cluster, shared, d.stream, p);
    if (!split) return;
    MmaProduct sums{};
    sums.m = p.m, sums.n = p.n, sums.splits = tiling.parts, sums.batch = r.batch;
    sums.partial = static_cast<float*>(args.scratch);
    sums.finish = finish_of(r, args);
    finish_splits(d, sums);
  });
}

std::unique_ptr<Kernel> make_wgmma_product(const Device& d, const ProductRequest& r) {
  cudaDeviceProp properties;
  check(cudaGetDeviceProperties(&properties, d.number), "asking for the device's properties");
  if (properties.major != 9 || !wgmma_fits(r) || !has_tensor_maps()) return nullptr;
  const std::vector<WgmmaTiling> tilings = wgmma_tilings(r, d.multiprocessors, d.most_shared);
  return tilings.empty() ? nullptr : cut_wgmma_product(d, r, tilings.front());
}

}  // namespace graft::cuda
