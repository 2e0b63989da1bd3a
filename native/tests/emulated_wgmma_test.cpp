// The product by wgmma, run on the CPU by emulated/wgmma.h, against sums in double: layouts, sizes that fill no tile, clusters, what is
// done with the result. Says nothing of what a GPU does with these instructions.
#include "cuda/matmul/wgmma_product.h"
#include "harness.h"

using namespace graft;
using namespace graft::cuda;
using namespace graft::test;

namespace {

struct Case {
  std::string label;
  ProductRequest request;
  WgmmaTiling tiling;
};

// Lines padded to a multiple of eight elements, and eight more.
ProductRequest request(int64_t batch, int64_t m, int64_t n, int64_t k, bool a_along_k, bool b_along_k, DType result) {
  const auto padded = [](int64_t v) { return (v + 7) / 8 * 8 + 8; };
  ProductRequest r;
  r.type = DType::BF16, r.result = result;
  r.batch = batch, r.m = m, r.n = n, r.k = k;
  r.a = a_along_k ? ProductRequest::Matrix{padded(k), 1, padded(k) * m} : ProductRequest::Matrix{1, padded(m), padded(m) * k};
  r.b = b_along_k ? ProductRequest::Matrix{1, padded(k), padded(k) * n} : ProductRequest::Matrix{padded(n), 1, padded(n) * k};
  r.c = {padded(n), 1, padded(n) * m};
  return r;
}

int64_t extent(const ProductRequest::Matrix& x, int64_t batch, int64_t rows, int64_t columns) {
  return (batch - 1) * x.step + (x.row > x.column ? rows * x.row : columns * x.column);
}

struct Memory {
  std::vector<float> wide;
  std::vector<uint16_t> narrow;
  DType type;
  int64_t count;
  Memory(DType type, int64_t count) : wide(type == DType::F32 ? count + 16 : 0, NAN), narrow(type == DType::BF16 ? count + 16 : 0, 0xFFFF), type(type), count(count) {}
  void* address() {
    const uintptr_t p = type == DType::F32 ? reinterpret_cast<uintptr_t>(wide.data()) : reinterpret_cast<uintptr_t>(narrow.data());
    return reinterpret_cast<void*>((p + 15) / 16 * 16);
  }
  double at(int64_t i) { return element(address(), type, i); }
  void put(int64_t i, double v) { put_element(address(), type, i, v); }
};

void run(Harness& harness, const Case& c) {
  harness.test(c.label, [&] {
    const ProductRequest& r = c.request;
    harness.expect(wgmma_fits(r), "does not fit");
    Random random(harness.seed(), c.label);
    const auto filled = [&](const ProductRequest::Matrix& x, DType type, int64_t rows, int64_t columns) {
      Memory all(type, extent(x, r.batch, rows, columns));  // between lines stays NaN
      for (int64_t b = 0; b < (x.step == 0 ? 1 : r.batch); b++)
        for (int64_t i = 0; i < rows; i++)
          for (int64_t j = 0; j < columns; j++) all.put(b * x.step + i * x.row + j * x.column, random.normal());
      return all;
    };
    Memory a = filled(r.a, DType::BF16, r.m, r.k), b = filled(r.b, DType::BF16, r.k, r.n);
    Memory a2 = filled(r.a2, DType::BF16, r.k2 ? r.m : 0, r.k2), b2 = filled(r.b2, DType::BF16, r.k2, r.k2 ? r.n : 0);
    Memory before = filled(r.c, r.result, r.m, r.n), out(r.result, extent(r.c, r.batch, r.m, r.n)), saved(r.result, extent(r.c, r.batch, r.m, r.n));
    if (r.accumulate) out = before;
    std::vector<float> bias(static_cast<size_t>(r.n));
    for (float& v : bias) v = static_cast<float>(random.normal());
    const float factor = 0.75f;
    Device device;
    device.multiprocessors = 4;
    auto kernel = cut_wgmma_product(device, r, c.tiling);
    void* in[] = {a.address(), b.address(), r.bias ? bias.data() : nullptr, r.scaled ? const_cast<float*>(&factor) : nullptr, a2.address(), b2.address()};
    void* outs[] = {out.address(), saved.address()};
    std::vector<char> scratch(kernel->scratch_bytes() + 64);
    Args args{};
    args.in = in, args.out = outs;
    args.residual = r.epilogue.residual ? before.address() : nullptr;
    args.scratch = reinterpret_cast<void*>((reinterpret_cast<uintptr_t>(scratch.data()) + 63) / 64 * 64);
    kernel->run(args);
    const double unit = r.result == DType::BF16 ? 0x1p-8 : 0x1p-22;  // rounding of what is stored; the sums' own is in `size`
    for (int64_t z = 0; z < r.batch; z++)
      for (int64_t i = 0; i < r.m; i++) {
        for (int64_t j = 0; j < r.n; j++) {
          double sum = 0, size = 0;
          for (int64_t l = 0; l < r.k; l++) {
            const double term = a.at(z * r.a.step + i * r.a.row + l * r.a.column) * b.at(z * r.b.step + l * r.b.row + j * r.b.column);
            sum += term, size += std::fabs(term);
          }
          for (int64_t l = 0; l < r.k2; l++) {
            const double term = a2.at(z * r.a2.step + i * r.a2.row + l * r.a2.column) * b2.at(z * r.b2.step + l * r.b2.row + j * r.b2.column);
            sum += term, size += std::fabs(term);
          }
          const int64_t at = z * r.c.step + i * r.c.row + j;
          double v = r.times * (r.scaled ? factor : 1) * sum;
          if (r.bias) v += bias[static_cast<size_t>(j)];
          if (r.accumulate || r.epilogue.residual) v += before.at(at);
          const double near = 0x1p-20 * (size + std::fabs(v));
          if (r.saves) harness.expect(std::fabs(saved.at(at) - v) <= unit * std::fabs(v) + near, "saved (", z, ", ", i, ", ", j, "): expected ", v, ", got ", saved.at(at));
          switch (r.epilogue.activation) {
            case Activation::Relu: v = std::max(v, 0.); break;
            case Activation::GeluExact: v = 0.5 * v * (1 + std::erf(v * M_SQRT1_2)); break;
            case Activation::GeluTanh: v = 0.5 * v * (1 + std::tanh(0.79788456080286536 * (v + 0.044715 * v * v * v))); break;
            case Activation::Silu: v = v / (1 + std::exp(-v)); break;
            default: break;
          }
          harness.expect(std::fabs(out.at(at) - v) <= unit * std::fabs(v) + 1.2 * near, "(", z, ", ", i, ", ", j, "): expected ", v, ", got ", out.at(at));
        }
        for (int64_t j = r.n; j < r.c.row; j++) harness.expect(std::isnan(out.at(z * r.c.step + i * r.c.row + j)), "row ", i, " was written beyond its end at ", j);
      }
  });
}

std::vector<Case> cases() {
  std::vector<Case> all;
  const auto add = [&](const std::string& label, const ProductRequest& r, int columns, int cluster, int stages) -> ProductRequest& {
    const bool loads = r.accumulate || r.epilogue.residual;
    all.push_back({label, r, {columns, cluster, 1, stages, loads ? chunks(columns, r.result == DType::BF16 ? 2 : 4) : 2, 0}});
    return all.back().request;
  };
  for (int layout = 0; layout < 3; layout++)
    for (DType result : {DType::BF16, DType::F32})
      for (int columns : {128, 192, 256})
        for (int cluster : {1, 2}) {
          const std::string label = text(layout == 0 ? "nt" : layout == 1 ? "nn" : "tn", result == DType::BF16 ? "_bf16_" : "_f32_", columns, cluster == 2 ? "_pair" : "");
          add(label, request(1, 135, 197, 100, layout < 2, layout == 0, result), columns, cluster, cluster + 1);
        }
  const auto base = [&](DType result = DType::BF16) { return request(1, 300, 150, 210, true, true, result); };
  add("one_element", request(1, 1, 1, 1, true, true, DType::BF16), 128, 2, 4);
  add("batch", request(3, 70, 140, 72, true, true, DType::BF16), 128, 2, 3);
  ProductRequest r = request(3, 70, 140, 72, true, false, DType::F32);
  r.b.step = 0;
  add("shared_right", r, 128, 1, 2);
  r = request(2, 70, 140, 72, false, false, DType::F32);
  r.a.step = 0;
  add("shared_left", r, 128, 2, 2);
  for (DType result : {DType::BF16, DType::F32}) {
    const std::string type = result == DType::BF16 ? "_bf16" : "_f32";
    r = base(result);
    r.bias = r.scaled = true, r.times = 1.5f;
    r.epilogue.activation = Activation::Relu;
    add("bias_scaled_relu" + type, r, 192, 2, 3);
    r = base(result);
    r.bias = r.epilogue.residual = true;
    add("bias_residual" + type, r, 128, 2, 3);
    add("bias_residual_192" + type, r, 192, 1, 2);
    r = request(2, 150, 130, 80, false, false, result);
    r.accumulate = true;
    add("accumulate" + type, r, 128, 2, 3);
    r = base(result);
    r.saves = r.bias = true;
    r.epilogue.activation = Activation::Relu;
    add("saves" + type, r, 192, 2, 2);
    r = base(result);
    r.k2 = 24;
    r.a2 = {32, 1, 0}, r.b2 = {1, 40, 0};
    add("second_pair" + type, r, 128, 2, 3);
  }
  for (DType result : {DType::BF16, DType::F32}) {
    r = request(2, 150, 132, 450, false, false, result);
    r.accumulate = r.bias = true;
    r.epilogue.activation = Activation::Relu;
    const std::string type = result == DType::BF16 ? "_bf16" : "_f32";
    add("parts" + type, r, 128, 2, 3);
    all.back().tiling.parts = 4;  // of eight slices, none empty
    all.back().tiling.boxes = 2;
  }
  for (Activation activation : {Activation::GeluExact, Activation::GeluTanh, Activation::Silu}) {
    r = base();
    r.bias = r.saves = true;
    r.epilogue.activation = activation;
    add(text("activation", static_cast<int>(activation)), r, activation == Activation::Silu ? 256 : 128, 2, 3);
  }
  return all;
}

// What does not fit must be refused, not made wrong.
void refusals(Harness& harness) {
  const auto refused = [&](const char* what, auto change) {
    harness.test(text("refused: ", what), [&] {
      ProductRequest r = request(2, 64, 64, 64, true, true, DType::BF16);
      harness.expect(wgmma_fits(r), "does not fit as it is");
      change(r);
      harness.expect(!wgmma_fits(r), "fits");
    });
  };
  refused("factors of F32", [](ProductRequest& r) { r.type = DType::F32; });
  refused("lines that begin beside 16 bytes", [](ProductRequest& r) { r.a.row = 65; });
  refused("matrices that begin beside 16 bytes", [](ProductRequest& r) { r.b.step += 4; });
  refused("a result in columns", [](ProductRequest& r) { r.c = {1, 64, 64 * 64}; });
  refused("a result with lines beside 16 bytes", [](ProductRequest& r) { r.c.row = 68; });
  refused("factors with no contiguous axis", [](ProductRequest& r) { r.a.column = 2; });
  refused("a along m with b along k", [](ProductRequest& r) { r.a = {1, 72, 72 * 64}; });
  refused("two things to add", [](ProductRequest& r) { r.accumulate = r.epilogue.residual = true; });
  refused("a leaky ReLU", [](ProductRequest& r) { r.epilogue.activation = Activation::LeakyRelu; });
  harness.test("an address beside 16 bytes is an error that names the operand", [&] {
    harness.expect_error("the left factor", [] { tensor_map(factor_map(true, 8, 8, 8, 1, 0, 8), reinterpret_cast<void*>(uintptr_t{4098}), "the left factor"); });
  });
  harness.test("no candidate on a device that is not of compute capability 9.x", [&] {
    Device device;
    harness.expect(make_wgmma_product(device, request(1, 64, 64, 64, true, true, DType::BF16)) == nullptr, "a kernel");
  });
}

void tilings(Harness& harness) {
  harness.test("the rule wastes no columns: 128 x 192 for a width of 384", [&] {
    const auto all = wgmma_tilings(request(1, 25216, 384, 768, true, true, DType::BF16), 132, 232448);
    harness.expect(all.size() == 6 && all[0].columns == 192 && all[0].cluster == 2, "took ", all.empty() ? 0 : all[0].columns);
  });
  harness.test("large squares take the largest tile, in pairs", [&] {
    const auto all = wgmma_tilings(request(1, 8192, 8192, 8192, true, true, DType::BF16), 132, 232448);
    harness.expect(!all.empty() && all[0].columns == 256 && all[0].cluster == 2, "took ", all.empty() ? 0 : all[0].columns);
  });
  harness.test("a long product with few tiles is cut into parts, none of them empty", [&] {
    const ProductRequest r = request(1, 768, 768, 25216, false, false, DType::F32);
    const auto all = wgmma_tilings(r, 132, 232448);
    harness.expect(!all.empty() && all[0].parts > 1, "took ", all.empty() ? 0 : all[0].parts, " parts");
    for (const WgmmaTiling& t : all) {
      const int64_t slices = 25216 / 64, each = (slices + t.parts - 1) / t.parts;
      harness.expect(each * (t.parts - 1) < slices, t.parts, " parts of ", slices, " slices");
    }
  });
  harness.test("every tiling leaves room in shared memory, and a device with too little has none", [&] {
    for (DType result : {DType::BF16, DType::F32})
      for (bool residual : {false, true}) {
        ProductRequest r = request(1, 512, 512, 512, true, true, result);
        r.epilogue.residual = residual;
        for (const WgmmaTiling& t : wgmma_tilings(r, 132, 232448))
          harness.expect(Room{t.columns, t.stages, t.boxes}.bytes() <= 232448 && t.stages >= 2, t.columns, " columns: ", t.stages, " stages");
        harness.expect(wgmma_tilings(r, 132, 48 << 10).empty(), "a tiling for 48 KiB");
      }
  });
}

}  // namespace

int main(int argc, char** argv) {
  Harness harness(argc, argv);
  for (const Case& c : cases()) run(harness, c);
  refusals(harness);
  tilings(harness);
  return harness.finish();
}
