// The emulation of CUDA (cuda/emulated) itself: what a kernel may do gives what a GPU would, what it may not do is an error.
#include "cuda/launch.h"
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
  memory(harness);
  return harness.finish();
}
