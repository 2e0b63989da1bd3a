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

void Direct::run(const KernelCache::Key& key, bool small, const std::function<std::unique_ptr<Kernel>()>& prepare, Args args, Numbers& numbers) {
  const size_t block = aligned(StepBlock::bytes(kSizes)), head = block + aligned(sizeof numbers.number);
  ensure(block <= sizeof numbers.bytes, "a step block of ", block, " bytes");
  auto body = [&] {
    std::shared_ptr<const Kernel> kernel = kernels_.get(key, prepare);
    Buffer memory = scratch_.take(head + kernel->scratch_bytes());
    column_.copy_in(memory.address(), numbers.bytes, block);
    const StepBlock step = StepBlock::at(memory.address(), kSizes);
    void *extra = memory.at(block), *in[4], *out[1] = {extra};
    if (numbers.extra == Numbers::Extra::Factor) {
      std::copy(args.in, args.in + 3, in);
      in[3] = extra;
      args.in = in;
      column_.copy_in(extra, &numbers.number, sizeof numbers.number);
    }
    if (numbers.extra == Numbers::Extra::Result) args.out = out;
    args.step = &step;
    args.scratch = memory.at(head);
    kernel->run(args);
    column_.synchronize();
    column_.copy_out(numbers.bytes, memory.address(), block);
    scratch_.give(std::move(memory));
  };
  if (!small) return lanes_.run(body);
  Alone alone(column_);
  body();
}

}  // namespace graft
