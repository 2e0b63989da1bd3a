// How much memory this process may still take.
#pragma once
#include <cstddef>
#include <string>

namespace graft {

// The smallest of: the machine's available memory (/proc/meminfo), and for each control group from the process's own up to
// the root (versions 1 and 2) its limit less what it uses, file pages that can be dropped not counted as used. `root` is
// put before all paths, for tests. The largest size_t where nothing can be read.
size_t available_memory(const std::string& root = "");

}  // namespace graft
