// The weight of a product: in the primitive's own layout. Given plain it is brought there on each run, in scratch memory.
#pragma once
#include "onednn.h"

namespace graft::cpu {

class WeightOperand {
 public:
  // Input 1 of the request.
  WeightOperand(const Request& r, WeightForm form, const Desc& wanted) : form_(form), desc_(wanted), packed_(r.weights_may_pack) {
    Desc plain = plain_view(r.inputs[1].shape, r.inputs[1].dtype, form, wanted);
    plain_spec_ = {r.inputs[1].dtype, "", r.inputs[1].bytes()};
    if (plain == wanted) {
      plain_ = true;
      return;
    }
    if (packed_) return;
    reorder_ = prepared_reorder(plain, wanted, false);
    scratch_bytes_ = aligned(wanted.get_size()) + aligned(reorder_->scratch_bytes());
  }
  size_t scratch_bytes() const { return scratch_bytes_; }
  void* bring(void* given, char* scratch) const {
    if (!reorder_) return given;
    reorder_->run({given, scratch, scratch + aligned(desc_.get_size())});
    return scratch;
  }
  PackSpec pack() const { return packed_ && !plain_ ? pack_spec(form_, desc_) : plain_spec_; }

 private:
  WeightForm form_;
  Desc desc_;
  PackSpec plain_spec_;
  bool packed_, plain_ = false;
  std::unique_ptr<Prepared> reorder_;
  size_t scratch_bytes_ = 0;
};

}  // namespace graft::cpu
