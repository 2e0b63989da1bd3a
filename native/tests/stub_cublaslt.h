// What the stub of cuBLASLt answers, set by a test, and what it saw.
#pragma once
#include <cstddef>

namespace graft::test {

struct StubCublasLt {
  size_t version = 130100;
  bool starts = true;       // cublasLtCreate succeeds
  bool has_algorithm = true;
  bool f32_bias = true;     // takes a bias of F32 beside a result of bf16
  int alive = 0;            // descriptions that were created and not destroyed
  int products = 0;
};

inline constexpr char kStubCublasLt[] = "graft_stub_cublaslt";  // the function that gives the one StubCublasLt

}  // namespace graft::test
