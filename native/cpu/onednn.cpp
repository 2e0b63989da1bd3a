#include "onednn.h"

#include <omp.h>

#include <cstring>

namespace graft::cpu {

const dnnl::engine& engine() {
  static const dnnl::engine cpu = [] {
    // A plan keeps its primitives itself; the cache only spares repeated layers and sibling plans their code generation.
    dnnl::set_primitive_cache_capacity(256);
    return dnnl::engine(dnnl::engine::kind::cpu, 0);
  }();
  return cpu;
}

dnnl::memory::data_type type_of(DType type) {
  switch (type) {
    case DType::F32: return dnnl::memory::data_type::f32;
    case DType::BF16: return dnnl::memory::data_type::bf16;
    case DType::F16: return dnnl::memory::data_type::f16;
    default: break;
  }
  throw Error(GRAFT_INTERNAL, text("oneDNN computes no ", name_of(type)));
}

static Dims dims_of(const Shape& shape) { return Dims(shape.dims.begin(), shape.dims.begin() + shape.rank); }

Desc plain_desc(const Shape& shape, DType type) {
  Dims strides(shape.rank);
  int64_t stride = 1;
  for (int i = shape.rank - 1; i >= 0; i--) {
    strides[i] = stride;
    stride *= std::max<int64_t>(shape[i], 1);
  }
  return Desc(dims_of(shape), type_of(type), strides);
}

Desc strided_desc(const Dims& dims, DType type, const Dims& strides) { return Desc(dims, type_of(type), strides); }

Desc any_desc(const Dims& dims, DType type) { return Desc(dims, type_of(type), dnnl::memory::format_tag::any); }

static const char* const kForms[] = {"filter", "columns", "rows"};

PackSpec pack_spec(WeightForm form, Desc desc) {
  PackSpec spec;
  spec.dtype = desc.get_data_type() == dnnl::memory::data_type::bf16 ? DType::BF16 : DType::F32;
  spec.bytes = desc.get_size();
  static const char digits[] = "0123456789abcdef";
  spec.layout = text(kForms[static_cast<int>(form)], ":");
  for (uint8_t byte : desc.get_blob()) {
    spec.layout += digits[byte >> 4];
    spec.layout += digits[byte & 15];
  }
  return spec;
}

Packed read_layout(const std::string& layout) {
  size_t colon = layout.find(':');
  ensure(colon != std::string::npos && (layout.size() - colon) % 2 == 1, "not a layout of the CPU column: ", layout);
  Packed packed{WeightForm::Filter, {}};
  bool known = false;
  for (int i = 0; i < 3; i++)
    if (layout.compare(0, colon, kForms[i]) == 0) {
      packed.form = static_cast<WeightForm>(i);
      known = true;
    }
  ensure(known, "not a layout of the CPU column: ", layout);
  std::vector<uint8_t> blob((layout.size() - colon) / 2);
  auto digit = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
  for (size_t i = 0; i < blob.size(); i++)
    blob[i] = static_cast<uint8_t>(digit(layout[colon + 1 + 2 * i]) * 16 + digit(layout[colon + 2 + 2 * i]));
  packed.desc = Desc(blob);
  return packed;
}

Desc plain_view(const Shape& shape, DType type, WeightForm form, const Desc& packed) {
  Dims dims = packed.get_dims();
  if (form == WeightForm::Columns) return strided_desc(dims, type, {1, dims[0]});
  if (form == WeightForm::Rows) return strided_desc(dims, type, {dims[1], 1});
  int64_t channels = shape[-1], width = shape[2], filter = shape[1] * width * channels;
  Dims strides{filter, 1, width * channels, channels};
  if (dims.size() == 5) strides.insert(strides.begin(), dims[1] * filter);
  return strided_desc(dims, type, strides);
}

dnnl::primitive_attr caller_scratch() {
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return attributes;
}

dnnl::algorithm algorithm_of(Activation activation) {
  switch (activation) {
    case Activation::Relu: case Activation::LeakyRelu: return dnnl::algorithm::eltwise_relu;
    case Activation::Relu6: return dnnl::algorithm::eltwise_clip;
    case Activation::Sigmoid: return dnnl::algorithm::eltwise_logistic;
    case Activation::GeluExact: return dnnl::algorithm::eltwise_gelu_erf;
    case Activation::GeluTanh: return dnnl::algorithm::eltwise_gelu_tanh;
    case Activation::Silu: return dnnl::algorithm::eltwise_swish;
    case Activation::None: break;
  }
  return dnnl::algorithm::undef;
}

int append_epilogue(dnnl::post_ops& ops, const Epilogue& epilogue, const Desc& result) {
  int residual = -1;
  if (epilogue.residual) {
    residual = ops.len();
    ops.append_binary(dnnl::algorithm::binary_add, result);
  }
  if (epilogue.activation != Activation::None) {
    float alpha = 0, beta = 0;
    if (epilogue.activation == Activation::LeakyRelu) alpha = epilogue.slope;
    if (epilogue.activation == Activation::Silu) alpha = 1;
    if (epilogue.activation == Activation::Relu6) beta = 6;
    ops.append_eltwise(algorithm_of(epilogue.activation), alpha, beta);
  }
  return residual;
}

int residual_argument(int index) { return DNNL_ARG_ATTR_MULTIPLE_POST_OP(index) | DNNL_ARG_SRC_1; }

bool is_slow(const std::string& implementation) {
  return implementation.find("ref") != std::string::npos || implementation.find("gemm") == 0;
}

static void check(dnnl_status_t status, const char* what) {
  if (status == dnnl_success) return;
  throw Error(status == dnnl_out_of_memory ? GRAFT_OUT_OF_MEMORY : GRAFT_INTERNAL, text("oneDNN could not ", what, " (status ", status, ")"));
}

// C handles: execution through them needs no map of our own.
struct Prepared::Set {
  dnnl_stream_t stream = nullptr;
  std::vector<dnnl_exec_arg_t> arguments;
  ~Set() {
    for (auto& a : arguments) dnnl_memory_destroy(a.memory);
    dnnl_stream_destroy(stream);
  }
};

Prepared::Prepared(const dnnl::primitive_desc_base& description, const dnnl::primitive& primitive, std::vector<Slot> slots)
    : primitive_(primitive), slots_(std::move(slots)) {
  implementation_ = description.impl_info_str();
  Desc scratch = description.scratchpad_desc();
  scratch_bytes_ = scratch.get_size();
  slots_.push_back({DNNL_ARG_SCRATCHPAD, scratch});
  idle_[0] = make_set();
}

Prepared::~Prepared() {
  for (auto& set : idle_) delete set.load();
}

Prepared::Set* Prepared::make_set() const {
  auto set = std::make_unique<Set>();
  check(dnnl_stream_create(&set->stream, engine().get(), dnnl_stream_default_flags), "make a stream");
  set->arguments.reserve(slots_.size());
  for (const Slot& slot : slots_) {
    dnnl_memory_t memory = nullptr;
    check(dnnl_memory_create(&memory, slot.desc.get(), engine().get(), DNNL_MEMORY_NONE), "make a memory object");
    set->arguments.push_back({slot.argument, memory});
  }
  return set.release();
}

void Prepared::run(void* const* addresses, size_t count) const {
  Set* set = nullptr;
  for (int i = 0; i < kIdle && !set; i++) set = idle_[i].exchange(nullptr, std::memory_order_acquire);
  if (!set) set = make_set();
  std::unique_ptr<Set> held(set);
  ensure(count == set->arguments.size(), "oneDNN ", implementation_, " takes ", set->arguments.size(), " addresses, not ", count);
  for (size_t i = 0; i < count; i++) check(dnnl_memory_set_data_handle(set->arguments[i].memory, addresses[i]), "set an address");
  check(dnnl_primitive_execute(primitive_.get(), set->stream, static_cast<int>(set->arguments.size()), set->arguments.data()), "run a primitive");
  for (auto& slot : idle_) {
    Set* none = nullptr;
    if (slot.compare_exchange_strong(none, set, std::memory_order_release, std::memory_order_relaxed)) {
      held.release();
      return;
    }
  }
}

std::unique_ptr<Prepared> prepared_reorder(const Desc& from, const Desc& to, bool accumulate) {
  dnnl::primitive_attr attributes = caller_scratch();
  if (accumulate) {
    dnnl::post_ops ops;
    ops.append_sum(1.0f);
    attributes.set_post_ops(ops);
  }
  dnnl::reorder::primitive_desc description(engine(), from, engine(), to, attributes);
  return prepared<dnnl::reorder::primitive_desc, dnnl::reorder>(description, {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}});
}

static std::atomic<int> lane_threads{0};
static thread_local int before_alone = 0;  // what the thread's own setting was; 0: it is not alone

void use_threads(int threads) { lane_threads = threads; }
int threads() {
  if (before_alone > 0) return 1;
  int n = lane_threads;
  return n > 0 ? n : omp_get_max_threads();
}

void begin_alone() {
  before_alone = omp_get_max_threads();
  omp_set_num_threads(1);
}
void end_alone() noexcept {
  omp_set_num_threads(before_alone);
  before_alone = 0;
}

LaneThreads::LaneThreads() : before_(omp_get_max_threads()) { omp_set_num_threads(threads()); }
LaneThreads::~LaneThreads() { omp_set_num_threads(before_); }

}  // namespace graft::cpu
