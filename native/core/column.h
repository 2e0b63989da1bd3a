// A column: one implementation of all operations over memory that it alone touches. Core asks it to prepare kernels when a
// plan is compiled and to run them; core itself never dereferences an address that a column gave out.
#pragma once
#include <functional>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "error.h"
#include "op.h"
#include "product_choice.h"
#include "step_block.h"
#include "tensor.h"

namespace graft {

enum class Pass {
  Forward,
  Backward,
  Loss,  // forward and the gradients in one go
};

// What happens to a gradient that a kernel computes.
enum class GradMode : uint8_t { Ignore, Overwrite, Accumulate };

// Work done while a kernel stores: y = activation(result + residual). In Backward the same epilogue means: `dout` is the
// gradient of y; the kernel first forms g = dout * activation'(y), read from `activated`; g is also the gradient of the
// residual.
struct Epilogue {
  bool residual = false;
  Activation activation = Activation::None;
  float slope = 0;  // of LeakyRelu
  bool any() const { return residual || activation != Activation::None; }
};

// How a kernel wants an input laid out. An empty layout and the input's own dtype = plain row-major.
struct PackSpec {
  DType dtype = DType::F32;
  std::string layout;  // opaque to core: equal text = equal bytes
  size_t bytes = 0;
};

// What a plan asks for. Types are those at run time; absent inputs have rank -1. References live as long as the call.
struct Request {
  const OpDef* op = nullptr;
  std::string node;  // name of the node, for messages and for keys of random numbers
  Pass pass = Pass::Forward;
  Attributes attributes;
  std::vector<TensorType> inputs;
  std::vector<TensorType> outputs;
  std::vector<bool> constant;    // per input: a parameter that does not change while the plan lives
  std::vector<GradMode> modes;   // per input, Backward and Loss
  Epilogue epilogue;
  bool second_gradient = false;  // Backward: the result's gradient is dout + dout2
  bool residual_gradient = false;// Backward with epilogue: g is wanted in dresidual
  bool recomputes = false;       // Backward with epilogue: `activated` is not given, what of it is needed is worked out again
  bool signs = false;            // Backward of a batch norm with an activation of sign_activation(): `activated` holds Service::Signs of it
  bool batch_statistics = false; // batch norm over the batch; running statistics are updated
  bool weights_may_pack = true;  // false: parameters are given plain
  DType compute = DType::F32;
  int batch = 1;                 // rows of the plan: the step block's row arrays
  int loss_index = 0;            // Loss: which entry of the step block
  const ProductChoice* choice = nullptr; // the plan's; null: it says nothing
  std::vector<PackSpec> preferred; // per input: a layout that exists already; a kernel that takes it too saves a copy
  std::string name() const { return op ? op->name : ""; }
  OpCall call() const { return OpCall{attributes, inputs}; }
};

inline GradMode mode_of(const Request& r, size_t input) { return input < r.modes.size() ? r.modes[input] : GradMode::Ignore; }
inline bool wants(const Request& r, size_t input) { return mode_of(r, input) != GradMode::Ignore; }

// Addresses of one run, all column memory. Pointers are null where the request has no such operand.
struct Args {
  void* const* in;    // per input
  void* const* out;   // per output: result, then saved values
  void* const* din;   // per input: its gradient
  void* dout;         // gradient of out[0]
  void* dout2;        // second part of it
  void* residual;     // Forward epilogue: what is added
  void* dresidual;    // Backward epilogue: gradient of the residual
  void* activated;    // Backward epilogue: the value after the activation, or its signs
  void* scratch;      // Kernel::scratch_bytes(), 64-byte aligned
  const StepBlock* step;
};

// One prepared call. Immutable: any number of sessions may run it at once, each with its own addresses. run() allocates nothing.
class Kernel {
 public:
  virtual ~Kernel() = default;
  virtual void run(const Args& args) const = 0;
  // Shown by describe(): who computes, for example "onednn:brgconv:avx512_core" or "own:softmax_ce:avx2" or "reference:relu".
  virtual std::string name() const = 0;
  virtual size_t scratch_bytes() const { return 0; }
  // Layout wanted for input i; the default is plain.
  virtual PackSpec pack(size_t) const { return {}; }
};

// Operations that plans need beside the graph's own. Same Request/Args form; op is null, kind says which.
enum class Service {
  Convert,        // in[0] -> out[0], float types
  Sum,            // out[0] = in[0] + in[1] (+ ...), same type; out[0] may be any of the inputs
  Accumulate,     // out[0] += in[0], F32
  Zero,           // out[0] = 0
  FoldBatchNorm,  // in: w [O,...], b [O]?, gamma, beta, mean, var [O]; attribute eps -> out: w', b'
  GatherRows,     // in[0] [R, ...] -> out[0] live rows, list of ranges in `rows`
  ScatterRows,    // in[0] live rows -> rows of out[0]
  Signs,          // out[0] U8 [sign_bytes(count)], of in[0] = f(x): bit i % 8 of byte i / 8 tells 0 < in[0][i], and < `below` where it is given
  MergeLowRank,   // out[0] [N, K] += factor * b a on each slice; in: a, b and attributes as of lora_linear; F32, or W in bf16, rounded once
};

struct ServiceRequest {
  Service service;
  std::vector<TensorType> inputs, outputs;
  Attributes attributes;
  std::vector<std::pair<int64_t, int64_t>> rows;  // ranges [first, second)
};

enum class OptimizerKind { Sgd, Adam, AdamW };

// A run of elements of the arena of trainables that share a group.
struct Segment {
  int64_t offset = 0, count = 0;  // elements
  int group = 0;
  int64_t mask_offset = -1;       // first bit of the element mask in in[5], or -1: all live
  int64_t born = 0;               // updates that happened before its first: Adam's step number is header->update - born
};

// One pass over the arena. Formulas as PyTorch's torch.optim (2.x): SGD with momentum, dampening 0, Nesterov; Adam couples
// decay into the gradient, AdamW decays the weight. anchor[g] adds anchor * (w - w0) to the gradient (L2-SP).
struct OptimizerRequest {
  OptimizerKind kind = OptimizerKind::Sgd;
  double momentum = 0, beta1 = 0.9, beta2 = 0.999, eps = 1e-8;
  double average = 0;  // of a moving average of the weights, e = average e + (1 - average) w after each update; 0: none is kept
  bool nesterov = false, anchor = false, clip = false, watch = false;
  bool narrow = false;  // a bf16 copy of the weights is kept
  std::vector<Segment> segments;
  int64_t elements = 0;
};
// Args of an optimizer kernel: in[0] gradients, in[1] anchor weights, in[5] mask bits; out[0] weights, out[1], out[2] moments, out[3] their moving
// average F32, out[4] their copy in bf16; what a mask leaves alone stays as it is in all of them. With clip
// the kernel first reads the gradients once for their norm. The factor for clipping is min(1, clip / (norm + 1e-6)), as torch's.

// A product of matrices; every operand lies as its caller says.
//   c = activation(times * factor * (a b + a2 b2) + bias + residual (+ c, when it accumulates))
// Args: in[0] a, in[1] b, in[2] bias F32 [n], in[3] factor, one F32, in[4] a2, in[5] b2; residual as c lies; out[0] c, out[1] what the
// activation was applied to, as c lies.
struct ProductRequest {
  struct Matrix {
    int64_t row = 0, column = 1;  // elements from one row of the factor to the next, and from one column to the next
    int64_t step = 0;             // from one matrix to the next; 0: one for all, of a factor only
  };
  int64_t batch = 1, m = 0, n = 0, k = 0;
  Matrix a, b, c;                 // a is m x k as the product sees it, b is k x n
  DType type = DType::F32, result = DType::F32;  // of the factors; of c and the residual
  bool bias = false, scaled = false, accumulate = false;
  float times = 1;
  int64_t k2 = 0;                 // of the second pair, 0: there is none
  Matrix a2, b2;                  // m x k2, k2 x n
  bool saves = false;             // out[1] is wanted
  F32Product f32 = F32Product::Exact;
  bool aligned = true;            // every operand begins at a multiple of 16 bytes; else the kernel may count on its type's size alone
  Epilogue epilogue;
};

// Work that was recorded and can be done again with one call, on the same addresses.
class Recording {
 public:
  virtual ~Recording() = default;
  virtual void replay() const = 0;
};

// A place in a column's memory that the host fills while the column is busy with what was enqueued before.
class Feed {
 public:
  virtual ~Feed() = default;
  // Takes all bytes; the caller has its memory back when this returns.
  virtual void take(const void* host) = 0;
  // Enqueues the copy of what was taken last to `address`.
  virtual void deliver(void* address) = 0;
};

class Column {
 public:
  virtual ~Column() = default;
  virtual const char* name() const = 0;
  // JSON object: instruction set, libraries, bf16 support.
  virtual std::string describe() const = 0;
  virtual bool computes(DType) const = 0;

  // What holds for products where a plan does not say otherwise; before anything is prepared.
  virtual void choose(const ProductChoice& choice) { (void)choice; }

  // Memory. Addresses are 64-byte aligned, contents undefined. allocate() throws OUT_OF_MEMORY.
  virtual void* allocate(size_t bytes) = 0;
  virtual void release(void* address, size_t bytes) noexcept = 0;
  virtual void copy_in(void* address, const void* host, size_t bytes) = 0;
  virtual void copy_out(void* host, const void* address, size_t bytes) = 0;
  virtual void copy(void* to, const void* from, size_t bytes) = 0;
  // Bytes that plans may still take, after the machine's and the container's limits.
  virtual size_t available_bytes() const = 0;

  // Whether a kernel of this request can take the epilogue, a second gradient, or accumulate into the gradient of input i.
  virtual bool fuses(const Request& request, const Epilogue& epilogue) const = 0;
  virtual bool takes_second_gradient(const Request& request) const = 0;
  // Whether the backward can do without `activated`, reading all of the node's inputs instead.
  virtual bool recomputes(const Request& request) const = 0;
  virtual bool accumulates(const Request& request, size_t input) const = 0;

  virtual std::unique_ptr<Kernel> prepare(const Request& request) = 0;
  virtual std::unique_ptr<Kernel> prepare(const ServiceRequest& request) = 0;
  virtual std::unique_ptr<Kernel> prepare(const OptimizerRequest& request) = 0;
  virtual std::unique_ptr<Kernel> prepare(const ProductRequest& request) = 0;
  // in[0] plain -> out[0] as the layout says.
  virtual std::unique_ptr<Kernel> prepare_pack(const TensorType& plain, const PackSpec& spec) = 0;
  // Elements that are NaN or infinite.
  virtual int64_t count_nonfinite(const void* address, const TensorType& type) = 0;

  // Called on a lane's own thread when it starts: the column sets up its team there.
  virtual void enter_lane(int threads) = 0;
  // From begin to end the calling thread, which is no lane's, prepares and runs kernels by itself, without a team.
  virtual void begin_alone() = 0;
  virtual void end_alone() noexcept = 0;
  virtual void synchronize() = 0;

  // Whether kernels, copy() and the calls below return before they have done their work, which is done in the order of the calls;
  // synchronize(), copy_in() and copy_out() wait for it. Plans of such a column run on the thread that calls, not on a lane, and its
  // optimizer kernels obey the step header's judged_losses.
  virtual bool enqueues() const { return false; }
  // Host memory, aligned as the column's own, for copies that are enqueued. It outlives them.
  virtual void* allocate_host(size_t bytes) { return ::operator new(bytes, std::align_val_t(64)); }
  virtual void release_host(void* address, size_t) noexcept { ::operator delete(address, std::align_val_t(64)); }
  virtual void enqueue_in(void* address, const void* host, size_t bytes) { copy_in(address, host, bytes); }
  virtual void enqueue_out(void* host, const void* address, size_t bytes) { copy_out(host, address, bytes); }
  // Of a column that enqueues: a feed of so many bytes, which it allocates.
  virtual std::unique_ptr<Feed> feed(size_t bytes) { (void)bytes; return nullptr; }
  // What `body` enqueues on the calling thread is recorded and not done. Null where the column has no recordings.
  virtual std::unique_ptr<Recording> record(const std::function<void()>& body) { (void)body; return nullptr; }
  // What to tell a caller of a failed call: a device that faulted earlier is named with the message of then.
  virtual std::string blame(const std::string& message) { return message; }

  // Calls on memory of callers. A column that enqueues runs kernels on the caller's stream and does not wait for them; of the others
  // callers have the memory at hand, and a call has done its work when it returns.
  // The caller's fault where the column can tell that its kernels may not touch these bytes; `name` is what messages call them.
  virtual void reach(const char* name, int64_t address, int64_t bytes) const { (void)name, (void)address, (void)bytes; }
  // In the order of the caller's stream: takes `bytes` of memory, puts `count` bytes from `first` at its beginning, runs `body`, whose
  // kernels go to that stream, on it, and gives it back. `first` has been read when this returns.
  virtual void enqueue(int64_t stream, const void* first, size_t count, size_t bytes, const std::function<void(void*)>& body) {
    (void)stream, (void)first, (void)count, (void)bytes, (void)body;
    throw Error(GRAFT_INTERNAL, text("column ", name(), " has no streams"));
  }
};

// Activations whose slope takes two values, which Service::Signs tells apart: 1 where the bit is set, else 0, or LeakyRelu's.
inline bool sign_activation(Activation a) { return a == Activation::Relu || a == Activation::Relu6 || a == Activation::LeakyRelu; }
// Whole words, and one more, so that eight bytes may be read from where any of the bits lies.
inline int64_t sign_bytes(int64_t count) { return (count + 63) / 64 * 8 + 8; }

// Address arithmetic that is the same everywhere.
inline size_t aligned(size_t bytes) { return (bytes + 63) / 64 * 64; }

std::unique_ptr<Column> make_reference_column();
std::unique_ptr<Column> make_cpu_column(std::unique_ptr<Column> fallback);

}  // namespace graft
