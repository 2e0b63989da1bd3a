#include "dispatch.h"

#include <cstdlib>
#include <dnnl.hpp>

namespace graft::cpu {

namespace sse4 { void fill(Simd&); }
namespace avx2 { void fill(Simd&); }
namespace avx512 { void fill(Simd&); }
namespace avx512bf16 { void fill(Simd&); }

namespace {

struct Level {
  const char* name;
  void (*fill)(Simd&);
  bool present;
  dnnl::cpu_isa limit;
};

struct Choice {
  Simd simd;
  bool bf16;
};

Choice choose() {
  __builtin_cpu_init();
  bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
            __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("f16c") && __builtin_cpu_supports("lzcnt");
  bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512cd") &&
            __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  const Level levels[] = {{"sse4", sse4::fill, true, dnnl::cpu_isa::sse41},
                          {"avx2", avx2::fill, v3, dnnl::cpu_isa::avx2},
                          {"avx512", avx512::fill, v4, dnnl::cpu_isa::avx512_core_vnni},
                          {"avx512bf16", avx512bf16::fill, v4 && __builtin_cpu_supports("avx512bf16"), dnnl::cpu_isa::isa_default}};
  const Level* best = levels;
  std::string known, present;
  for (const Level& level : levels) {
    known += (known.empty() ? "" : ", ") + std::string(level.name);
    if (!level.present) continue;
    present += (present.empty() ? "" : ", ") + std::string(level.name);
    best = &level;
  }
  if (const char* forced = std::getenv("GRAFT_ISA"); forced && *forced) {
    const Level* wanted = nullptr;
    for (const Level& level : levels)
      if (std::string(level.name) == forced) wanted = &level;
    require(wanted, "GRAFT_ISA=", forced, " is no instruction set; known are ", known);
    if (!wanted->present) throw Error(GRAFT_UNAVAILABLE, text("GRAFT_ISA=", forced, ": this processor has only ", present));
    best = wanted;
    // Refused only where oneDNN already made code in this process, for the same choice then.
    dnnl::set_max_cpu_isa(best->limit);
  }
  Choice choice{};
  best->fill(choice.simd);
  choice.bf16 = best->limit == dnnl::cpu_isa::isa_default && best->present && levels[3].present;
  return choice;
}

const Choice& choice() {
  static const Choice made = choose();
  return made;
}

}  // namespace

const Simd& simd() { return choice().simd; }
bool has_bf16() { return choice().bf16; }

}  // namespace graft::cpu
