// Kernels on the caller's memory of a GPU, through the C interface, on the CUDA column under its emulation: the same outcomes as the
// reference, on the caller's stream alone and without waiting for it, and what is no memory or stream of the GPU is refused by name.
#include <thread>

#include "api/handles.h"
#include "cuda/caller.h"
#include "cuda/column.h"
#include "cuda/emulated/threads.h"
#include "direct_calls.h"

using namespace graft;
using namespace graft::test;

namespace {

int64_t make_stream() {
  cudaStream_t stream = nullptr;
  ensure(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) == cudaSuccess, "no stream");
  return reinterpret_cast<int64_t>(stream);
}

int64_t work_on(int64_t stream) { return emulated::work_on(reinterpret_cast<cudaStream_t>(stream)); }

// A call on four matrices of 2 x 2 in one allocation of 16 F32.
int32_t small_product(const Machine& gpu, int64_t a, int64_t b, int64_t c, int64_t stream, int64_t c_count = 4) {
  return graft_matmul(gpu.device, stream, 0, GRAFT_IDENTITY, 2, 1, 2, 2, 2, GRAFT_F32, GRAFT_F32, a, 4, 2, 4, b, 4, 2, 4, c, c_count, 2, 4, 0, 0, 0, 0);
}

void streams(Harness& harness, const Machine& gpu) {
  TensorType type{DType::F32, {16}};
  test::Buffer memory(*gpu.column, type, std::vector<double>(16, 1));
  const int64_t at = reinterpret_cast<int64_t>(memory.address());
  harness.test("a call that is prepared goes to the caller's stream alone and waits for nothing", [&] {
    const int64_t stream = make_stream();
    done(small_product(gpu, at, at + 16, at + 32, gpu.stream));
    const int64_t waits = emulated::waits(), others = work_on(0) + work_on(gpu.stream), launches = emulated::launches();
    done(small_product(gpu, at, at + 16, at + 32, stream));
    // memory taken, numbers written, the product, memory given back
    harness.expect(work_on(stream) == 4 && emulated::launches() - launches == 2, work_on(stream), " pieces of work, ", emulated::launches() - launches, " launches");
    harness.expect(work_on(0) + work_on(gpu.stream) == others, "work went to another stream");
    harness.expect(emulated::waits() == waits, emulated::waits() - waits, " times it waited");
    harness.expect(memory.read()[8] == 4, "c is ", memory.read()[8]);
  });
  harness.test("the default stream serves", [&] {
    const int64_t before = work_on(0);
    done(small_product(gpu, at, at + 16, at + 32, 0));
    harness.expect(work_on(0) - before == 4, work_on(0) - before, " pieces of work");
  });
  harness.test("threads with streams of their own do not meet", [&] {
    std::vector<std::thread> threads;
    std::vector<int64_t> own(4), wrong(4);
    for (size_t t = 0; t < own.size(); t++) own[t] = make_stream();
    for (size_t t = 0; t < own.size(); t++)
      threads.emplace_back([&, t] {
        Machine mine = gpu;
        mine.stream = own[t];
        const Outcome expected = merge(gpu, 1, GRAFT_F32, 9, 7, 2, 4);
        for (int i = 0; i < 5; i++) wrong[t] += merge(mine, 1, GRAFT_F32, 9, 7, 2, 4) != expected;
      });
    for (std::thread& t : threads) t.join();
    // both slices in one launch, beside what every call has
    for (size_t t = 0; t < own.size(); t++) harness.expect(wrong[t] == 0 && work_on(own[t]) == 5 * 4, wrong[t], " wrong, ", work_on(own[t]), " pieces of work");
  });
}

void refusals(Harness& harness, const Machine& gpu) {
  std::vector<float> host(16);
  void* freed = gpu.column->allocate(64);
  gpu.column->release(freed, 64);
  TensorType type{DType::F32, {16}};
  test::Buffer memory(*gpu.column, type, std::vector<double>(16, 1));
  const int64_t at = reinterpret_cast<int64_t>(memory.address()), dead = make_stream(), starts[] = {0};
  cudaStreamDestroy(reinterpret_cast<cudaStream_t>(dead));
  auto refuses = [&](const std::string& part, int32_t status) {
    const std::string message = graft_last_error();
    harness.test("refused: " + part, [&] {
      harness.expect(status == GRAFT_INVALID_ARGUMENT && message.find(part) != std::string::npos, "status ", status, ", expected a message that says: ", part,
                     ", got: ", message);
    });
  };
  const int64_t in_host = reinterpret_cast<int64_t>(host.data());
  refuses("a: at address " + std::to_string(in_host) + " is no memory of CUDA", small_product(gpu, in_host, at + 16, at + 32, 0));
  refuses("b: at address", small_product(gpu, at, reinterpret_cast<int64_t>(freed), at + 32, 0));
  refuses("c: 4194304 bytes from address", small_product(gpu, at, at + 16, at + 32, 0, int64_t{1} << 20));
  refuses("c: the address is null", small_product(gpu, at, at + 16, 0, 0));
  refuses("c: address " + std::to_string(at + 33) + " is no place", small_product(gpu, at, at + 16, at + 33, 0));
  refuses("c overlaps b", small_product(gpu, at, at + 16, at + 28, 0));
  refuses("stream: " + std::to_string(dead) + " is no stream of CUDA, or was destroyed", small_product(gpu, at, at + 16, at + 32, dead));
  const int64_t foreign = make_stream();
  emulated::move_to(reinterpret_cast<cudaStream_t>(foreign), 1);
  refuses("stream: " + std::to_string(foreign) + " is a stream of GPU 1; one of GPU 0 is needed", small_product(gpu, at, at + 16, at + 32, foreign));
  refuses("2147483647 times 2147483648 elements are more than 2^40",
          graft_matmul(gpu.device, 0, 0, 0, 1, 1, int64_t{1} << 31, 1, 1, 0, 0, at, 4, int64_t{1} << 31, 0, at, 4, 1, 1, at, 4, 1, 1, 0, 0, 0, 0));
  refuses("a: address 9223372036854775804 is no place for f32", small_product(gpu, INT64_MAX - 3, at + 16, at + 32, 0));
  refuses("bias: the address is null", graft_matmul(gpu.device, 0, 0, 0, 1, 1, 2, 2, 2, 0, 0, at, 4, 2, 4, at + 16, 4, 2, 4, at + 32, 4, 2, 4, 0, 2, 0, 0));
  refuses("weight: address " + std::to_string(at + 2) + " is no place", graft_low_rank_merge(gpu.device, 0, GRAFT_F32, 2, 2, 1, 1, 1, 2, starts, at + 2, 4, at + 24, 2, at + 32, 2));
  refuses("weight overlaps a", graft_low_rank_merge(gpu.device, 0, GRAFT_F32, 2, 2, 1, 1, 1, 2, starts, at, 4, at + 12, 2, at + 32, 2));
  refuses("m is 1099511627777; expected", graft_matmul(gpu.device, 0, 0, 0, 1, 1, (int64_t{1} << 40) + 1, 1, 1, 0, 0, at, 4, 1, 1, at, 4, 1, 1, at, 4, 1, 1, 0, 0, 0, 0));
  refuses("weight: at address", graft_low_rank_merge(gpu.device, 0, GRAFT_F32, 2, 2, 1, 1, 1, 2, starts, in_host, 4, at, 2, at + 16, 2));
  refuses("results: at address", graft_softmax_cross_entropy(gpu.device, 0, GRAFT_F32, 2, 2, 0, -100, 1, 0, at, 4, GRAFT_I32, at + 16, 2, 0, 0, 0, 0, in_host, 2));
  refuses("gradient: at address", graft_optimizer_step(gpu.device, 0, GRAFT_SGD, 0, 0, 0, 0, 0, 0.1, 0, 0, 0, 0, 1, 4, nullptr, 0, at, 4, in_host, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0));
  refuses("t: at address", graft_low_rank_forward(gpu.device, 0, GRAFT_F32, 1, 2, 2, 1, 1, 1, 2, starts, 0, 0, at, 2, at + 8, 4, 0, 0, at + 24, 2, at + 32, 2, 0, 0, 0, 0, at + 40, 2, in_host, 1));

  using cuda::Allocation;
  auto reach = [&](const std::string& part, const Allocation& found, int64_t bytes) {
    harness.test("address: " + part, [&] { harness.expect_error(part, [&] { cuda::check_reach("y", 4096, bytes, found, 1); }); });
  };
  reach("y: at address 4096 is no memory of CUDA", {}, 4);
  reach("y: at address 4096 is pinned memory of the host; memory of GPU 1", {Allocation::Kind::Host, 1, 4096, 64}, 4);
  reach("y: at address 4096 is memory of GPU 0; memory of GPU 1 is needed", {Allocation::Kind::Device, 0, 4096, 64}, 4);
  reach("y: 64 bytes from address 4096 on go beyond their allocation, which ends at 4159", {Allocation::Kind::Device, 1, 4000, 159}, 64);
  reach("y: 4 bytes from address 4096 on go beyond", {Allocation::Kind::Managed, 0, 5000, 64}, 4);
  harness.test("address: what is reached", [&] {
    cuda::check_reach("y", 4096, 63, {Allocation::Kind::Device, 1, 4000, 159}, 1);
    cuda::check_reach("y", 4096, 64, {Allocation::Kind::Managed, 0, 4096, 64}, 1);
    cuda::check_reach("y", 4096, 64, {Allocation::Kind::Device, 1, 0, 0}, 1);  // how much there is was not told
  });
}

void any_address(Harness& harness, const Machine& gpu) {
  harness.test("bf16 at addresses that are multiples of 2 alone", [&] {
    constexpr int64_t n = 40;
    Stored a(normal(harness.seed(), "a", n * n + 1), GRAFT_BF16), b(normal(harness.seed(), "b", n * n + 1), GRAFT_BF16), c(n * n + 1, GRAFT_BF16);
    std::vector<double> expected;
    const std::vector<float> x = a.values(), y = b.values();
    for (int64_t i = 0; i < n; i++)
      for (int64_t j = 0; j < n; j++) {
        double sum = 0;
        for (int64_t l = 0; l < n; l++) sum += static_cast<double>(x[1 + i * n + l]) * y[1 + j * n + l];
        expected.push_back(sum);
      }
    Placed at(gpu);
    done(graft_matmul(gpu.device, gpu.stream, GRAFT_TRANSPOSE_B, GRAFT_IDENTITY, 1, 1, n, n, n, GRAFT_BF16, GRAFT_BF16, a.in(at) + 2, n * n, n, 0, b.in(at) + 2,
                      n * n, n, 0, c.in(at) + 2, n * n, n, n * n, 0, 0, 0, 0));
    at.back();
    const std::vector<float> z = c.values();
    harness.expect_close("c", expected, {z.begin() + 1, z.end()}, 0x1p-8, 1e-3);  // one rounding to bf16
  });
}

// Sizes for which int, a grid or a rank of the usual is too small.
void large(Harness& harness, const Machine& reference, const Machine& gpu) {
  harness.test("more blocks than a grid has are refused before the launch", [&] {
    for (cuda::LaunchShape shape : {cuda::LaunchShape{int64_t{1} << 31, 32}, cuda::LaunchShape{1, 32, 0, nullptr, 65536}, cuda::LaunchShape{1, 32, 0, nullptr, 1, 65536}})
      harness.expect_error("blocks is more than CUDA takes: the operands are too large", [&] { cuda::launch(+[](int) {}, shape, 0); });
  });
  for (int64_t adapters : {0, 2})
    for (int32_t type : {GRAFT_F32, GRAFT_BF16})
      harness.test(text("an update of rank 300, ", adapters, " adapters, type ", type), [&] {
        // sums of 300 products; in bf16 t is rounded, or its neighbour
        const double tolerance = type == GRAFT_F32 ? 2e-5 : 0x1p-7, scale = type == GRAFT_F32 ? 8 : 40;
        harness.expect_close("result", low_rank(reference, harness.seed(), type, 5, 9, 12, 300, adapters), low_rank(gpu, harness.seed(), type, 5, 9, 12, 300, adapters), tolerance, scale);
      });
}

// A device that faulted is named to whoever calls next, and the process lives.
void poisoned(Harness& harness, const Machine& gpu) {
  TensorType type{DType::F32, {16}};
  test::Buffer memory(*gpu.column, type, std::vector<double>(16, 1));
  const int64_t at = reinterpret_cast<int64_t>(memory.address());
  harness.test("after a fault a call says that the device takes no more work", [&] {
    emulated::fault_at(1);
    small_product(gpu, at, at + 16, at + 32, gpu.stream);
    const int32_t status = small_product(gpu, at, at + 16, at + 32, gpu.stream);
    const std::string message = graft_last_error();
    emulated::heal();
    harness.expect(status == GRAFT_INTERNAL && message.find("the device takes no more work from this process") != std::string::npos && message.find('\n') == std::string::npos,
                   "status ", status, ": ", message);
    done(small_product(gpu, at, at + 16, at + 32, gpu.stream));
  });
}

// What only the device sees does not reach the caller as an error: the result is no number.
void wrong_numbers(Harness& harness, const Machine& gpu) {
  harness.test("a label that is no class makes the loss NaN", [&] {
    std::vector<float> logits(8, 1), results(2);
    std::vector<int32_t> labels{1, 4};
    Placed at(gpu);
    done(graft_softmax_cross_entropy(gpu.device, gpu.stream, GRAFT_F32, 2, 4, 0, -100, 1, 0, at(logits), 8, GRAFT_I32, at(labels), 2, 0, 0, 0, 0, at(results), 2));
    at.back();
    harness.expect(std::isnan(results[0]), "the loss is ", results[0]);
  });
}

}  // namespace

int main(int argc, char** argv) {
  Harness harness(argc, argv);
  emulated::set_fibre_seed(harness.seed());
  graft_device device{std::make_shared<Device>(make_cuda_column(0), 1, 1)};
  Machine reference{"reference"}, gpu{"cuda", &device, device.device->column.get(), make_stream()};
  done(graft_device_open("reference", 1, 1, &reference.device));
  for (const ProductCase& p : product_cases()) product(harness, gpu, p);
  for (const Family& f : families(harness.seed()))
    harness.test(f.name, [&] { harness.expect_close("result", f.run(reference), f.run(gpu), f.tolerance, f.scale); });
  streams(harness, gpu);
  refusals(harness, gpu);
  any_address(harness, gpu);
  wrong_numbers(harness, gpu);
  large(harness, reference, gpu);
  poisoned(harness, gpu);
  graft_device_close(reference.device);
  return harness.finish();
}
