// The memory that plans may take, on trees of files as the kernel writes them.
#include <filesystem>
#include <fstream>
#include <limits>

#include "harness.h"
#include "memory_limit.h"

using namespace graft;
using namespace graft::test;

namespace {

class Tree {
 public:
  Tree() {
    char name[] = "/tmp/graft-memory-XXXXXX";
    require(mkdtemp(name) != nullptr, "no folder in /tmp");
    root_ = name;
  }
  ~Tree() { std::filesystem::remove_all(root_); }
  Tree& file(const std::string& path, const std::string& content) {
    std::filesystem::create_directories((root_ + path).substr(0, (root_ + path).find_last_of('/')));
    std::ofstream(root_ + path) << content;
    return *this;
  }
  const std::string& root() const { return root_; }

 private:
  std::string root_;
};

constexpr const char* kMachine = "MemTotal: 16384 kB\nMemFree: 100 kB\nMemAvailable:    8192 kB\n";
constexpr size_t kKiB = 1024;

}  // namespace

int main(int argc, char** argv) {
  Harness harness(argc, argv);
  auto expect = [&](const Tree& tree, size_t bytes) {
    size_t found = available_memory(tree.root());
    harness.expect(found == bytes, "expected ", bytes, ", got ", found);
  };
  harness.test("without control groups the machine decides", [&] {
    Tree tree;
    expect(tree.file("/proc/meminfo", kMachine), 8192 * kKiB);
  });
  harness.test("version 2: the tightest group above the process decides, droppable pages are free", [&] {
    Tree tree;
    tree.file("/proc/meminfo", kMachine).file("/proc/self/cgroup", "0::/a/b\n");
    tree.file("/sys/fs/cgroup/a/b/memory.max", "max\n").file("/sys/fs/cgroup/a/b/memory.current", "1000\n");
    tree.file("/sys/fs/cgroup/a/memory.max", "1000000\n").file("/sys/fs/cgroup/a/memory.current", "300000\n");
    expect(tree.file("/sys/fs/cgroup/a/memory.stat", "anon 5\ninactive_file 100000\n"), 800000);
  });
  harness.test("version 2 in a container whose own path is not visible", [&] {
    Tree tree;
    tree.file("/proc/meminfo", kMachine).file("/proc/self/cgroup", "0::/\n");
    tree.file("/sys/fs/cgroup/memory.max", "500000\n");
    expect(tree.file("/sys/fs/cgroup/memory.current", "600000\n"), 0);
  });
  harness.test("version 1", [&] {
    Tree tree;
    tree.file("/proc/meminfo", kMachine).file("/proc/self/cgroup", "5:cpu,cpuacct:/x\n4:memory:/docker/1\n");
    tree.file("/sys/fs/cgroup/memory/memory.limit_in_bytes", "2000000\n");
    tree.file("/sys/fs/cgroup/memory/memory.usage_in_bytes", "500000\n");
    expect(tree.file("/sys/fs/cgroup/memory/memory.stat", "total_inactive_file 100000\n"), 1600000);
  });
  harness.test("this machine has some", [&] {
    size_t bytes = available_memory();
    harness.expect(bytes > 0 && bytes < std::numeric_limits<size_t>::max(), "got ", bytes);
  });
  return harness.finish();
}
