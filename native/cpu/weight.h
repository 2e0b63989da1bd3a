// The weight of a product: in the primitive's own layout. Given plain it is brought there on each run, in scratch memory; so is a
// frozen one of a linear layer on the way back, out of the layout of the way there: it is held once.
#pragma once
#include "onednn.h"

namespace graft::cpu {

class WeightOperand {
 public:
  // Input 1 of the request, which `rows` rows are multiplied with; 0: unknown.
  WeightOperand(const Request& r, WeightForm form, const Desc& wanted, int64_t rows = 0) : form_(form), desc_(wanted), packed_(r.weights_may_pack) {
    Desc plain = plain_view(r.inputs[1].shape, r.inputs[1].dtype, form, wanted);
    given_ = {r.inputs[1].dtype, "", r.inputs[1].bytes()};
    if (plain == wanted) return;
    if (packed_) {
      given_ = pack_spec(form_, desc_);
      if (form == WeightForm::Rows && rows >= kManyRows) take_other_way(r);
    } else {
      reorder_ = prepared_reorder(plain, wanted, false);
    }
    if (reorder_) scratch_bytes_ = aligned(wanted.get_size()) + aligned(reorder_->scratch_bytes());
  }
  size_t scratch_bytes() const { return scratch_bytes_; }
  void* bring(void* given, char* scratch) const {
    if (!reorder_) return given;
    reorder_->run({given, scratch, scratch + aligned(desc_.get_size())});
    return scratch;
  }
  PackSpec pack() const { return given_; }

 private:
  // With as many, another copy in scratch takes 1 to 3 hundredths of the product's time.
  static constexpr int64_t kManyRows = 512;

  // A constant weight that a step before this one has packed as columns is taken as that, where oneDNN turns it fast.
  void take_other_way(const Request& r) {
    const PackSpec existing = r.preferred.size() > 1 ? r.preferred[1] : PackSpec{};
    if (r.constant.size() < 2 || !r.constant[1] || existing.layout.compare(0, 8, "columns:") != 0 || existing.dtype != given_.dtype) return;
    try {
      auto reorder = prepared_reorder(read_layout(existing.layout).desc.permute_axes({1, 0}), desc_, false);
      if (reorder->implementation().compare(0, 4, "jit:") != 0) return;
      reorder_ = std::move(reorder);
      given_ = existing;
    } catch (const dnnl::error&) {
    }
  }

  WeightForm form_;
  Desc desc_;
  PackSpec given_;
  bool packed_;
  std::unique_ptr<Prepared> reorder_;
  size_t scratch_bytes_ = 0;
};

}  // namespace graft::cpu
