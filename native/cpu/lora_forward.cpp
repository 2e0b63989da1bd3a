// lora_linear forward, block by block: y = x w^T + bias into F32, then t = z a^T, then the update added and the epilogue applied as y is
// stored, rounded once. The product comes first: it hides the time that x takes to arrive from memory.
#include <limits>

#include "low_rank.h"

namespace graft::cpu {
namespace {

class LoraForward : public Kernel {
 public:
  explicit LoraForward(const Request& r)
      : z_(r), factors_(z_, Factor::A, Factor::B), upward_(z_),
        product_(r, z_, WeightForm::Columns, z_.in, z_.out, r.call().has(kBias), DType::F32), tail_(tail_of(r.epilogue)),
        in_place_(r.outputs[0].dtype == DType::F32), residual_(r.epilogue.residual), stored_(!in_place_ || r.epilogue.any()) {
    a_ = {r.inputs[kA].dtype, "", r.inputs[kA].bytes()};
    b_ = {r.inputs[kB].dtype, "", r.inputs[kB].bytes()};
  }
  void run(const Args& a) const override {
    Cut cut(a.scratch);
    char* given = cut.take<char>(static_cast<int64_t>(product_.weight().scratch_bytes()));
    void* weight = product_.weight().bring(a.in[kWeight], given);
    const LowRankFactors::Addresses factors = factors_.bring(a.in, cut.take<char>(static_cast<int64_t>(factors_.scratch_bytes())));
    char* own = static_cast<char*>(cut.rest());
    over_team(z_.threads, z_.blocks, [&](int64_t block, int thread) {
      const int64_t row = z_.begin(block), rows = z_.begin(block + 1) - row;
      char* scratch = own + static_cast<size_t>(thread) * thread_bytes();
      float* base = reinterpret_cast<float*>(in_place_ ? z_.at(a.out[0], row, z_.out) : scratch + product_.scratch_bytes());
      product_.run(rows, z_.at(a.in[kX], row, z_.in), weight, a.in[kBias], base, scratch);
      down(a, factors, row, rows);
      const float* t = static_cast<const float*>(a.out[1]) + row * z_.pairs;
      add(a, factors, upward_.bring(t, rows, scratch + product_.scratch_bytes() + base_bytes()), base, row, rows);
    });
  }
  std::string name() const override { return text("onednn:", product_.implementation(), "+own:low_rank:", simd().name); }
  size_t scratch_bytes() const override {
    return aligned(product_.weight().scratch_bytes()) + aligned(factors_.scratch_bytes()) + static_cast<size_t>(z_.threads) * thread_bytes();
  }
  PackSpec pack(size_t i) const override { return i == kWeight ? product_.weight().pack() : i == kA ? a_ : i == kB ? b_ : PackSpec{}; }

 private:
  using Factor = LowRankFactors::Factor;
  size_t base_bytes() const { return in_place_ ? 0 : aligned(4 * static_cast<size_t>(z_.per_block * z_.out)); }
  size_t thread_bytes() const { return product_.scratch_bytes() + base_bytes() + upward_.scratch_bytes(); }

  void down(const Args& args, const LowRankFactors::Addresses& factors, int64_t first, int64_t count) const {
    void* from = args.in[z_.separate ? kZ : kX];
    float* t = static_cast<float*>(args.out[1]);
    z_.over_runs(args.in[kAdapter], first, first + count, [&](int64_t row, int64_t rows, int64_t adapter) {
      if (adapter < 0) return static_cast<void>(std::fill_n(t + row * z_.pairs, rows * z_.pairs, 0.f));
      simd().low_rank_down({z_.type, z_.at(from, row, z_.in), z_.in, rows, z_.in, z_.pairs, factors_.down(factors, adapter), z_.in,
                            t + row * z_.pairs, z_.pairs});
    });
  }

  void add(const Args& args, const LowRankFactors::Addresses& factors, const void* t, const float* base, int64_t first, int64_t count) const {
    z_.over_runs(args.in[kAdapter], first, first + count, [&](int64_t row, int64_t rows, int64_t adapter) {
      for (const LowRankSizes::Segment& s : z_.segments) {
        const bool updated = adapter >= 0 && s.slice >= 0;
        if (!updated && !stored_ && adapter != LowRankSizes::kInvalid) continue;
        LowRankAdd call{};
        call.rows = rows;
        call.columns = s.width;
        if (updated) {
          call.rank = z_.rank;
          call.t = upward_.at(t, row - first, s.slice * z_.rank);
          call.t_step = upward_.step();
          call.u = factors_.up(factors, adapter * z_.slices + s.slice);
          call.u_step = z_.width;
          call.factor = z_.factor_of(args.in, adapter);
        } else if (adapter == LowRankSizes::kInvalid) {
          call.factor = std::numeric_limits<float>::quiet_NaN();
        }
        call.base = base + (row - first) * z_.out + s.start;
        call.base_step = call.out_step = z_.out;
        call.type = z_.type;
        call.out = z_.at(args.out[0], row, z_.out, s.start);
        if (residual_) call.residual = z_.at(args.residual, row, z_.out, s.start);
        call.tail = tail_;
        simd().low_rank_add(call);
      }
    });
  }

  LowRankSizes z_;
  LowRankFactors factors_;
  UpwardT upward_;
  BlockProduct product_;
  Tail tail_;
  bool in_place_, residual_, stored_;  // stored: the own kernel stores every element
  PackSpec a_, b_;
};

}  // namespace

std::unique_ptr<Kernel> make_lora_forward(const Request& r) { return std::make_unique<LoraForward>(r); }

}  // namespace graft::cpu
