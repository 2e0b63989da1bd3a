#include "memory_limit.h"

#include <algorithm>
#include <fstream>
#include <limits>
#include <optional>
#include <sstream>

namespace graft {
namespace {

constexpr size_t kUnlimited = std::numeric_limits<size_t>::max();

// A file that holds one number; "max" and files that are absent give nothing.
std::optional<size_t> number_in(const std::string& path) {
  std::ifstream file(path);
  size_t value;
  if (file >> value) return value;
  return {};
}

// The number behind `key` in lines of "key number".
std::optional<size_t> number_of(const std::string& path, const std::string& key) {
  std::ifstream file(path);
  std::string line;
  while (std::getline(file, line)) {
    std::istringstream words(line);
    std::string word;
    size_t value;
    if (words >> word >> value && word == key) return value;
  }
  return {};
}

size_t room(const std::string& folder, const char* limit_file, const char* usage_file, const char* droppable_key) {
  auto limit = number_in(folder + limit_file), usage = number_in(folder + usage_file);
  if (!limit || !usage) return kUnlimited;
  size_t droppable = number_of(folder + "/memory.stat", droppable_key).value_or(0);
  size_t used = *usage - std::min(*usage, droppable);
  return *limit - std::min(*limit, used);
}

// The least room of the group `path` and all above it. Inside a container the path may be that of the host, which is not
// visible; the root of the mount is then the container's own group.
size_t room_up(const std::string& mount, std::string path, bool v2) {
  size_t least = kUnlimited;
  while (true) {
    std::string folder = mount + path;
    least = std::min(least, v2 ? room(folder, "/memory.max", "/memory.current", "inactive_file")
                               : room(folder, "/memory.limit_in_bytes", "/memory.usage_in_bytes", "total_inactive_file"));
    if (path.empty()) return least;
    path.resize(path.find_last_of('/'));
  }
}

}  // namespace

size_t available_memory(const std::string& root) {
  size_t least = kUnlimited;
  if (auto kib = number_of(root + "/proc/meminfo", "MemAvailable:")) least = *kib * 1024;
  std::ifstream groups(root + "/proc/self/cgroup");  // lines "id:controllers:/path"; version 2 has id 0 and no controllers
  std::string line;
  while (std::getline(groups, line)) {
    size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",", path = line.substr(second + 1);
    if (path.empty() || path[0] != '/') continue;
    if (path == "/") path.clear();
    if (controllers == ",,") least = std::min(least, room_up(root + "/sys/fs/cgroup", path, true));
    if (controllers.find(",memory,") != std::string::npos)
      least = std::min(least, room_up(root + "/sys/fs/cgroup/memory", path, false));
  }
  return least;
}

}  // namespace graft
