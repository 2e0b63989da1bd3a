#include "file_source.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "error.h"
#include "number_formats.h"

namespace graft {
namespace {

// Element i of stored bytes.
float element(const char* bytes, DType dtype, int64_t i) {
  switch (dtype) {
    case DType::F32: { float f; std::memcpy(&f, bytes + 4 * i, 4); return f; }
    case DType::F64: { double f; std::memcpy(&f, bytes + 8 * i, 8); return static_cast<float>(f); }
    case DType::F16: { uint16_t h; std::memcpy(&h, bytes + 2 * i, 2); return f16_to_float(h); }
    case DType::BF16: { uint16_t h; std::memcpy(&h, bytes + 2 * i, 2); return bf16_to_float(h); }
    default: throw Error(GRAFT_INVALID_ARGUMENT, text("weights cannot be of type ", name_of(dtype)));
  }
}

}  // namespace

OpenFile::OpenFile(const std::string& path) : path_(path), descriptor_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)), size_(0) {
  if (descriptor_ < 0) throw Error(GRAFT_UNAVAILABLE, text(path, ": cannot be opened: ", std::strerror(errno)));
  struct stat info;
  if (::fstat(descriptor_, &info) != 0 || !S_ISREG(info.st_mode)) {
    ::close(descriptor_);
    throw Error(GRAFT_UNAVAILABLE, text(path, ": is not a regular file"));
  }
  size_ = info.st_size;
}

OpenFile::~OpenFile() { ::close(descriptor_); }

void OpenFile::read(int64_t offset, void* to, size_t bytes) const {
  char* at = static_cast<char*>(to);
  while (bytes > 0) {
    ssize_t n = ::pread(descriptor_, at, std::min<size_t>(bytes, 1 << 30), offset);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw Error(GRAFT_UNAVAILABLE, text(path_, ": cannot be read at byte ", offset, ": ", std::strerror(errno)));
    if (n == 0) throw Error(GRAFT_UNAVAILABLE, text(path_, ": ended at byte ", offset, ", ", bytes, " bytes were still expected"));
    at += n, offset += n, bytes -= static_cast<size_t>(n);
  }
}

Shape FileSource::shape() const {
  Shape s;
  s.rank = file_shape.rank;
  for (int i = 0; i < s.rank; i++) s.dims[i] = file_shape[order[i]];
  return s;
}

void FileSource::load(float* to) const {
  const int64_t count = file_shape.count();
  std::vector<char> bytes(static_cast<size_t>(count) * size_of(dtype));
  file->read(offset, bytes.data(), bytes.size());
  bool straight = true;
  for (int i = 0; i < file_shape.rank; i++) straight &= order[i] == i;
  if (straight) {
    for (int64_t i = 0; i < count; i++) to[i] = element(bytes.data(), dtype, i);
    return;
  }
  // Walk the result in order, keeping the stored index by strides.
  int64_t stored_stride[kMaxRank], stride[kMaxRank], index[kMaxRank] = {};
  int64_t step = 1;
  for (int i = file_shape.rank - 1; i >= 0; i--) stored_stride[i] = step, step *= file_shape[i];
  Shape s = shape();
  for (int i = 0; i < s.rank; i++) stride[i] = stored_stride[order[i]];
  int64_t at = 0;
  for (int64_t i = 0; i < count; i++) {
    to[i] = element(bytes.data(), dtype, at);
    for (int axis = s.rank - 1; axis >= 0; axis--) {
      at += stride[axis];
      if (++index[axis] < s[axis]) break;
      at -= stride[axis] * s[axis];
      index[axis] = 0;
    }
  }
}

}  // namespace graft
