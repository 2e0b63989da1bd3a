// What prepare measured, by device, libraries and shape: a text file of lines "key<TAB>choice<TAB>microseconds". With the same file the
// same kernels run, so that a run can be repeated bit by bit.
#pragma once
#include <map>
#include <mutex>
#include <string>

namespace graft::cuda {

class Tuning {
 public:
  // Reads the file where it is there. Throws INVALID_ARGUMENT with path and line where it is none of these files.
  explicit Tuning(const std::string& path);
  // The choice of a key, or an empty text.
  std::string find(const std::string& key) const;
  // Adds a choice and writes the file anew: beside, to the disk, in place of the old. What another process wrote meanwhile is kept.
  void remember(const std::string& key, const std::string& choice, double microseconds);

 private:
  struct Entry {
    std::string choice, microseconds;
  };
  void read(bool again);

  std::string path_;
  mutable std::mutex mutex_;
  std::map<std::string, Entry> entries_;
};

// The process' one view of the file at `path`.
Tuning& tuning_file(const std::string& path);

}  // namespace graft::cuda
