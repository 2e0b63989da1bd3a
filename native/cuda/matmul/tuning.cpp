#include "matmul/tuning.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <memory>

#include "error.h"

namespace graft::cuda {
namespace {

constexpr char kHeader[] = "graft tuning 1";

void write_all(const std::string& path, const std::string& content) {
  const std::string beside = text(path, ".", getpid());
  const int file = open(beside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  bool good = file >= 0;
  for (size_t at = 0; good && at < content.size();) {
    const ssize_t n = write(file, content.data() + at, content.size() - at);
    good = n > 0;
    if (good) at += static_cast<size_t>(n);
  }
  good = good && fsync(file) == 0;
  const int problem = errno;
  if (file >= 0) close(file);
  if (good && rename(beside.c_str(), path.c_str()) == 0) return;
  const std::string reason = std::strerror(good ? errno : problem);
  unlink(beside.c_str());
  throw Error(GRAFT_UNAVAILABLE, text("the tuning file ", path, " cannot be written: ", reason));
}

}  // namespace

Tuning::Tuning(const std::string& path) : path_(path) { read(false); }

void Tuning::read(bool again) {
  std::ifstream file(path_);
  if (!file) {
    if (errno != ENOENT && !again) throw Error(GRAFT_UNAVAILABLE, text("the tuning file ", path_, " cannot be read: ", std::strerror(errno)));
    return;
  }
  std::string line;
  require(static_cast<bool>(std::getline(file, line)) && line == kHeader, "the tuning file ", path_, " does not begin with \"", kHeader, "\"");
  for (int number = 2; std::getline(file, line); number++) {
    const size_t first = line.find('\t'), second = first == std::string::npos ? first : line.find('\t', first + 1);
    require(second != std::string::npos && first > 0 && second > first + 1, "the tuning file ", path_, ", line ", number, ": expected key, choice and microseconds with tabs between them");
    entries_.try_emplace(line.substr(0, first), Entry{line.substr(first + 1, second - first - 1), line.substr(second + 1)});
  }
}

std::string Tuning::find(const std::string& key) const {
  std::lock_guard<std::mutex> hold(mutex_);
  auto it = entries_.find(key);
  return it == entries_.end() ? "" : it->second.choice;
}

void Tuning::remember(const std::string& key, const std::string& choice, double microseconds) {
  ensure(key.find_first_of("\t\n") == std::string::npos && choice.find_first_of("\t\n") == std::string::npos, "a tab in a tuning key: ", key);
  std::lock_guard<std::mutex> hold(mutex_);
  char digits[32];
  std::snprintf(digits, sizeof digits, "%.2f", microseconds);
  entries_[key] = {choice, digits};
  read(true);
  std::string content = text(kHeader, "\n");
  for (const auto& [k, e] : entries_) content += text(k, "\t", e.choice, "\t", e.microseconds, "\n");
  write_all(path_, content);
}

Tuning& tuning_file(const std::string& path) {
  static std::mutex mutex;
  static auto& files = *new std::map<std::string, std::unique_ptr<Tuning>>;
  std::lock_guard<std::mutex> hold(mutex);
  auto& file = files[path];
  if (!file) file = std::make_unique<Tuning>(path);
  return *file;
}

}  // namespace graft::cuda
