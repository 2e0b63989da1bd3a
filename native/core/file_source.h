// Weights where they were published: bytes of a file, read and converted when a form of them is built. Read with pread from
// a descriptor that stays open, never through a mapping: a file that shrinks meanwhile is an error, not a dead process.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "tensor.h"

namespace graft {

class OpenFile {
 public:
  explicit OpenFile(const std::string& path);
  ~OpenFile();
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;
  const std::string& path() const { return path_; }
  int64_t size() const { return size_; }
  void read(int64_t offset, void* to, size_t bytes) const;

 private:
  std::string path_;
  int descriptor_;
  int64_t size_;
};

struct FileSource {
  std::shared_ptr<OpenFile> file;
  int64_t offset = 0;
  DType dtype = DType::F32;
  Shape file_shape;        // as stored, row-major
  std::vector<int> order;  // order[i]: axis of the file that is axis i here

  Shape shape() const;
  // All elements as F32 in this order; `to` is host memory of shape().count() floats.
  void load(float* to) const;
};

}  // namespace graft
