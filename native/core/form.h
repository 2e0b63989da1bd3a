// A derived form of parameters that plans borrow: a plain F32 copy, a packed copy in a kernel's layout, or a weight with a
// frozen batch norm folded in. Built from the truth of its sources and rebuilt when that changed.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "buffer.h"

namespace graft {

class Params;

struct FormSpec {
  enum class Kind { Plain, Packed, Folded };
  Kind kind = Kind::Plain;
  std::vector<int> sources;  // Plain, Packed: the parameter. Folded: weight, bias or -1, gamma, beta, mean, variance
  PackSpec pack;             // layout of the weight
  double eps = 0;            // of the folded norm
  std::string key(const Params& params) const;
  // Bytes held: weight and, for Folded, the bias behind it.
  size_t bytes(const Params& params) const;
};

class Form {
 public:
  // Prepares the kernels; memory is taken by the first build.
  Form(Params& params, FormSpec spec);
  bool stale(const Params& params) const;
  // On a lane, under the parameter store's writer lock.
  void build(Params& params);
  // Output 0 is the weight, 1 the folded bias.
  void* address(int output) const { return output == 0 ? memory_.at(0) : memory_.at(bias_offset_); }
  size_t bytes() const { return bytes_; }
  const FormSpec& spec() const { return spec_; }

 private:
  FormSpec spec_;
  size_t bytes_, bias_offset_ = 0;
  Buffer memory_;
  std::unique_ptr<Kernel> fold_, pack_;
  std::vector<uint64_t> built_from_;
};

}  // namespace graft
