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

// Numbers are column memory: they come over in pieces.
void Direct::check_numbers(const char* what, const Region& region, int64_t count, int64_t least, int64_t most, int64_t other) {
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
