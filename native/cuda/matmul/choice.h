// Which kernel makes a product. Candidates in order; the plan, else the device, else the environment says which are let in and whether
// they are measured (core/product_choice.h; here by the environment's names):
//   GRAFT_MATMUL=own|vendor|auto  own: kernels of this library alone. vendor: cuBLASLt, an error where there is none. auto, which holds
//                                 without it: cuBLASLt where it is found, and own kernels that passed their checks on such a device
//                                 (recorded.h);
//                                 others only where there is no kernel else, which a line on stderr says
//   GRAFT_TUNING=FILE             candidates that are let in are measured once per device, libraries and shape; the file keeps the
//                                 choice and a run that has the file repeats it. Without it the first that fits is taken
// Own tensor-core kernels must agree with the first of them on the very shape, or they are dropped with a line on stderr.
#pragma once
#include <algorithm>
#include <string>
#include <vector>

#include "matmul/product.h"
#include "matmul/recorded.h"
#include "matmul/tuning.h"

namespace graft::cuda {

struct Candidate {
  enum class Kind { Vendor, Tensor, Simt };  // Tensor: an own kernel that uses tensor cores
  std::string name;
  Kind kind;
  std::vector<int> recorded;  // compute capabilities on which its checks passed; of own tensor-core kernels alone
  bool aligned;   // its operands are aligned to 16 bytes; where a run's are not another kernel stands in
  std::function<std::unique_ptr<Kernel>(const Device&, const ProductRequest&)> make;
};

struct ChoiceSettings {
  MatmulPolicy policy = MatmulPolicy::Auto;
  std::string tuning;  // a path, or empty
  F32Product f32 = F32Product::Exact;
};
// What holds on the calling thread for products of this device. Throws INVALID_ARGUMENT that names a variable with a wrong word.
ChoiceSettings choice_settings(const Device& device);

// A line on stderr, the same one once in a process.
void print_once(const std::string& line);

// While it lives, what a plan says goes before the device's on the calling thread.
class PlanChoice {
 public:
  explicit PlanChoice(const ProductChoice* choice);
  ~PlanChoice();
  PlanChoice(const PlanChoice&) = delete;
  PlanChoice& operator=(const PlanChoice&) = delete;

 private:
  const ProductChoice* before_;
};

// Whether an own tensor-core kernel of recorded.h may be taken before one that uses none.
bool admits_own(const Device& device, const std::string& kernel);

// Of a key in a tuning file: the device, its driver and the library with its version.
std::string machine_text(const Device& device, const std::string& library);

// The product's key in a tuning file, without device and libraries: types, sizes, layout, epilogue.
std::string product_text(const ProductRequest& request);

// `log` takes a line of text for each candidate that was dropped, and where a policy cannot be kept.
std::unique_ptr<Kernel> choose_product(const Device& device, const ProductRequest& request, const std::vector<Candidate>& candidates, const ChoiceSettings& settings,
                                       const std::string& machine, const std::function<void(const std::string&)>& log);

}  // namespace graft::cuda
