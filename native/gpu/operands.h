// Device memory for the measuring programs: normal numbers that depend on nothing, and requests of operations with all their operands.
#pragma once
#include <deque>
#include <memory>

#include "core/column.h"
#include "number_formats.h"
#include "philox.h"

namespace graft::gpu {

// Device memory that is released with it.
class Memory {
 public:
  Memory(Column& column, TensorType type) : column_(&column), type_(type), address_(column.allocate(type.bytes())) {}
  Memory(Column& column, size_t bytes) : Memory(column, TensorType{DType::U8, {static_cast<int64_t>(bytes)}}) {}
  Memory(Memory&& o) noexcept : column_(o.column_), type_(o.type_), address_(o.address_) { o.address_ = nullptr; }
  Memory& operator=(Memory&&) = delete;
  ~Memory() {
    if (address_) column_->release(address_, type_.bytes());
  }
  void* address() const { return address_; }
  const TensorType& type() const { return type_; }
  void write(const void* host) { column_->copy_in(address_, host, type_.bytes()); }
  void zero() {
    const std::string zeros(std::min<size_t>(type_.bytes(), size_t{64} << 20), 0);
    for (size_t at = 0; at < type_.bytes(); at += zeros.size())
      column_->copy_in(static_cast<char*>(address_) + at, zeros.data(), std::min(zeros.size(), type_.bytes() - at));
  }

 private:
  Column* column_;
  TensorType type_;
  void* address_;
};

// Standard normal numbers times `deviation`, as bf16 or F32 stores them: a million and some, which larger tensors repeat. The count is odd,
// so that rows of a power of two differ.
inline std::vector<float> normal_values(DType type, int64_t count, double deviation = 1) {
  constexpr int64_t kPeriod = (1 << 20) + 7;
  std::vector<float> values(static_cast<size_t>(std::min(count, kPeriod)));
  for (size_t i = 0; i < values.size(); i++) {
    const int64_t at = 2 * static_cast<int64_t>(i);
    const double u = 1 - philox::uniform(1, 0, 0, at), angle = 2 * M_PI * philox::uniform(1, 0, 0, at + 1);
    const float v = static_cast<float>(deviation * std::sqrt(-2 * std::log(u)) * std::cos(angle));
    values[i] = type == DType::BF16 ? bf16_to_float(float_to_bf16(v)) : v;
  }
  return values;
}

inline void fill(Column& column, const Memory& memory, const std::vector<float>& values) {
  const TensorType& type = memory.type();
  std::vector<char> host(size_of(type.dtype) * values.size());
  for (size_t i = 0; i < values.size(); i++) {
    if (type.dtype == DType::BF16) reinterpret_cast<uint16_t*>(host.data())[i] = float_to_bf16(values[i]);
    else reinterpret_cast<float*>(host.data())[i] = values[i];
  }
  for (size_t at = 0; at < type.bytes(); at += host.size())
    column.copy_in(static_cast<char*>(memory.address()) + at, host.data(), std::min(host.size(), type.bytes() - at));
}

inline Memory normal(Column& column, TensorType type, double deviation = 1) {
  Memory memory(column, type);
  fill(column, memory, normal_values(type.dtype, type.count(), deviation));
  return memory;
}

// A step block whose rows all count.
class Step {
 public:
  Step(Column& column, const StepSizes& sizes) : memory_(column, StepBlock::bytes(sizes)) {
    std::vector<double> host(StepBlock::bytes(sizes) / 8 + 8);
    StepBlock b = StepBlock::at(host.data(), sizes);
    *b.header = StepHeader{};
    b.header->update = 1;
    b.header->valid_rows = sizes.batch;
    for (int i = 0; i < sizes.groups; i++) b.rate[i] = 1e-3f, b.decay[i] = 0.01f;
    for (int i = 0; i < sizes.losses; i++) b.loss_weight[i] = 1;
    for (int i = 0; i < sizes.batch; i++) b.row_weight[i] = 1, b.row_id[i] = i;
    memory_.write(host.data());
    block_ = StepBlock::at(memory_.address(), sizes);
  }
  const StepBlock* block() const { return &block_; }

 private:
  Memory memory_;
  StepBlock block_;
};

// A product of contiguous operands: c [m, n] = a [m, k] b [k, n], the factors stored transposed where asked. PyTorch's linear has b so.
inline ProductRequest contiguous_product(int64_t m, int64_t n, int64_t k, DType type, bool transposed_a, bool transposed_b) {
  ProductRequest r;
  r.m = m, r.n = n, r.k = k;
  r.a = {transposed_a ? 1 : k, transposed_a ? m : 1, m * k};
  r.b = {transposed_b ? 1 : n, transposed_b ? k : 1, k * n};
  r.c = {n, 1, m * n};
  r.type = r.result = type;
  return r;
}

}  // namespace graft::gpu
