// Which own tensor-core kernels have passed their checks on which GPUs. A kernel that is not listed for the compute capability of a device
// is taken there only with graft.matmul=own, or where no other kernel does the work. docs/kernels.md says what it takes to add a number.
#pragma once
#include <map>
#include <string>
#include <vector>

namespace graft::cuda {

// Compute capabilities, 10 * major + minor.
inline const std::vector<int>& recorded_on(const std::string& kernel) {
  static const std::map<std::string, std::vector<int>> table = {
      {"wgmma", {}},
      {"mma", {}},
      {"tf32", {}},
      {"parts", {}},
      {"attention", {}},
  };
  static const std::vector<int> none;
  auto it = table.find(kernel);
  return it == table.end() ? none : it->second;
}

}  // namespace graft::cuda
