#include "direct_call.h"

namespace graft {
namespace {

// While it lives, the calling thread works alone.
class Alone {
 public:
  explicit Alone(Column& column) : column_(column) { column_.begin_alone(); }
  ~Alone() { column_.end_alone(); }
  Alone(const Alone&) = delete;
  Alone& operator=(const Alone&) = delete;

 private:
  Column& column_;
};

}  // namespace

void Direct::run(const KernelCache::Key& key, bool small, const std::function<std::unique_ptr<Kernel>()>& prepare, Args args, Numbers& numbers,
                 int64_t stream) {
  const size_t block = aligned(StepBlock::bytes(kSizes)), head = block + aligned(sizeof numbers.number);
  ensure(head <= sizeof numbers.bytes, "a step block of ", block, " bytes");
  std::memcpy(numbers.bytes + block, &numbers.number, sizeof numbers.number);
  // On memory that begins with the numbers.
  auto on = [&](const Kernel& kernel, void* memory) {
    StepBlock step = StepBlock::at(memory, kSizes);
    if (numbers.loss) step.loss = numbers.loss, step.correct = numbers.correct;
    if (numbers.gradient_norm) step.gradient_norm = numbers.gradient_norm;
    void *extra = static_cast<char*>(memory) + block, *in[4], *out[1] = {extra};
    if (numbers.extra == Numbers::Extra::Factor) {
      std::copy(args.in, args.in + 3, in);
      in[3] = extra;
      args.in = in;
    }
    if (numbers.extra == Numbers::Extra::Result) args.out = out;
    args.step = &step;
    args.scratch = static_cast<char*>(memory) + head;
    kernel.run(args);
  };
  if (column_.enqueues()) {
    const std::shared_ptr<const Kernel> kernel = kernels_.get(key, prepare);
    return column_.enqueue(stream, numbers.bytes, head, head + kernel->scratch_bytes(), [&](void* memory) { on(*kernel, memory); });
  }
  auto body = [&] {
    const std::shared_ptr<const Kernel> kernel = kernels_.get(key, prepare);
    Buffer memory = scratch_.take(head + kernel->scratch_bytes());
    column_.copy_in(memory.address(), numbers.bytes, head);
    on(*kernel, memory.address());
    column_.synchronize();
    scratch_.give(std::move(memory));
  };
  if (!small) return lanes_.run(body);
  Alone alone(column_);
  body();
}

void Direct::computes(DType type) const {
  require(column_.computes(type), "column ", column_.name(), " computes no ", name_of(type), " on this machine");
}

void Direct::reach(int64_t stream, const std::vector<const Region*>& operands) const {
  require(stream == 0 || column_.enqueues(), "stream is ", stream, ", but device ", column_.name(), " has no streams; expected 0");
  for (const Region* r : operands)
    if (r->given()) column_.reach(r->name, r->address, r->end() - r->address);
}

// Numbers are column memory: they come over in pieces.
void Direct::check_numbers(const char* what, const Region& region, int64_t count, int64_t least, int64_t most, int64_t other) {
  if (column_.enqueues()) return;
  int32_t piece[1024];
  for (int64_t at = 0; at < count; at += 1024) {
    const int64_t n = std::min<int64_t>(1024, count - at);
    column_.copy_out(piece, static_cast<const int32_t*>(region.at()) + at, 4 * static_cast<size_t>(n));
    for (int64_t i = 0; i < n; i++)
      require((piece[i] >= least && piece[i] <= most) || piece[i] == other, what, " ", at + i, " is ", piece[i], "; expected ", least, " to ", most,
              " or ", other, " for none");
  }
}

}  // namespace graft
