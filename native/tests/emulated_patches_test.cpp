// Convolutions over patches in several runs of samples are those in a single run: y and dx bit by bit, dw to the order of its sums.
#include <cmath>
#include <cstdlib>

#include "convolution.cuh"
#include "emulated/threads.h"
#include "harness.h"
#include "ladder.h"

using namespace graft;
using namespace graft::test;

namespace {

struct Made {
  std::vector<cuda::Bf16> y, dx;
  std::vector<float> dw, db;
};

// bytes: of patches at a time; before: what the gradients hold.
Made made(const OpCase& c, const Data& data, Activation activation, size_t bytes, float before, int* runs) {
  const OpDef& op = *find_op("conv2d");
  cuda::Device device;
  device.capability = 80;
  device.most_shared = 163 << 10;  // of 8.0
  Variation forward, backward;
  forward.epilogue.activation = activation;
  backward.modes.assign(3, before == 0 ? GradMode::Overwrite : GradMode::Accumulate);
  const Request f = make_request(op, c, DType::BF16, Pass::Forward, forward), b = make_request(op, c, DType::BF16, Pass::Backward, backward);
  const auto y = cuda::make_patches_conv2d(device, f, bytes), d = cuda::make_patches_conv2d(device, b, bytes);
  ensure(y && d, "no product fits");

  std::vector<std::vector<cuda::Bf16>> values;
  for (const auto& input : data.inputs) {
    values.emplace_back();
    for (double v : input) values.back().push_back(cuda::stored<cuda::Bf16>(static_cast<float>(v)));
  }
  std::vector<float> bias;
  for (double v : data.inputs[2]) bias.push_back(static_cast<float>(v));
  Made out;
  const size_t count = static_cast<size_t>(f.outputs[0].count());
  out.y.resize(count);
  out.dx.assign(values[0].size(), cuda::stored<cuda::Bf16>(before));
  out.dw.assign(values[1].size(), before);
  out.db.assign(bias.size(), before);
  std::vector<cuda::Bf16> g(count);
  for (size_t i = 0; i < count; i++) g[i] = cuda::stored<cuda::Bf16>(std::sin(0.7f * static_cast<float>(i)));

  void* in[] = {values[0].data(), values[1].data(), bias.data()};
  void* results[] = {out.y.data()};
  void* gradients[] = {out.dx.data(), out.dw.data(), out.db.data()};
  const size_t scratch = std::max(y->scratch_bytes(), d->scratch_bytes());
  void* memory = std::aligned_alloc(64, aligned(scratch));
  Args args{};
  args.in = in, args.out = results, args.scratch = memory;
  const int64_t launches = emulated::launches();
  y->run(args);
  *runs = static_cast<int>((emulated::launches() - launches));
  args.out = nullptr, args.din = gradients, args.dout = g.data();
  d->run(args);
  std::free(memory);
  return out;
}

template <class T>
bool same(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

}  // namespace

int main(int argc, char** argv) {
  setenv("GRAFT_MATMUL", "own", 1);
  Harness harness(argc, argv);
  for (int channels : {3, 8})  // copied one by one, and in pieces of 16 bytes
    for (float before : {0.f, 0.5f}) {
      const OpCase c{"case", {{{5, 6, 7, channels}}, {{16, 3, 3, channels}}, {{16}}}, {{"pad_top", 1}, {"pad_left", 1}, {"stride_h", 2}}, 5};
      const Data data = make_data(*find_op("conv2d"), c, harness.seed());
      harness.test(text(channels, " channels, gradients ", before == 0 ? "overwritten" : "added"), [&] {
        int one = 0, several = 0;
        const Made whole = made(c, data, Activation::Relu, cuda::kPatchBytes, before, &one);
        const size_t sample = static_cast<size_t>(9 * channels) * 3 * 6 * sizeof(float);  // y is 3 x 6 positions
        const Made parts = made(c, data, Activation::Relu, 2 * sample, before, &several);
        harness.expect(several > one, several, " launches in runs of few samples, ", one, " in one");
        harness.expect(same(whole.y, parts.y), "y differs");
        harness.expect(same(whole.dx, parts.dx), "dx differs");
        harness.expect(same(whole.db, parts.db), "db differs");
        double square = 0, off = 0;
        for (size_t i = 0; i < whole.dw.size(); i++) square += double(whole.dw[i]) * whole.dw[i], off += std::pow(double(whole.dw[i]) - parts.dw[i], 2);
        harness.expect(square > 0 && off <= 1e-11 * square, "dw is off by ", off / square, " of its square");
      });
    }
  return harness.finish();
}
