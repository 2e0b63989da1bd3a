// One case of an operation, run on any column in any storage type.
#pragma once
#include <deque>
#include <memory>
#include <optional>

#include "harness.h"

namespace graft::test {

// Data that keeps clear of where an operation is not smooth, or not defined.
enum class Fill {
  Normal,
  Positive,       // 0.5 .. 2
  ClearOfKinks,   // at least 0.1 from 0 and 6, in -4 .. 10
  Distinct,       // a shuffle of bf16 numbers, all different
  Labels,         // I32, 0 .. classes - 1
  Adapters,       // I32, -1 (none) .. 2
  Distribution,   // rows that sum to 1
  Bits,           // 0 or 1
  Counts,         // I32: 0, 4, 8, ...
  Bytes,          // U8, 0 .. 255
  Windows,        // I32 triples: top and left in -3 .. 5, mirrored 0 or 1
  Chosen,         // the same with the number of a picture, -1 .. 5, before them
};

struct Operand {
  Shape shape;
  Fill fill = Fill::Normal;
  bool present = true;
};
inline Operand absent() { return {{}, Fill::Normal, false}; }

struct OpCase {
  std::string label;
  std::vector<Operand> inputs;
  Attributes attributes;  // those that differ from the default
  int batch = 1;
  int valid = 0;               // rows that count; 0 = all
  double normalizer = 0;
  bool equal_rows = false;     // all rows weigh 1
  bool batch_statistics = false;
  int64_t ignored = -1;        // label losses: this row has the ignored target -100
};

// All cases of one operation and how near a fast kernel must come to the truth.
struct OpTest {
  std::string op;
  std::vector<OpCase> cases;
  // Largest normalised mean square error of an F32 run against the F64 reference.
  double nmse = 1e-12;
};

// How a case is run.
struct Variation {
  std::string label;
  std::vector<GradMode> modes;  // per input; empty = forward alone
  Epilogue epilogue = {};
  bool second_gradient = false;
  bool in_place = false;        // result on input 0, its gradient on dout
  bool may_pack = true;
  bool null_where_ignored = false;
  bool recomputes = false;      // backward is not given the activated result
  bool signs = false;           // backward is given its signs alone
};

// Everything a case is fed with, in double.
struct Data {
  std::vector<std::vector<double>> inputs, before;  // before: what gradients hold that are accumulated
  std::vector<double> dout, dout2, residual;
};

struct Outcome {
  std::vector<std::vector<double>> outputs;    // result and saved values
  std::vector<std::vector<double>> gradients;  // per input, empty where ignored
  std::vector<double> residual_gradient;
  std::vector<double> statistics;              // running mean and variance after the run
  std::vector<double> loss;                    // loss, correct
  std::string bytes;                           // all of it as stored, to compare bit by bit
  std::string kernels;
};

inline const InputDef& input_def(const OpDef& op, size_t i) { return op.inputs[std::min(i, op.inputs.size() - 1)]; }

// Type of input i where activations are stored as `storage`.
inline TensorType input_type(const OpDef& op, const OpCase& c, size_t i, DType storage) {
  if (!c.inputs[i].present) {
    TensorType none;
    none.shape.rank = -1;
    return none;
  }
  const Fill drawn = c.inputs[i].fill;
  if (drawn == Fill::Bytes) return {DType::U8, c.inputs[i].shape};
  if (drawn == Fill::Labels || drawn == Fill::Adapters || drawn == Fill::Counts || drawn == Fill::Windows || drawn == Fill::Chosen) return {DType::I32, c.inputs[i].shape};
  Role role = input_def(op, i).role;
  bool full = role == Role::Vector || role == Role::Full || role == Role::Exact;
  return {full && storage != DType::F64 ? DType::F32 : storage, c.inputs[i].shape};
}

inline Attributes attributes_of(const OpDef& op, const OpCase& c) {
  Attributes all;
  for (const AttributeDef& a : op.attributes) all[a.name] = a.fallback;
  for (const auto& [name, value] : c.attributes) all[name] = value;
  if (c.batch_statistics) all["batch_statistics"] = 1;
  return all;
}

inline std::vector<double> fill(const Operand& operand, int64_t classes, Random random) {
  std::vector<double> values(operand.present ? operand.shape.count() : 0);
  int64_t last = operand.present && operand.shape.rank ? operand.shape[-1] : 1;
  for (size_t i = 0; i < values.size(); i++) switch (operand.fill) {
    case Fill::Normal: values[i] = random.normal(); break;
    case Fill::Positive: values[i] = random.uniform(0.5, 2); break;
    case Fill::ClearOfKinks:
      do values[i] = random.uniform(-4, 10);
      while (std::fabs(values[i]) < 0.1 || std::fabs(values[i] - 6) < 0.1);
      break;
    case Fill::Distinct: {  // 128 mantissas at 5 exponents in both signs are bf16 numbers; larger tensors repeat far apart
      int64_t n = static_cast<int64_t>(i) * 389 % 1279;  // 389 and 1279 are prime
      values[i] = std::ldexp(128 + n % 128, static_cast<int>(n / 128 % 5) - 7) * (n >= 640 ? -1 : 1);
      break;
    }
    case Fill::Labels: values[i] = static_cast<double>(random.below(classes)); break;
    case Fill::Adapters: values[i] = static_cast<double>(random.below(4)) - 1; break;
    case Fill::Distribution: values[i] = random.uniform(0.1, 1); break;
    case Fill::Bits: values[i] = static_cast<double>(random.below(2)); break;
    case Fill::Counts: values[i] = 4.0 * static_cast<double>(i); break;
    case Fill::Bytes: values[i] = static_cast<double>(random.below(256)); break;
    case Fill::Chosen:
      values[i] = static_cast<double>(i % 4 == 3 ? random.below(2) : i % 4 == 0 ? random.below(7) - 1 : random.below(9) - 3);
      break;
    case Fill::Windows: values[i] = static_cast<double>(i % 3 == 2 ? random.below(2) : random.below(9) - 3); break;
  }
  if (operand.fill == Fill::Distribution)
    for (size_t row = 0; row < values.size(); row += last) {
      double sum = 0;
      for (int64_t i = 0; i < last; i++) sum += values[row + i];
      for (int64_t i = 0; i < last; i++) values[row + i] /= sum;
    }
  return values;
}

inline std::vector<TensorType> types_of(const OpDef& op, const OpCase& c, DType storage) {
  std::vector<TensorType> types;
  for (size_t i = 0; i < c.inputs.size(); i++) types.push_back(input_type(op, c, i, storage));
  return types;
}

inline Data make_data(const OpDef& op, const OpCase& c, uint64_t seed) {
  auto random = [&](const std::string& what) { return Random(seed, op.name + "/" + c.label + "/" + what); };
  Attributes attributes = attributes_of(op, c);
  std::vector<TensorType> types = types_of(op, c, DType::F64);
  Shape result = op.infer({attributes, types})[0].shape;
  Data d;
  const int64_t classes = op.name == "linear_cross_entropy" ? c.inputs[1].shape[0] : c.inputs[0].shape[-1];
  for (size_t i = 0; i < c.inputs.size(); i++) {
    d.inputs.push_back(fill(c.inputs[i], classes, random("in" + std::to_string(i))));
    d.before.push_back(fill({c.inputs[i].shape, Fill::Normal, c.inputs[i].present}, 0, random("before" + std::to_string(i))));
  }
  if (c.ignored >= 0) d.inputs[op.differentiable][c.ignored] = -100;  // targets come behind what has a gradient
  d.dout = fill({result}, 0, random("dout"));
  d.dout2 = fill({result}, 0, random("dout2"));
  d.residual = fill({result}, 0, random("residual"));
  if (c.valid > 0)  // what comes from a loss is zero in padded rows
    for (int64_t i = result.count() / c.batch * c.valid; i < result.count(); i++) d.dout[i] = d.dout2[i] = 0;
  return d;
}

// The step block of a case, in column memory.
class Step {
 public:
  Step(Column& column, const OpCase& c) : sizes_{1, 2, c.batch, 1}, buffer_(column, StepBlock::bytes(sizes_)) {
    std::vector<double> aligned_host(StepBlock::bytes(sizes_) / 8 + 8);
    StepBlock host = StepBlock::at(aligned_host.data(), sizes_);
    int valid = c.valid > 0 ? c.valid : c.batch;
    *host.header = StepHeader{};
    host.header->seed = 42;
    host.header->visit = 3;
    host.header->valid_rows = valid;
    host.header->normalizer = static_cast<float>(c.normalizer);
    host.loss_weight[0] = 1;
    host.loss_weight[1] = 1.5f;
    for (int b = 0; b < c.batch; b++) {
      host.row_weight[b] = b >= valid ? 0 : c.equal_rows ? 1 : 1 + 0.25f * static_cast<float>(b % 3);
      host.row_id[b] = 1000 + 7 * b + (b % 2 ? int64_t{1} << 33 : 0);
    }
    column.copy_in(buffer_.address(), aligned_host.data(), StepBlock::bytes(sizes_));
    block_ = StepBlock::at(buffer_.address(), sizes_);
    column_ = &column;
  }
  const StepBlock* block() const { return &block_; }
  std::vector<double> results() const {
    float loss, correct;
    column_->copy_out(&loss, block_.loss + kLoss, 4);
    column_->copy_out(&correct, block_.correct + kLoss, 4);
    return {loss, correct};
  }
  bool intact() const { return buffer_.intact(); }
  static constexpr int kLoss = 1;  // the entry that the cases use

 private:
  Column* column_;
  StepSizes sizes_;
  Buffer buffer_;
  StepBlock block_;
};

inline Request make_request(const OpDef& op, const OpCase& c, DType storage, Pass pass, const Variation& v) {
  Request r;
  r.op = &op;
  r.node = "node." + c.label;
  r.pass = pass;
  r.attributes = attributes_of(op, c);
  r.inputs = types_of(op, c, storage);
  r.outputs = op.infer(r.call());
  if (op.name == "normalize_pictures") r.outputs[0].dtype = storage;  // as the planner: the result of exact inputs in the compute type
  for (size_t i = 0; i < c.inputs.size(); i++) r.constant.push_back(input_def(op, i).role == Role::Weight);
  r.modes = pass == Pass::Forward ? std::vector<GradMode>(c.inputs.size(), GradMode::Ignore) : v.modes;
  r.epilogue = v.epilogue;
  r.second_gradient = pass == Pass::Backward && v.second_gradient;
  r.residual_gradient = pass == Pass::Backward && v.epilogue.residual;
  r.recomputes = pass == Pass::Backward && v.recomputes;
  r.signs = pass == Pass::Backward && v.signs;
  r.batch_statistics = c.batch_statistics;
  r.weights_may_pack = v.may_pack;
  r.compute = storage;
  r.batch = c.batch;
  r.loss_index = Step::kLoss;
  r.preferred.resize(c.inputs.size());
  return r;
}

// Runs a case: forward, and backward where a mode asks for it. `activated` is what backward reads with an epilogue: it is
// given, not taken from the forward run, so that rounding next to a kink cannot decide the comparison.
class CaseRun {
 public:
  CaseRun(Harness& harness, Column& column, const OpDef& op, const OpCase& c, const Data& data, DType storage,
          const Variation& v, const std::vector<double>& activated = {}, std::optional<DType> logits = {})
      : harness_(harness), column_(column), op_(op), case_(c), data_(data), storage_(storage), v_(v), step_(column, c) {
    bool gradients = !v.modes.empty();
    Request first = make_request(op, c, storage, op.loss && gradients ? Pass::Loss : Pass::Forward, v);
    if (logits) first.inputs[0].dtype = *logits;
    for (const TensorType& type : first.outputs) outputs_.emplace_back(column, type);
    for (size_t i = 0; i < c.inputs.size(); i++) inputs_.emplace_back(column, first.inputs[i], data.inputs[i]);
    run(first, {});
    if (gradients && !op.loss) run(make_request(op, c, storage, Pass::Backward, v), activated);
    collect();
  }
  Outcome outcome;

 private:
  // Addresses of the inputs for a kernel: packed where it asks for it, poisoned where backward must not read.
  std::vector<void*> input_addresses(const Kernel& kernel, const Request& r, const OpDef::Reads* reads) {
    std::vector<void*> addresses;
    for (size_t i = 0; i < r.inputs.size(); i++) {
      if (r.inputs[i].shape.rank < 0) {
        addresses.push_back(nullptr);
        continue;
      }
      PackSpec spec = kernel.pack(i);
      if (reads && !reads->inputs[i]) {
        Buffer& poison = extra_.emplace_back(column_, std::max(spec.bytes, r.inputs[i].bytes()));
        addresses.push_back(poison.address());
      } else if (!spec.layout.empty()) {
        harness_.expect(r.constant[i] && r.weights_may_pack, kernel.name(), " packs input ", i, ", which it must not");
        addresses.push_back(packed(r.inputs[i].shape, i, spec));
      } else {
        addresses.push_back(inputs_[i].address());
      }
    }
    return addresses;
  }

  void* packed(const Shape& shape, size_t i, const PackSpec& spec) {
    TensorType plain{storage_ == DType::F64 ? DType::F64 : DType::F32, shape};  // parameters are kept in full precision
    Buffer& from = extra_.emplace_back(column_, plain, data_.inputs[i]);
    Buffer& to = extra_.emplace_back(column_, spec.bytes);
    auto kernel = column_.prepare_pack(plain, spec);
    Buffer& scratch = extra_.emplace_back(column_, kernel->scratch_bytes());
    void *in[] = {from.address()}, *out[] = {to.address()};
    kernel->run(Args{in, out, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, scratch.address(), step_.block()});
    return to.address();
  }

  void run(const Request& r, const std::vector<double>& activated) {
    bool backward = r.pass == Pass::Backward;
    auto kernel = column_.prepare(r);
    outcome.kernels += (outcome.kernels.empty() ? "" : " ") + kernel->name();
    OpDef::Reads reads;
    if (backward) {
      std::vector<bool> wanted;
      for (GradMode mode : r.modes) wanted.push_back(mode != GradMode::Ignore);
      reads = op_.backward_reads(r.call(), wanted);
      if (r.recomputes) reads.inputs.assign(r.inputs.size(), true);
    }
    std::vector<void*> in = input_addresses(*kernel, r, backward ? &reads : nullptr), out, din(r.inputs.size(), nullptr);
    for (size_t i = 0; i < r.outputs.size(); i++) {
      if (backward && !(i < reads.outputs.size() && reads.outputs[i])) out.push_back(extra_.emplace_back(column_, r.outputs[i]).address());
      else out.push_back(outputs_[i].address());
    }
    Buffer& scratch = extra_.emplace_back(column_, kernel->scratch_bytes());
    Args args{in.data(), out.data(), din.data(), nullptr, nullptr, nullptr, nullptr, nullptr, scratch.address(), step_.block()};
    auto operand = [&](const std::vector<double>& values) {
      return extra_.emplace_back(column_, r.outputs[0], values).address();
    };
    if (!backward && r.epilogue.residual) args.residual = operand(data_.residual);
    if (backward) {
      args.dout = operand(data_.dout);
      if (r.second_gradient) args.dout2 = operand(data_.dout2);
      if (r.signs) args.activated = signs_of(activated, r.epilogue.activation);
      else if (r.epilogue.activation != Activation::None && !r.recomputes) args.activated = operand(activated);
      if (r.residual_gradient) {
        residual_gradient_ = std::make_unique<Buffer>(column_, r.outputs[0]);
        args.dresidual = residual_gradient_->address();
      }
    }
    bool result_in_place = v_.in_place && !backward && !op_.loss;
    if (result_in_place) out[0] = in[0];
    if (r.pass != Pass::Forward) make_gradients(r, args, din, in);
    std::vector<std::string> before;
    for (const Buffer& b : inputs_) before.push_back(b.bytes());
    kernel->run(args);
    column_.synchronize();
    if (result_in_place) {  // moved aside, so that backward finds both
      column_.copy(outputs_[0].address(), inputs_[0].address(), r.outputs[0].bytes());
      inputs_[0].write(data_.inputs[0]);
    }
    for (size_t i = 0; i < inputs_.size(); i++) {
      bool may_change = (v_.in_place && i == 0) || (op_.statistics && !backward && case_.batch_statistics && i >= 3);
      harness_.expect(may_change || inputs_[i].bytes() == before[i], kernel->name(), " changes input ", i);
    }
  }

  void* signs_of(const std::vector<double>& activated, Activation activation) {
    std::vector<double> bytes((activated.size() + 7) / 8);
    for (size_t i = 0; i < activated.size(); i++)
      if (activated[i] > 0 && (activation != Activation::Relu6 || activated[i] < 6)) bytes[i / 8] += 1 << i % 8;
    bytes.resize(static_cast<size_t>(sign_bytes(static_cast<int64_t>(activated.size()))), 0xFF);  // what lies behind must not matter
    return extra_.emplace_back(column_, TensorType{DType::U8, {static_cast<int64_t>(bytes.size())}}, bytes).address();
  }

  void make_gradients(const Request& r, const Args& args, std::vector<void*>& din, const std::vector<void*>& in) {
    for (size_t i = 0; i < r.inputs.size(); i++) {
      gradients_.emplace_back();
      if (r.inputs[i].shape.rank < 0) continue;
      TensorType type{gradient_type(input_def(op_, i).role, r.inputs[i].dtype), r.inputs[i].shape};
      if (r.modes[i] == GradMode::Ignore && v_.null_where_ignored) continue;
      gradients_[i] = std::make_unique<Buffer>(column_, type);
      if (r.modes[i] == GradMode::Accumulate) gradients_[i]->write(data_.before[i]);
      din[i] = gradients_[i]->address();
      if (v_.in_place && i == 0) din[0] = gradient_address_ = r.pass == Pass::Loss ? in[0] : args.dout;
    }
  }

  std::vector<double> read_at(void* address, const TensorType& type) {
    Buffer copy(column_, type);
    column_.copy(copy.address(), address, type.bytes());
    outcome.bytes += copy.bytes();
    return copy.read();
  }

  void collect() {
    for (size_t i = 0; i < outputs_.size(); i++)
      outcome.outputs.push_back(read_at(outputs_[i].address(), outputs_[i].type()));
    for (size_t i = 0; i < gradients_.size(); i++) {
      outcome.gradients.emplace_back();
      if (!gradients_[i]) continue;
      if (v_.modes[i] != GradMode::Ignore)
        outcome.gradients[i] = read_at(i == 0 && gradient_address_ ? gradient_address_ : gradients_[i]->address(), gradients_[i]->type());
      else
        harness_.expect(gradients_[i]->bytes() == std::string(gradients_[i]->type().bytes(), '\xFF'), "the ignored gradient of input ",
                        i, " was written");
      harness_.expect(gradients_[i]->intact(), "gradient ", i, ": written outside its bounds");
    }
    if (residual_gradient_) outcome.residual_gradient = read_at(residual_gradient_->address(), residual_gradient_->type());
    if (op_.statistics && case_.batch_statistics)
      for (size_t i : {3, 4})
        for (double v : read_at(inputs_[i].address(), inputs_[i].type())) outcome.statistics.push_back(v);
    if (op_.loss) outcome.loss = step_.results();
    bool intact = step_.intact() && (!residual_gradient_ || residual_gradient_->intact());
    for (const Buffer& b : inputs_) intact = intact && b.intact();
    for (const Buffer& b : outputs_) intact = intact && b.intact();
    for (const Buffer& b : extra_) intact = intact && b.intact();
    harness_.expect(intact, "memory outside an operand was written");
  }

  Harness& harness_;
  Column& column_;
  const OpDef& op_;
  const OpCase& case_;
  const Data& data_;
  DType storage_;
  const Variation& v_;
  Step step_;
  std::vector<Buffer> inputs_, outputs_;
  std::deque<Buffer> extra_;
  std::vector<std::unique_ptr<Buffer>> gradients_;
  std::unique_ptr<Buffer> residual_gradient_;
  void* gradient_address_ = nullptr;
};

inline Outcome run_case(Harness& harness, Column& column, const OpDef& op, const OpCase& c, const Data& data, DType storage,
                        const Variation& v, const std::vector<double>& activated = {}) {
  return CaseRun(harness, column, op, c, data, storage, v, activated).outcome;
}

}  // namespace graft::test
