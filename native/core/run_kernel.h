// Runs one prepared kernel outside of a plan (building forms, moving rows), with scratch of its own.
#pragma once
#include <vector>

#include "buffer.h"

namespace graft {

inline void run_kernel(Column& column, const Kernel& kernel, std::vector<void*> in, std::vector<void*> out) {
  Buffer scratch(column, kernel.scratch_bytes());
  Args args{};
  args.in = in.data();
  args.out = out.data();
  args.scratch = scratch.address();
  kernel.run(args);
}

}  // namespace graft
