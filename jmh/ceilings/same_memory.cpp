// Graft's two kernels that are bound by memory, and x = a * x in place over the very bytes that they work on, in turns within
// one process: which pages a process gets can change what it reaches by a factor of two, and a busy host does so from second
// to second. `same_memory [--rounds N] [--threads N]` prints a CSV, a row a round; ratio = time of the scaling over the kernel's.
#include <omp.h>

#include <chrono>
#include <cstdio>
#include <cstring>
#include <functional>
#include <vector>

#include "column.h"
#include "step_block.h"

using namespace graft;

namespace {

double milliseconds(const std::function<void()>& call) {
  auto start = std::chrono::steady_clock::now();
  call();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}

void scale(float* x, int64_t n) {
  const float a = 1.0000001f;
#pragma omp parallel for simd schedule(static)
  for (int64_t i = 0; i < n; i++) x[i] = a * x[i];
}

void fill(float* x, int64_t n, float low, float high) {
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < n; i++) {
    uint64_t h = static_cast<uint64_t>(i) * 0x9e3779b97f4a7c15u;
    x[i] = low + (high - low) * static_cast<float>((h ^ h >> 29) >> 40 & 0xffff) / 65536.f;
  }
}

void compare(const char* workload, int rounds, const std::function<void()>& restore, const std::function<void()>& kernel, const std::function<void()>& scaling) {
  for (int round = -1; round < rounds; round++) {  // the first one untimed
    double own = 0, least = 0;
    restore();
    if (round % 2) least = milliseconds(scaling);
    own = milliseconds(kernel);
    if (round % 2 == 0) least = milliseconds(scaling);
    if (round >= 0) std::printf("%s,%d,%.3f,%.3f,%.4f\n", workload, round, own, least, least / own);
  }
}

class Bench {
 public:
  explicit Bench(int threads) : column_(make_cpu_column(make_reference_column())) {
    column_->enter_lane(threads);
    omp_set_num_threads(threads);
  }

  // One AdamW update of 100 tensors of a million elements: 7 passes, of which the scaling's are 2 an array.
  void adamw(int rounds) {
    constexpr int64_t tensors = 100, count = 1000000, all = tensors * count;
    OptimizerRequest request;
    request.kind = OptimizerKind::AdamW;
    request.elements = all;
    for (int64_t t = 0; t < tensors; t++) request.segments.push_back({t * count, count, 0, -1, 0});
    auto kernel = column_->prepare(request);
    float *weight = floats(all), *gradient = floats(all), *first = floats(all), *second = floats(all);
    fill(weight, all, -0.1f, 0.1f);
    fill(gradient, all, -0.01f, 0.01f);
    fill(first, all, -0.01f, 0.01f);
    fill(second, all, 1e-6f, 1e-4f);
    StepBlock block = step({1, 0, 1, tensors});
    block.header->update = 10;
    block.rate[0] = 1e-3f;
    block.decay[0] = 0.01f;
    void *in[6] = {gradient}, *out[] = {weight, first, second};
    Args args{in, out, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, column_->allocate(kernel->scratch_bytes() + 64), &block};
    compare("adamw_100m", rounds, [] {}, [&] { kernel->run(args); }, [&] {
      scale(weight, all);
      scale(first, all);
      scale(second, all);
      scale(gradient, all / 2);
    });
  }

  // Cross-entropy of logits (4096, 32000), the gradient written over them.
  void cross_entropy(int rounds) {
    constexpr int64_t rows = 4096, classes = 32000;
    Request r;
    r.op = find_op("softmax_cross_entropy");
    r.pass = Pass::Loss;
    for (const AttributeDef& a : r.op->attributes) r.attributes[a.name] = a.fallback;
    r.inputs = {{DType::F32, {rows, classes}}, {DType::I32, {rows}}, {DType::F32, {}}};
    r.inputs[2].shape.rank = -1;
    r.outputs = r.op->infer(r.call());
    r.constant.assign(3, false);
    r.modes = {GradMode::Overwrite, GradMode::Ignore, GradMode::Ignore};
    r.preferred.resize(3);
    r.batch = rows;
    auto kernel = column_->prepare(r);
    float *logits = floats(rows * classes), *loss = floats(16);
    int32_t* labels = static_cast<int32_t*>(column_->allocate(4 * rows));
    for (int64_t i = 0; i < rows; i++) labels[i] = static_cast<int32_t>(i * 7919 % classes);
    StepBlock block = step({1, 1, rows, 1});
    block.header->valid_rows = rows;
    block.loss_weight[0] = 1;
    for (int64_t i = 0; i < rows; i++) block.row_weight[i] = 1;
    void *in[] = {logits, labels, nullptr}, *out[] = {loss}, *din[] = {logits, nullptr, nullptr};
    Args args{in, out, din, nullptr, nullptr, nullptr, nullptr, nullptr, column_->allocate(kernel->scratch_bytes() + 64), &block};
    compare("softmax_ce", rounds, [&] { fill(logits, rows * classes, -4, 4); }, [&] { kernel->run(args); }, [&] { scale(logits, rows * classes); });
  }

 private:
  float* floats(int64_t n) { return static_cast<float*>(column_->allocate(4 * static_cast<size_t>(n))); }
  StepBlock step(const StepSizes& sizes) {
    void* memory = column_->allocate(StepBlock::bytes(sizes));
    std::memset(memory, 0, StepBlock::bytes(sizes));
    return StepBlock::at(memory, sizes);
  }

  std::unique_ptr<Column> column_;  // what it allocates goes with the process
};

}  // namespace

int main(int count, char** words) {
  int rounds = 25, threads = 2;
  for (int i = 1; i < count; i += 2) {
    const std::string name = words[i];
    if (i + 1 == count || (name != "--rounds" && name != "--threads")) {
      std::fprintf(stderr, "same_memory: expected [--rounds N] [--threads N], got %s\n", words[i]);
      return 2;
    }
    (name == "--rounds" ? rounds : threads) = std::atoi(words[i + 1]);
  }
  std::printf("workload,round,graft_ms,scale_ms,ratio\n");
  Bench bench(threads);
  bench.adamw(rounds);
  bench.cross_entropy(rounds);
}
