// The emulation of CUDA (cuda/emulated) itself: what a kernel may do gives what a GPU would, what it may not do is an error.
#include "cuda/launch.h"
#include "cuda/tensor_core.cuh"
#include "harness.h"

using namespace graft;
using namespace graft::cuda;
using namespace graft::test;

namespace {

constexpr unsigned kAll = 0xFFFFFFFFu;

void count_threads(int* counts) { counts[(blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x * blockDim.x + blockIdx.x * blockDim.x + threadIdx.x]++; }

void reverse(const float* in, float* out, int n, bool wait) {
  GRAFT_SHARED(float, held, 256);
  const int i = static_cast<int>(threadIdx.x);
  held[i] = in[i];
  if (wait) __syncthreads();
  out[i] = held[n - 1 - i];
}

void dynamic_sum(float* out) {
  GRAFT_SHARED_DYNAMIC(float, held);
  held[threadIdx.x] = static_cast<float>(threadIdx.x);
  __syncthreads();
  if (threadIdx.x != 0) return;
  float sum = 0;
  for (unsigned i = 0; i < blockDim.x; i++) sum += held[i];
  out[blockIdx.x] = sum;
}

void untouched_shared(float* out) {
  GRAFT_SHARED(float, held, 1);
  out[blockIdx.x] = held[0];
  held[0] = 1;
}

void beside_shared(int at) {
  GRAFT_SHARED(float, held, 8);
  if (threadIdx.x == 0) held[at] = 1;
}

void exchanges(int* out) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  int* mine = out + 5 * threadIdx.x;
  mine[0] = __shfl_sync(kAll, lane * lane, 7);
  mine[1] = __shfl_xor_sync(kAll, lane, 5);
  mine[2] = __shfl_down_sync(kAll, lane, 3);
  mine[3] = static_cast<int>(__ballot_sync(kAll, lane % 3 == 0));
  // Halves of a warp that go different ways, one of them with an exchange more.
  if (lane < 16) {
    mine[4] = __shfl_xor_sync(0x0000FFFFu, lane, 1);
    mine[4] = __shfl_xor_sync(0x0000FFFFu, mine[4], 1);
  } else {
    mine[4] = __shfl_xor_sync(0xFFFF0000u, lane + 100, 2);
  }
  mine[4] += __shfl_xor_sync(kAll, 0, 16);
}

void leaves_before_barrier() {
  if (threadIdx.x == 3) return;
  __syncthreads();
}

void two_barriers() {
  if (threadIdx.x < 32) {
    __syncthreads();
  } else {
    __syncthreads();
  }
}

void lane_missing() {
  if (threadIdx.x != 5) __shfl_xor_sync(kAll, 1, 1);
}

// Each thread brings 16 bytes by a copy that runs by itself and reads what its neighbour brought.
void copied(const float* in, float* out, int bytes, bool wait, bool barrier) {
  GRAFT_SHARED(float, held, 4 * 64);
  const int t = static_cast<int>(threadIdx.x), next = (t + 1) % 64;
  copy_later(held + 4 * t, in + 4 * t, bytes);
  commit_copies();
  if (wait) wait_copies<0>();
  if (barrier) __syncthreads();
  for (int i = 0; i < 4; i++) out[4 * t + i] = held[4 * next + i];
  if (wait) return;
  __syncthreads();  // all have read
  wait_copies<0>();
}

// Two groups, of which the first alone is waited for.
void newest_group(const float* in, float* out) {
  GRAFT_SHARED(float, held, 8);
  copy_later(held, in, 16);
  commit_copies();
  copy_later(held + 4, in + 4, 16);
  commit_copies();
  wait_copies<1>();
  for (int i = 0; i < 8; i++) out[i] = held[i];
  wait_copies<0>();
}

void copy_beside(const float* in, int at) {
  GRAFT_SHARED(float, held, 8);
  copy_later(held + at, in, 16);
  commit_copies();
  wait_copies<0>();
}
void copy_left_behind(const float* in) {
  GRAFT_SHARED(float, held, 4);
  copy_later(held, in, 16);
  commit_copies();
}

// One product of tensor cores, operands as PTX lays them out: a 16 x 16 by rows, b 16 x 8 by columns; fragments read by load_matrices.
void one_product(const Bf16* a, const Bf16* b, float* c, bool transposed) {
  GRAFT_SHARED(Bf16, left, 256);
  GRAFT_SHARED(Bf16, right, 128);
  const int lane = static_cast<int>(threadIdx.x), g = lane / 4, t = lane % 4;
  for (int i = lane; i < 256; i += 32) left[transposed ? i % 16 * 16 + i / 16 : i] = a[i];
  for (int i = lane; i < 128; i += 32) right[i] = b[i];
  __syncwarp();
  uint32_t x[4], y[4];
  if (transposed) load_matrices_transposed(x, left + (lane % 8 + lane / 16 * 8) * 16 + lane / 8 % 2 * 8);
  else load_matrices(x, left + (lane % 8 + lane / 8 % 2 * 8) * 16 + lane / 16 * 8);
  load_matrices(y, right + lane % 8 * 16 + lane / 8 % 2 * 8);
  float sums[4] = {1, 1, 1, 1};
  multiply(sums, x, y[0], y[1]);
  c[g * 8 + 2 * t] = sums[0], c[g * 8 + 2 * t + 1] = sums[1];
  c[(g + 8) * 8 + 2 * t] = sums[2], c[(g + 8) * 8 + 2 * t + 1] = sums[3];
}
void one_tf32_product(const float* a, const float* b, float* c) {  // a 16 x 8 by rows, b 8 x 8 by columns
  const int lane = static_cast<int>(threadIdx.x), g = lane / 4, t = lane % 4;
  const uint32_t x[4] = {tf32_of(a[g * 8 + t]), tf32_of(a[(g + 8) * 8 + t]), tf32_of(a[g * 8 + t + 4]), tf32_of(a[(g + 8) * 8 + t + 4])};
  float sums[4] = {};
  multiply_tf32(sums, x, tf32_of(b[g * 8 + t]), tf32_of(b[g * 8 + t + 4]));
  c[g * 8 + 2 * t] = sums[0], c[g * 8 + 2 * t + 1] = sums[1];
  c[(g + 8) * 8 + 2 * t] = sums[2], c[(g + 8) * 8 + 2 * t + 1] = sums[3];
}

void copies(Harness& harness) {
  alignas(16) float in[256], out[256];
  for (int i = 0; i < 256; i++) in[i] = static_cast<float>(i + 1);
  harness.test("a copy that is waited for, and the barrier behind it, show what was copied, and zeros behind that", [&] {
    for (int bytes : {0, 4, 6, 16}) {
      launch(copied, {1, 64}, &in[0], &out[0], bytes, true, true);
      for (int i = 0; i < 256; i++) {
        const int from = (i + 4) % 256, whole = bytes / 4;
        if (from % 4 < whole) harness.expect(out[i] == in[from], bytes, " bytes, element ", i, " is ", out[i]);
        if (from % 4 > whole) harness.expect(out[i] == 0, bytes, " bytes, element ", i, " is ", out[i]);
      }
    }
  });
  auto wrong = [&](bool wait, bool barrier) {
    int count = 0;
    for (uint64_t seed = 0; seed < 20; seed++) {
      emulated::set_fibre_seed(seed);
      launch(copied, {1, 64}, &in[0], &out[0], 16, wait, barrier);
      for (int i = 0; i < 256; i++) count += out[i] != in[(i + 4) % 256];
    }
    return count;
  };
  harness.test("a missing wait leaves NaN, whatever the order of the threads", [&] {
    const int count = wrong(false, true);
    harness.expect(count == 20 * 256 && std::isnan(out[0]), count, " elements were wrong");
  });
  harness.test("a wait without a barrier shows under some order of the threads", [&] { harness.expect(wrong(true, false) > 0, "every order was right"); });
  harness.test("the newest group may be under way", [&] {
    launch(newest_group, {1, 1}, &in[0], &out[0]);
    for (int i = 0; i < 8; i++) harness.expect(i < 4 ? out[i] == in[i] : std::isnan(out[i]), "element ", i, " is ", out[i]);
  });
  harness.test("a copy to an address that is not aligned is an error", [&] {
    harness.expect_error("not aligned to 16 bytes", [&] { launch(copy_beside, {1, 1}, &in[0], 2); });
  });
  harness.test("a copy behind shared memory is an error", [&] {
    harness.expect_error("behind its end", [&] { launch(copy_beside, {1, 1}, &in[0], 8); });
  });
  harness.test("a copy that nobody waits for is an error", [&] {
    harness.expect_error("ended with a copy under way", [&] { launch(copy_left_behind, {1, 1}, &in[0]); });
  });
}

void tensor_cores(Harness& harness) {
  Random random(harness.seed(), "tensor cores");
  harness.test("a product of tensor cores is the product of its matrices, read as they lie or transposed", [&] {
    std::vector<Bf16> a(256), b(128);
    for (auto* all : {&a, &b})
      for (Bf16& v : *all) v = {float_to_bf16(static_cast<float>(random.normal()))};
    for (bool transposed : {false, true}) {
      std::vector<float> c(128);
      launch(one_product, {1, 32}, a.data(), b.data(), c.data(), transposed);
      for (size_t i = 0; i < 16; i++)
        for (size_t j = 0; j < 8; j++) {
          double sum = 1;
          for (size_t l = 0; l < 16; l++) sum += double{bf16_to_float(a[i * 16 + l].bits)} * bf16_to_float(b[j * 16 + l].bits);
          const double got = c[i * 8 + j];  // sums of one instruction are exact, then cut to F32
          harness.expect(std::fabs(got) <= std::fabs(sum) && std::fabs(got - sum) <= 0x1p-23 * std::fabs(sum), "[", i, ", ", j, "]: ", got, ", expected ", sum);
        }
    }
  });
  harness.test("a TF32 product keeps ten bits of each factor", [&] {
    std::vector<float> a(128), b(64), c(128);
    for (auto* all : {&a, &b})
      for (float& v : *all) v = static_cast<float>(random.normal());
    launch(one_tf32_product, {1, 32}, a.data(), b.data(), c.data());
    for (size_t i = 0; i < 16; i++)
      for (size_t j = 0; j < 8; j++) {
        double sum = 0, size = 0;
        for (size_t l = 0; l < 8; l++) {
          const double term = double{a[i * 8 + l]} * b[j * 8 + l];
          sum += term, size += std::fabs(term);
        }
        harness.expect(std::fabs(c[i * 8 + j] - sum) <= 0x1.01p-10 * size, "[", i, ", ", j, "]: ", c[i * 8 + j], ", expected ", sum);
      }
  });
}

void correct_programs(Harness& harness) {
  harness.test("every thread of a grid runs once", [&] {
    std::vector<int> counts(2 * 3 * 5 * 67);
    LaunchShape shape{5, 67};
    shape.rows = 3, shape.layers = 2;
    launch(count_threads, shape, counts.data());
    for (int count : counts) harness.expect(count == 1, "a thread ran ", count, " times");
  });
  harness.test("a barrier shows each thread what the others wrote, in any order of the threads", [&] {
    std::vector<float> in(256), out(256);
    for (size_t i = 0; i < in.size(); i++) in[i] = static_cast<float>(i);
    for (uint64_t seed = 0; seed < 20; seed++) {
      emulated::set_fibre_seed(seed);
      launch(reverse, {1, 256}, in.data(), out.data(), 256, true);
      for (size_t i = 0; i < in.size(); i++) harness.expect(out[i] == in[255 - i], "seed ", seed, ", element ", i, " is ", out[i]);
    }
  });
  harness.test("dynamic shared memory belongs to a block", [&] {
    float out[3] = {};
    launch(dynamic_sum, {3, 100, 400}, &out[0]);
    for (float sum : out) harness.expect(sum == 4950, "expected 4950, got ", sum);
  });
  harness.test("shared memory begins as NaN in every block", [&] {
    float out[2] = {};
    launch(untouched_shared, {2, 1}, &out[0]);
    harness.expect(std::isnan(out[0]) && std::isnan(out[1]), "got ", out[0], " and ", out[1]);
  });
  harness.test("lanes exchange values", [&] {
    std::vector<int> out(5 * 64);
    launch(exchanges, {1, 64}, out.data());
    uint32_t thirds = 0;
    for (int lane = 0; lane < 32; lane += 3) thirds |= 1u << lane;
    for (int t = 0; t < 64; t++) {
      const int lane = t % 32, half = lane < 16 ? lane : (lane ^ 2) + 100;
      const int expected[] = {49, lane ^ 5, lane + 3 < 32 ? lane + 3 : lane, static_cast<int>(thirds), half};
      for (int k = 0; k < 5; k++) harness.expect(out[5 * t + k] == expected[k], "thread ", t, ", exchange ", k, ": expected ", expected[k], ", got ", out[5 * t + k]);
    }
  });
}

void broken_programs(Harness& harness) {
  harness.test("a missing barrier shows under some order of the threads", [&] {
    std::vector<float> in(256, 1), out(256);
    int wrong = 0;
    for (uint64_t seed = 0; seed < 20; seed++) {
      emulated::set_fibre_seed(seed);
      launch(reverse, {1, 256}, in.data(), out.data(), 256, false);
      for (float v : out) wrong += v != 1;
    }
    harness.expect(wrong > 0, "every order gave the right result");
  });
  harness.test("a barrier that a thread never reaches is an error", [&] {
    harness.expect_error("thread 3 ended", [] { launch(leaves_before_barrier, {1, 64}); });
  });
  harness.test("two barriers at once are an error", [&] {
    harness.expect_error("waits at the barrier", [] { launch(two_barriers, {1, 64}); });
  });
  harness.test("an exchange that a lane does not join is an error", [&] {
    harness.expect_error("for lanes of its warp that never come", [] { launch(lane_missing, {1, 32}); });
  });
  harness.test("writing behind shared memory is an error", [&] {
    launch(beside_shared, {1, 32}, 7);
    harness.expect_error("behind its end", [] { launch(beside_shared, {1, 32}, 8); });
  });
  harness.test("after an error the next launch is sound", [&] {
    float out[1] = {};
    launch(dynamic_sum, {1, 100, 400}, &out[0]);
    harness.expect(out[0] == 4950, "got ", out[0]);
  });
  harness.test("a block of more than 1024 threads is an error", [&] {
    harness.expect_error("1 to 1024 threads", [] { launch(leaves_before_barrier, {1, 1025}); });
  });
}

void memory(Harness& harness) {
  harness.test("a copy beside an allocation is refused", [&] {
    void* p = nullptr;
    char host[65] = {};
    harness.expect(cudaMalloc(&p, 64) == cudaSuccess, "no memory");
    harness.expect(cudaMemcpyAsync(p, host, 64, cudaMemcpyHostToDevice, nullptr) == cudaSuccess, "a copy within it failed");
    harness.expect(cudaMemcpyAsync(p, host, 65, cudaMemcpyHostToDevice, nullptr) == cudaErrorInvalidValue, "one byte more was copied in");
    harness.expect(cudaMemcpyAsync(host, static_cast<char*>(p) + 1, 64, cudaMemcpyDeviceToHost, nullptr) == cudaErrorInvalidValue, "one byte more was copied out");
    harness.expect(cudaFree(p) == cudaSuccess && cudaFree(p) == cudaErrorInvalidValue, "the second release was no error");
    harness.expect(cudaMalloc(&p, size_t{1} << 40) == cudaErrorMemoryAllocation, "a terabyte was given");
  });
}

}  // namespace

int main(int argc, char** argv) {
  Harness harness(argc, argv);
  correct_programs(harness);
  broken_programs(harness);
  copies(harness);
  tensor_cores(harness);
  memory(harness);
  return harness.finish();
}
