// oneDNN as this column uses it: one engine, prepared primitives whose run() builds nothing, layouts as text.
#pragma once
#include <atomic>
#include <dnnl.hpp>
#include <initializer_list>
#include <memory>
#include <string>
#include <vector>

#include "core/column.h"

namespace graft::cpu {

using Desc = dnnl::memory::desc;
using Dims = dnnl::memory::dims;

const dnnl::engine& engine();
dnnl::memory::data_type type_of(DType type);

// Row-major.
Desc plain_desc(const Shape& shape, DType type);
Desc strided_desc(const Dims& dims, DType type, const Dims& strides);
Desc any_desc(const Dims& dims, DType type);

// How the dimensions of a packed weight lie over its plain form.
enum class WeightForm {
  Filter,   // "filter": OHWI seen as [O,I,H,W], or as [G,O/G,I,H,W]
  Columns,  // "columns": [N,K] seen as [K,N], the right factor of a forward product
  Rows,     // "rows": [N,K] as it is, the right factor of a product with the gradient
};

// Text of a layout: the form's name and oneDNN's serialised descriptor in hexadecimal. Empty where the layout is plain F32.
PackSpec pack_spec(WeightForm form, Desc desc);
struct Packed {
  WeightForm form;
  Desc desc;
};
Packed read_layout(const std::string& layout);
// The plain weight (OHWI or [N,K]) seen with the packed descriptor's dimensions.
Desc plain_view(const Shape& shape, DType type, WeightForm form, const Desc& packed);

// Attributes that every primitive here has: scratch memory comes from the caller.
dnnl::primitive_attr caller_scratch();
dnnl::algorithm algorithm_of(Activation activation);
// Appends residual addition (a tensor like `result`) and activation; returns the index of the residual's post-op or -1.
int append_epilogue(dnnl::post_ops& ops, const Epilogue& epilogue, const Desc& result);
int residual_argument(int index);

// Whether an implementation is one that no caller should end with: plain loops or im2col around a general product.
bool is_slow(const std::string& implementation);

// A primitive with its memory objects. Runs of several threads at once each take a set of memory objects of their own from a
// small pool; a set is made when all are taken, so a warm primitive allocates nothing of its own.
class Prepared {
 public:
  struct Slot {
    int argument;
    Desc desc;
  };
  // The scratchpad's slot is added as the last one.
  Prepared(const dnnl::primitive_desc_base& description, const dnnl::primitive& primitive, std::vector<Slot> slots);
  ~Prepared();
  Prepared(const Prepared&) = delete;
  Prepared& operator=(const Prepared&) = delete;

  // Addresses in the order of the slots, then the scratchpad.
  void run(std::initializer_list<void*> addresses) const { run(addresses.begin(), addresses.size()); }
  void run(void* const* addresses, size_t count) const;
  size_t scratch_bytes() const { return scratch_bytes_; }
  const std::string& implementation() const { return implementation_; }

 private:
  struct Set;
  Set* make_set() const;
  static constexpr int kIdle = 16;
  dnnl::primitive primitive_;
  std::vector<Slot> slots_;
  size_t scratch_bytes_ = 0;
  std::string implementation_;
  mutable std::atomic<Set*> idle_[kIdle] = {};
};

template <class PrimitiveDesc, class Primitive>
std::unique_ptr<Prepared> prepared(const PrimitiveDesc& description, std::vector<Prepared::Slot> slots) {
  return std::make_unique<Prepared>(description, Primitive(description), std::move(slots));
}

// `from` -> `to`, added to what is there when `accumulate`.
std::unique_ptr<Prepared> prepared_reorder(const Desc& from, const Desc& to, bool accumulate);

// Threads that primitives are made for: what the lanes run with, or 1 while the calling thread works alone.
void use_threads(int threads);
int threads();
void begin_alone();
void end_alone() noexcept;
// While it lives, the calling thread makes primitives for threads() threads.
class LaneThreads {
 public:
  LaneThreads();
  ~LaneThreads();

 private:
  int before_;
};

}  // namespace graft::cpu
