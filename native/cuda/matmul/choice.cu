#include "matmul/choice.h"

#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <set>

#include "matmul/trial.h"
#include "vendor/cublaslt.h"

namespace graft::cuda {
namespace {

using Kind = Candidate::Kind;

constexpr uintptr_t kAlignment = 16;  // bytes
constexpr int kVendorWays = 4;        // of cuBLASLt, that are measured

// A candidate's kernel, and the one for operands that do not lie as the candidate needs them.
class ChosenProduct : public Kernel {
 public:
  ChosenProduct(const ProductRequest& r, std::unique_ptr<Kernel> kernel, std::unique_ptr<Kernel> unaligned)
      : second_(r.k2 > 0), saves_(r.saves), kernel_(std::move(kernel)), unaligned_(std::move(unaligned)) {}
  void run(const Args& args) const override {
    const bool fits = aligned(args.in[0], args.in[1], args.in[2], args.out[0], args.residual) && (!second_ || aligned(args.in[4], args.in[5])) &&
                      (!saves_ || aligned(args.out[1]));
    (fits ? kernel_ : unaligned_)->run(args);
  }
  std::string name() const override { return kernel_->name(); }
  size_t scratch_bytes() const override { return std::max(kernel_->scratch_bytes(), unaligned_->scratch_bytes()); }

 private:
  template <class... Addresses>
  static bool aligned(Addresses... address) {
    return ((reinterpret_cast<uintptr_t>(address) % kAlignment == 0) && ...);
  }
  bool second_, saves_;
  std::unique_ptr<Kernel> kernel_, unaligned_;
};

struct Made {
  const Candidate* candidate;
  std::unique_ptr<Kernel> kernel;
};

const ProductChoice*& plan_choice() {
  static thread_local const ProductChoice* choice = nullptr;
  return choice;
}

bool contains(const std::vector<int>& capabilities, const Device& device) { return std::find(capabilities.begin(), capabilities.end(), device.capability) != capabilities.end(); }

bool admitted(const Candidate& c, MatmulPolicy policy, const Device& device) {
  if (c.kind == Kind::Simt) return true;
  if (policy == MatmulPolicy::Own) return c.kind == Kind::Tensor;
  return c.kind == Kind::Vendor || (policy == MatmulPolicy::Auto && contains(c.recorded, device));
}

// Whether a kernel of this name uses what is permitted of F32 products.
bool uses(F32Product permitted, const Candidate& c, const std::string& name) {
  if (permitted == F32Product::Tf32) return c.kind == Kind::Vendor || name.find("tf32") != std::string::npos;
  return permitted == F32Product::Exact || name.find("bf16x") != std::string::npos;
}

// Tensor-core kernels must agree with the last of them in the candidates' order, the simplest; it agrees with itself.
void drop_disagreeing(std::vector<Made>& made, std::unique_ptr<Trial>& trial, const Device& device, const ProductRequest& r, const std::function<void(const std::string&)>& log) {
  const Kernel* judge = nullptr;
  int tensor = 0;
  for (const Made& m : made)
    if (m.candidate->kind == Kind::Tensor) judge = m.kernel.get(), tensor++;
  if (tensor < 2) return;
  try {
    trial = std::make_unique<Trial>(device, r);
    trial->expect(*judge);
  } catch (const Error& e) {
    if (e.status() != GRAFT_OUT_OF_MEMORY) throw;
    trial.reset();
  }
  for (size_t i = 0; i < made.size();) {
    const Made& m = made[i];
    if (m.candidate->kind != Kind::Tensor || m.kernel.get() == judge) {
      i++;
      continue;
    }
    const unsigned long long far = trial ? trial->disagreements(*m.kernel) : 0;
    if (trial && far == 0) {
      i++;
      continue;
    }
    log(trial ? text("product ", product_text(r), ": ", m.candidate->name, " is dropped: ", far, " results are not those of ", judge->name())
              : text("product ", product_text(r), ": ", m.candidate->name, " is dropped: no room to compare it with ", judge->name()));
    made.erase(made.begin() + static_cast<std::ptrdiff_t>(i));
  }
}

// What the tuning file says, else what is fastest now.
size_t tuned(std::vector<Made>& made, std::unique_ptr<Trial>& trial, const Device& device, const ProductRequest& r, const ChoiceSettings& settings, const std::string& machine,
             const std::function<void(const std::string&)>& log) {
  std::string key = text(machine, "; ");
  for (const Made& m : made) key += text(m.candidate->name, " ");
  key += "; " + product_text(r);
  Tuning& file = tuning_file(settings.tuning);
  const std::string before = file.find(key);
  for (size_t i = 0; i < made.size(); i++)
    if (made[i].candidate->name == before) return i;
  try {
    if (!trial) trial = std::make_unique<Trial>(device, r);
  } catch (const Error& e) {
    if (e.status() != GRAFT_OUT_OF_MEMORY) throw;
    log(text("product ", product_text(r), ": ", made[0].candidate->name, " is taken unmeasured: ", e.what()));
    return 0;
  }
  size_t best = 0;
  double least = 0;
  for (size_t i = 0; i < made.size(); i++) {
    const double time = trial->microseconds(*made[i].kernel);
    if (i == 0 || time < least) best = i, least = time;
  }
  file.remember(key, made[best].candidate->name, least);
  return best;
}

}  // namespace

std::string machine_text(const Device& device, const std::string& library) {
  cudaDeviceProp properties;
  check(cudaGetDeviceProperties(&properties, device.number), "asking for the device's properties");
  int driver = 0;
  check(cudaDriverGetVersion(&driver), "asking for the driver's version");
  return text(properties.name, "; driver ", driver, "; ", library);
}

void print_once(const std::string& line) {
  static std::mutex mutex;
  static auto& printed = *new std::set<std::string>;
  std::lock_guard<std::mutex> hold(mutex);
  if (printed.insert(line).second) std::fprintf(stderr, "graft: %s\n", line.c_str());
}

ChoiceSettings choice_settings(const Device& device) {
  ProductChoice all;
  for (auto [key, variable] : {std::pair<const char*, const char*>{"matmul", "GRAFT_MATMUL"}, {"f32_products", "GRAFT_F32_PRODUCTS"}, {"tuning", "GRAFT_TUNING"}})
    if (const char* word = std::getenv(variable); word && *word) all.set(key, word, variable);
  all = device.choice.over(all);
  if (plan_choice()) all = plan_choice()->over(all);
  return {all.matmul.value_or(MatmulPolicy::Auto), all.tuning.value_or(""), all.f32.value_or(F32Product::Exact)};
}

F32Product permitted_f32(const Device& device) { return choice_settings(device).f32; }

PlanChoice::PlanChoice(const ProductChoice* choice) : before_(plan_choice()) { plan_choice() = choice; }
PlanChoice::~PlanChoice() { plan_choice() = before_; }

bool admits_own(const Device& device, const std::string& kernel) {
  const MatmulPolicy policy = choice_settings(device).policy;
  return policy == MatmulPolicy::Own || (policy == MatmulPolicy::Auto && contains(recorded_on(kernel), device));
}

std::string product_text(const ProductRequest& r) {
  const auto steps = [](const ProductRequest::Matrix& x) { return text(x.row, ",", x.column, ",", x.step); };
  std::string all = text(name_of(r.type), " ", name_of(r.result), " ", r.batch, "x", r.m, "x", r.n, "x", r.k, " a ", steps(r.a), " b ", steps(r.b), " c ", steps(r.c));
  if (r.k2 > 0) all += text(" second ", r.k2, " a ", steps(r.a2), " b ", steps(r.b2));
  if (r.times != 1) all += " times";
  if (r.f32 != F32Product::Exact) all += text(" f32 ", static_cast<int>(r.f32));
  if (r.saves) all += " saves";
  if (r.bias) all += " bias";
  if (r.scaled) all += " scaled";
  if (r.accumulate) all += " accumulate";
  if (r.epilogue.residual) all += " residual";
  if (r.epilogue.activation != Activation::None) all += text(" activation ", static_cast<int>(r.epilogue.activation));
  return all;
}

std::unique_ptr<Kernel> choose_product(const Device& device, const ProductRequest& r, const std::vector<Candidate>& candidates, const ChoiceSettings& settings,
                                       const std::string& machine, const std::function<void(const std::string&)>& log) {
  std::vector<Made> made;
  bool vendor = false;
  for (const Candidate& c : candidates)
    if (admitted(c, settings.policy, device))
      if (auto kernel = c.make(device, r)) {
        vendor = vendor || c.kind == Kind::Vendor;
        made.push_back({&c, std::move(kernel)});
      }
  if (made.empty()) {
    for (const Candidate& c : candidates)
      if (c.kind == Kind::Tensor && made.empty())
        if (auto kernel = c.make(device, r)) made.push_back({&c, std::move(kernel)});
    if (made.empty()) return nullptr;
    log(text("product ", product_text(r), ": ", made[0].kernel->name(), " does it, which no device like this one has checked; no other kernel takes it"));
  }
  if (settings.policy == MatmulPolicy::Vendor) {
    if (!vendor) log(text("product ", product_text(r), ": cublaslt does not take it; ", made.back().kernel->name(), " does it"));
    else made.erase(std::find_if(made.begin(), made.end(), [](const Made& m) { return m.candidate->kind != Kind::Vendor; }), made.end());
  }
  std::unique_ptr<Trial> trial;
  drop_disagreeing(made, trial, device, r, log);
  const size_t best = made.size() > 1 && !settings.tuning.empty() ? tuned(made, trial, device, r, settings, machine, log) : 0;
  if (const std::string name = made[best].kernel->name(); r.type == DType::F32 && !uses(r.f32, *made[best].candidate, name))
    log(text("F32 products may be made by ", name_of(r.f32), ", but ", name, " makes them exactly",
             settings.policy == MatmulPolicy::Own ? "" : "; graft.matmul=own lets in kernels for it that no device like this one has checked"));
  if (!made[best].candidate->aligned) return std::move(made[best].kernel);
  std::unique_ptr<Kernel> unaligned;
  for (auto c = candidates.rbegin(); c != candidates.rend() && !unaligned; ++c)
    if (!c->aligned) unaligned = c->make(device, r);
  if (!unaligned) return nullptr;
  return std::make_unique<ChosenProduct>(r, std::move(made[best].kernel), std::move(unaligned));
}

std::unique_ptr<Kernel> make_product(const Device& device, const ProductRequest& r) {
  const auto vendor = [](int rank) {
    return Candidate{rank ? text("cublaslt", rank + 1) : "cublaslt", Kind::Vendor, {}, true,
                     [rank](const Device& d, const ProductRequest& request) { return make_cublaslt_product(d, request, rank); }};
  };
  static const std::vector<Candidate> others = {
      {"wgmma", Kind::Tensor, recorded_on("wgmma"), true, make_wgmma_product},
      {"mma", Kind::Tensor, recorded_on("mma"), false, make_mma_product},
      {"tf32", Kind::Tensor, recorded_on("tf32"), false, make_tf32_product},  // this and the next take F32 alone, each where it is permitted
      {"parts", Kind::Tensor, recorded_on("parts"), false, make_parts_product},
      {"simt", Kind::Simt, {}, false, make_simt_product},
  };
  const ChoiceSettings settings = choice_settings(device);
  std::string reason;
  const CublasLt* lt = settings.policy == MatmulPolicy::Own ? nullptr : cublaslt(device, &reason);
  if (!lt && settings.policy == MatmulPolicy::Vendor) throw Error(GRAFT_UNAVAILABLE, text("graft.matmul=vendor: ", reason));
  if (!lt && settings.policy == MatmulPolicy::Auto) print_once(text("own kernels make the products: ", reason));
  std::vector<Candidate> candidates;
  for (int rank = 0; rank < (settings.tuning.empty() ? 1 : kVendorWays); rank++) candidates.push_back(vendor(rank));
  candidates.insert(candidates.end(), others.begin(), others.end());
  return choose_product(device, r, candidates, settings, settings.tuning.empty() ? "" : machine_text(device, text("cublaslt ", lt ? lt->version : "none")), print_once);
}

}  // namespace graft::cuda
