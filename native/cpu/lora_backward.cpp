// lora_linear backward. One walk over blocks of rows gives dt = factor dy b, the sums for da = dt^T z and db = factor dy^T t, and
// dx = dy w + dt a: dy, z and dx pass through a core's cache once. The product comes first: it hides the time that dy takes to arrive
// from memory. Gradients of the weight and the bias, where wanted, are the linear layer's.
//
// Sums over rows: the blocks lie in parts that depend on the sizes alone; each part has its own sums for each adapter that its rows
// name, and the parts' sums are added in order. So they are the same for any number of threads and any order of the adapters.
#include "low_rank.h"

namespace graft::cpu {
namespace {

class LoraBackward : public Kernel {
 public:
  explicit LoraBackward(const Request& r)
      : z_(r), dx_(mode_of(r, kX)), dz_(mode_of(r, kZ)), da_(mode_of(r, kA)), db_(mode_of(r, kB)), dscales_(mode_of(r, kScales)),
        factors_(z_, leads() ? Factor::B : Factor::None, leads_back() ? Factor::A : Factor::None), upward_(z_) {
    if (wanted(dx_)) {
      in_place_ = r.inputs[kX].dtype == DType::F32 && dx_ == GradMode::Overwrite;
      // Without a branch that reads x the product stores dx itself.
      const bool own = !z_.separate || dx_ == GradMode::Accumulate;
      product_ = std::make_unique<BlockProduct>(r, z_, WeightForm::Rows, z_.out, z_.in, false, own ? DType::F32 : r.inputs[kX].dtype);
      direct_ = !own || in_place_;
      if (!direct_) block_bytes_ = aligned(4 * static_cast<size_t>(z_.per_block * z_.in));
    }
    if (wants(r, kWeight) || wants(r, kBias)) {
      Request base = r;
      base.modes.assign(r.modes.size(), GradMode::Ignore);
      base.modes[kWeight] = mode_of(r, kWeight);
      base.modes[kBias] = mode_of(r, kBias);
      base_ = make_linear(base);
    }
    cut_parts();
    a_spec_ = {r.inputs[kA].dtype, "", r.inputs[kA].bytes()};
    b_spec_ = {r.inputs[kB].dtype, "", r.inputs[kB].bytes()};
  }

  void run(const Args& a) const override {
    if (base_) base_->run(a);
    if (!product_ && !leads() && !wanted(db_)) return;
    Cut cut(a.scratch);
    Walk w{a, factors_.bring(a.in, cut.take<char>(static_cast<int64_t>(factors_.scratch_bytes())))};
    if (product_) w.weight = product_->weight().bring(a.in[kWeight], cut.take<char>(static_cast<int64_t>(product_->weight().scratch_bytes())));
    w.ids = cut.take<int32_t>(parts_ * slots_);
    w.scales = cut.take<double>(parts_ * slots_);
    w.sums = cut.take<float>(parts_ * slots_ * slot_);
    char* own = static_cast<char*>(cut.rest());
    std::fill_n(w.ids, parts_ * slots_, -1);
    over_team(z_.threads, parts_, [&](int64_t part, int thread) {
      for (int64_t block = z_.blocks * part / parts_; block < z_.blocks * (part + 1) / parts_; block++)
        run_block(w, part, block, own + static_cast<size_t>(thread) * thread_bytes());
    });
    if (slots_) finish(w);
  }

  std::string name() const override {
    std::string s = text("own:low_rank:", simd().name);
    if (product_) s = text("onednn:", product_->implementation(), "+", s);
    return base_ ? s + "+" + base_->name() : s;
  }
  size_t scratch_bytes() const override {
    size_t bytes = aligned(factors_.scratch_bytes()) + (product_ ? aligned(product_->weight().scratch_bytes()) : 0);
    const size_t all = static_cast<size_t>(parts_ * slots_);
    bytes += aligned(4 * all) + aligned(8 * all) + aligned(4 * all * static_cast<size_t>(slot_)) + static_cast<size_t>(z_.threads) * thread_bytes();
    return std::max(bytes, base_ ? base_->scratch_bytes() : 0);
  }
  PackSpec pack(size_t i) const override {
    if (i == kWeight) return product_ ? product_->weight().pack() : PackSpec{};
    return i == kA ? a_spec_ : i == kB ? b_spec_ : PackSpec{};
  }

 private:
  // A run's addresses.
  struct Walk {
    const Args& args;
    LowRankFactors::Addresses factors;
    void* weight = nullptr;
    int32_t* ids = nullptr;    // [parts][slots] adapter of each of a part's sums, -1: none yet
    double* scales = nullptr;  // [parts][slots] sum of t * dt before the scale
    float* sums = nullptr;     // [parts][slots][slot]: da [pairs][in], then db [slices][rank][width]
  };

  static bool wanted(GradMode mode) { return mode != GradMode::Ignore; }
  using Factor = LowRankFactors::Factor;
  // Whether the gradient of what the branch reads is wanted.
  bool leads_back() const { return wanted(dz_) || (wanted(dx_) && !z_.separate); }
  // Whether the gradient of t is needed.
  bool leads() const { return wanted(da_) || wanted(dscales_) || leads_back(); }
  bool reduces() const { return wanted(da_) || wanted(db_) || wanted(dscales_); }
  int64_t a_floats() const { return wanted(da_) ? z_.pairs * z_.in : 0; }
  int64_t b_floats() const { return wanted(db_) ? z_.pairs * z_.width : 0; }
  size_t dt_bytes() const { return aligned(4 * static_cast<size_t>(z_.per_block * z_.pairs)); }
  size_t thread_bytes() const { return dt_bytes() + upward_.scratch_bytes() + block_bytes_ + (product_ ? product_->scratch_bytes() : 0); }

  // As many parts as blocks, up to a bound, while their sums take little memory.
  void cut_parts() {
    constexpr int64_t kMostParts = 32, kLeastParts = 4, kFloats = int64_t{4} << 20;
    slot_ = a_floats() + b_floats();
    parts_ = 1;
    auto adapters_of_part = [&](int64_t parts) {
      const int64_t rows = ((z_.blocks + parts - 1) / parts) * z_.per_block;
      return reduces() ? std::min(z_.adapters, (rows + z_.rows_per_sample - 1) / z_.rows_per_sample + 1) : 0;
    };
    while (2 * parts_ <= std::min(kMostParts, z_.blocks) &&
           (parts_ < kLeastParts || 2 * parts_ * adapters_of_part(2 * parts_) * slot_ <= kFloats)) parts_ *= 2;
    slots_ = adapters_of_part(parts_);
  }

  void run_block(const Walk& w, int64_t part, int64_t block, char* own) const {
    const int64_t first = z_.begin(block), end = z_.begin(block + 1);
    float* dt = reinterpret_cast<float*>(own);
    char *upward = own + dt_bytes(), *block_base = upward + upward_.scratch_bytes(), *scratch = block_base + block_bytes_;
    void* base = direct_ ? z_.at(w.args.din[kX], first, z_.in) : block_base;
    if (product_) product_->run(end - first, z_.at(w.args.dout, first, z_.out), w.weight, nullptr, base, scratch);
    z_.over_runs(w.args.in[kAdapter], first, end, [&](int64_t row, int64_t rows, int64_t adapter) {
      float* here = dt + (row - first) * z_.pairs;
      if (adapter < 0) return static_cast<void>(std::fill_n(here, rows * z_.pairs, 0.f));
      const int64_t slot = reduces() ? slot_of(w, part, adapter) : 0;
      if (leads()) gradient_of_t(w, row, rows, adapter, here, w.scales + slot);
      if (wanted(db_)) sum_b(w, row, rows, w.sums + slot * slot_ + a_floats());
      if (wanted(da_))
        simd().low_rank_gradient({z_.type, z_.at(w.args.in[z_.separate ? kZ : kX], row, z_.in), z_.in, rows, z_.in, z_.pairs, here, z_.pairs,
                                  w.sums + slot * slot_, z_.in, false});
    });
    const void* t = leads_back() ? upward_.bring(dt, end - first, upward) : nullptr;
    if (product_ && !(direct_ && z_.separate)) add(w, first, end, static_cast<const float*>(base), t, w.args.din[kX], dx_, !z_.separate);
    if (wanted(dz_)) add(w, first, end, nullptr, t, w.args.din[kZ], dz_, true);
  }

  // The part's sums for this adapter, cleared where they are new.
  int64_t slot_of(const Walk& w, int64_t part, int64_t adapter) const {
    int64_t slot = part * slots_;
    while (w.ids[slot] >= 0 && w.ids[slot] != adapter) slot++;
    if (w.ids[slot] == adapter) return slot;
    w.ids[slot] = static_cast<int32_t>(adapter);
    w.scales[slot] = 0;
    std::fill_n(w.sums + slot * slot_, slot_, 0.f);
    return slot;
  }

  void gradient_of_t(const Walk& w, int64_t row, int64_t rows, int64_t adapter, float* dt, double* scale) const {
    for (const LowRankSizes::Segment& s : z_.segments)
      if (s.slice >= 0)
        simd().low_rank_down({z_.type, z_.at(w.args.dout, row, z_.out, s.start), z_.out, rows, z_.width, z_.rank,
                              factors_.down(w.factors, adapter * z_.slices + s.slice), z_.width, dt + s.slice * z_.rank, z_.pairs});
    if (wanted(dscales_)) {
      const float* t = static_cast<const float*>(w.args.out[1]) + row * z_.pairs;
      for (int64_t i = 0; i < rows * z_.pairs; i++) *scale += static_cast<double>(t[i]) * dt[i];
    }
    const float factor = z_.factor_of(w.args.in, adapter);
    for (int64_t i = 0; i < rows * z_.pairs; i++) dt[i] *= factor;
  }

  void sum_b(const Walk& w, int64_t row, int64_t rows, float* sums) const {
    for (const LowRankSizes::Segment& s : z_.segments)
      if (s.slice >= 0)
        simd().low_rank_gradient({z_.type, z_.at(w.args.dout, row, z_.out, s.start), z_.out, rows, z_.width, z_.rank,
                                  static_cast<const float*>(w.args.out[1]) + row * z_.pairs + s.slice * z_.rank, z_.pairs,
                                  sums + s.slice * z_.rank * z_.width, z_.width, true});
  }

  // to (+)= base + dt a, for the rows of a block.
  void add(const Walk& w, int64_t first, int64_t end, const float* base, const void* dt, void* to, GradMode mode, bool branch) const {
    z_.over_runs(w.args.in[kAdapter], first, end, [&](int64_t row, int64_t rows, int64_t adapter) {
      if (adapter < 0 && base && direct_) return;
      LowRankAdd call{};
      call.rows = rows;
      call.columns = call.u_step = call.base_step = call.out_step = z_.in;
      if (branch && adapter >= 0) {
        call.rank = z_.pairs;
        call.t = upward_.at(dt, row - first);
        call.t_step = upward_.step();
        call.u = factors_.up(w.factors, adapter);
      }
      call.factor = 1;
      call.base = base ? base + (row - first) * z_.in : nullptr;
      call.type = z_.type;
      call.out = z_.at(to, row, z_.in);
      if (mode == GradMode::Accumulate) call.residual = call.out;
      simd().low_rank_add(call);
    });
  }

  // Adds the parts' sums in order.
  void finish(const Walk& w) const {
    auto over_slots = [&](int64_t adapter, auto&& f) {
      for (int64_t slot = 0; slot < parts_ * slots_; slot++)
        if (w.ids[slot] == adapter) f(slot);
    };
    if (wanted(da_))
      over_team(z_.threads, z_.adapters * z_.pairs, [&](int64_t row, int) {
        float* to = static_cast<float*>(w.args.din[kA]) + row * z_.in;
        if (da_ == GradMode::Overwrite) std::fill_n(to, z_.in, 0.f);
        over_slots(row / z_.pairs, [&](int64_t slot) { add_up(w.sums + slot * slot_ + row % z_.pairs * z_.in, to, z_.in); });
      });
    if (wanted(db_))
      over_team(z_.threads, z_.adapters * z_.pairs, [&](int64_t row, int) {
        const int64_t adapter = row / z_.pairs, j = row % z_.pairs, slice = j / z_.rank;
        float* to = static_cast<float*>(w.args.din[kB]) + (adapter * z_.slices + slice) * z_.width * z_.rank + j % z_.rank;
        if (db_ == GradMode::Overwrite)
          for (int64_t n = 0; n < z_.width; n++) to[n * z_.rank] = 0;
        float* whole = nullptr;  // the first part's sums take up the others'
        over_slots(adapter, [&](int64_t slot) {
          float* sums = w.sums + slot * slot_ + a_floats() + j * z_.width;
          if (whole) add_up(sums, whole, z_.width);
          else whole = sums;
        });
        const float factor = whole ? z_.factor_of(w.args.in, adapter) : 0;
        for (int64_t n = 0; whole && n < z_.width; n++) to[n * z_.rank] += factor * whole[n];
      });
    for (int64_t g = 0; wanted(dscales_) && g < z_.adapters; g++) {
      double sum = 0;
      over_slots(g, [&](int64_t slot) { sum += w.scales[slot]; });
      float& to = static_cast<float*>(w.args.din[kScales])[g];
      to = static_cast<float>((dscales_ == GradMode::Accumulate ? to : 0) + z_.factor * sum);
    }
  }
  static void add_up(const float* from, float* to, int64_t n) {
    simd().scale(Store::F32, from, to, 1, 0, n, true);
  }

  LowRankSizes z_;
  GradMode dx_, dz_, da_, db_, dscales_;
  LowRankFactors factors_;
  UpwardT upward_;
  std::unique_ptr<BlockProduct> product_;
  std::unique_ptr<Kernel> base_;
  bool in_place_ = false, direct_ = false;  // direct: the product stores into dx itself
  size_t block_bytes_ = 0;
  int64_t parts_ = 1, slots_ = 0, slot_ = 0;  // sums: parts, of each at most so many adapters, floats of one
  PackSpec a_spec_, b_spec_;
};

}  // namespace

std::unique_ptr<Kernel> make_lora_backward(const Request& r) { return std::make_unique<LoraBackward>(r); }

}  // namespace graft::cpu
