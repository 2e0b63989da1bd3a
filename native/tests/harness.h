// A small harness: named tests, a count at the end, buffers that notice who writes beside them.
//   --case TEXT   runs only the tests whose name contains TEXT
//   --seed N      other random data
//   --part I/N    the Ith, from 1, of N parts of the tests, for parts that run side by side
#pragma once
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "column.h"
#include "error.h"
#include "number_formats.h"
#include "philox.h"

namespace graft::test {

class Harness {
 public:
  Harness(int argc, char** argv) : program_(argv[0]) {
    for (int i = 1; i + 1 < argc; i += 2) {
      if (std::string(argv[i]) == "--case") only_ = argv[i + 1];
      else if (std::string(argv[i]) == "--seed") seed_ = std::strtoull(argv[i + 1], nullptr, 10);
      else if (std::string(argv[i]) == "--part") std::sscanf(argv[i + 1], "%d/%d", &part_, &parts_);
    }
  }

  uint64_t seed() const { return seed_; }

  // Runs body as the test `name`; an exception is a failure.
  template <class Body>
  void test(const std::string& name, Body body) {
    if (name.find(only_) == std::string::npos || asked_++ % parts_ != part_ - 1) return;
    run_++;
    name_ = name;
    messages_ = 0;
    try {
      body();
    } catch (const std::exception& e) {
      fail("threw: ", e.what());
    }
    if (messages_ > 0) failed_++;
  }

  template <class... Parts>
  void fail(const Parts&... parts) {
    const int most = 5;  // messages per test
    if (++messages_ > most) return;
    const char* isa = std::getenv("GRAFT_ISA");
    std::printf("FAILED %s (seed %llu): %s\n", name_.c_str(), static_cast<unsigned long long>(seed_), text(parts...).c_str());
    if (messages_ == 1)
      std::printf("  repeat: %s%s %s --seed %llu --case '%s'\n", isa ? "GRAFT_ISA=" : "", isa ? isa : "", program_.c_str(),
                  static_cast<unsigned long long>(seed_), name_.c_str());
  }

  template <class... Parts>
  void expect(bool condition, const Parts&... parts) {
    if (!condition) fail(parts...);
  }

  // Every element within tolerance * max(|expected|, scale).
  void expect_close(const std::string& what, const std::vector<double>& expected, const std::vector<double>& actual,
                    double tolerance, double scale) {
    if (expected.size() != actual.size()) return fail(what, ": ", actual.size(), " elements, expected ", expected.size());
    for (size_t i = 0; i < expected.size(); i++) {
      bool same = std::isnan(expected[i]) ? std::isnan(actual[i])
                                          : std::fabs(expected[i] - actual[i]) <=
                                                tolerance * std::max(std::fabs(expected[i]), scale);
      if (!same) fail(what, "[", i, "]: expected ", precise(expected[i]), ", got ", precise(actual[i]));
    }
  }

  // Expects body to throw Error whose message contains `part`.
  template <class Body>
  void expect_error(const std::string& part, Body body) {
    try {
      body();
      fail("no error, expected one that says: ", part);
    } catch (const Error& e) {
      expect(std::string(e.what()).find(part) != std::string::npos, "expected an error that says: ", part, ", got: ", e.what());
    }
  }

  static std::string precise(double v) {
    char digits[40];
    std::snprintf(digits, sizeof digits, "%.12g", v);
    return digits;
  }

  int run() const { return run_; }
  int failed() const { return failed_; }
  // Counts of a run in another process.
  void add(int run, int failed) {
    run_ += run;
    failed_ += failed;
  }
  int finish() const {
    std::printf("Tests run: %d, Failures: %d\n", run_, failed_);
    return failed_ == 0 && run_ > 0 ? 0 : 1;
  }

 private:
  std::string program_, only_, name_;
  uint64_t seed_ = 1;
  int run_ = 0, failed_ = 0, messages_ = 0, part_ = 1, parts_ = 1, asked_ = 0;
};

// Random numbers that depend on the seed and a name alone.
class Random {
 public:
  Random(uint64_t seed, const std::string& name) : key_(philox::key(seed, name)) {}
  double uniform() { return philox::uniform(key_, 0, 0, at_++); }
  double uniform(double low, double high) { return low + (high - low) * uniform(); }
  int64_t below(int64_t bound) { return static_cast<int64_t>(uniform() * static_cast<double>(bound)); }
  double normal() {  // Box-Muller
    double u = 1 - uniform(), angle = 2 * M_PI * uniform();
    return std::sqrt(-2 * std::log(u)) * std::cos(angle);
  }

 private:
  uint64_t key_;
  int64_t at_ = 0;
};

inline double element(const void* p, DType type, int64_t i) {
  switch (type) {
    case DType::F32: return static_cast<const float*>(p)[i];
    case DType::F64: return static_cast<const double*>(p)[i];
    case DType::BF16: return bf16_to_float(static_cast<const uint16_t*>(p)[i]);
    case DType::F16: return f16_to_float(static_cast<const uint16_t*>(p)[i]);
    case DType::I32: return static_cast<const int32_t*>(p)[i];
    case DType::I64: return static_cast<double>(static_cast<const int64_t*>(p)[i]);
    case DType::U8: return static_cast<const uint8_t*>(p)[i];
  }
  return 0;
}

inline void put_element(void* p, DType type, int64_t i, double v) {
  switch (type) {
    case DType::F32: static_cast<float*>(p)[i] = static_cast<float>(v); break;
    case DType::F64: static_cast<double*>(p)[i] = v; break;
    case DType::BF16: static_cast<uint16_t*>(p)[i] = float_to_bf16(static_cast<float>(v)); break;
    case DType::F16: static_cast<uint16_t*>(p)[i] = float_to_f16(static_cast<float>(v)); break;
    case DType::I32: static_cast<int32_t*>(p)[i] = static_cast<int32_t>(v); break;
    case DType::I64: static_cast<int64_t*>(p)[i] = static_cast<int64_t>(v); break;
    case DType::U8: static_cast<uint8_t*>(p)[i] = static_cast<uint8_t>(v); break;
  }
}

// v as `type` stores it.
inline double rounded(double v, DType type) {
  double storage;
  put_element(&storage, type, 0, v);
  return element(&storage, type, 0);
}

// Column memory between two guards. Fresh memory is all ones: NaN in every float type.
class Buffer {
 public:
  Buffer(Column& column, size_t bytes, TensorType type = {}) : column_(&column), type_(type), bytes_(bytes) {
    base_ = static_cast<char*>(column.allocate(whole()));
    std::string content(whole(), static_cast<char>(kGuard));
    std::memset(content.data() + kMargin, 0xFF, bytes_);
    column.copy_in(base_, content.data(), whole());
  }
  Buffer(Column& column, TensorType type) : Buffer(column, type.bytes(), type) {}
  Buffer(Column& column, TensorType type, const std::vector<double>& values) : Buffer(column, type) { write(values); }
  Buffer(Buffer&& o) noexcept : column_(o.column_), type_(o.type_), bytes_(o.bytes_), base_(o.base_) { o.base_ = nullptr; }
  Buffer& operator=(Buffer&&) = delete;
  ~Buffer() {
    if (base_) column_->release(base_, whole());
  }

  void* address() const { return base_ + kMargin; }
  const TensorType& type() const { return type_; }

  void write(const std::vector<double>& values) {
    std::string host(bytes_, 0);
    for (size_t i = 0; i < values.size(); i++) put_element(host.data(), type_.dtype, static_cast<int64_t>(i), values[i]);
    column_->copy_in(address(), host.data(), bytes_);
  }
  std::string bytes() const {
    std::string host(bytes_, 0);
    column_->copy_out(host.data(), address(), bytes_);
    return host;
  }
  std::vector<double> read() const {
    std::string host = bytes();
    std::vector<double> values(type_.count());
    for (size_t i = 0; i < values.size(); i++) values[i] = element(host.data(), type_.dtype, static_cast<int64_t>(i));
    return values;
  }
  // Whether nobody wrote before or behind it.
  bool intact() const {
    std::string host(whole(), 0);
    column_->copy_out(host.data(), base_, whole());
    for (size_t i = 0; i < whole(); i++)
      if ((i < kMargin || i >= kMargin + bytes_) && static_cast<unsigned char>(host[i]) != kGuard) return false;
    return true;
  }

 private:
  static constexpr size_t kMargin = 256;
  static constexpr unsigned char kGuard = 0xA5;
  size_t whole() const { return kMargin + bytes_ + kMargin; }
  Column* column_;
  TensorType type_;
  size_t bytes_;
  char* base_;
};

}  // namespace graft::test
