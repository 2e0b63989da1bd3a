// Owned column memory.
#pragma once
#include <algorithm>
#include <utility>
#include <vector>

#include "column.h"

namespace graft {

class Buffer {
 public:
  Buffer() = default;
  Buffer(Column& column, size_t bytes) : column_(&column), address_(bytes ? column.allocate(bytes) : nullptr), bytes_(bytes) {}
  Buffer(Buffer&& o) noexcept { swap(o); }
  Buffer& operator=(Buffer&& o) noexcept { Buffer moved(std::move(o)); swap(moved); return *this; }
  ~Buffer() { if (address_) column_->release(address_, bytes_); }

  void* address() const { return address_; }
  // Address arithmetic only: never dereferenced here.
  void* at(size_t offset) const { return static_cast<char*>(address_) + offset; }
  size_t bytes() const { return bytes_; }
  void clear() {
    const std::vector<char> zeros(std::min<size_t>(bytes_, 1 << 20));
    for (size_t at = 0; at < bytes_; at += zeros.size())
      column_->copy_in(this->at(at), zeros.data(), std::min(zeros.size(), bytes_ - at));
  }
  explicit operator bool() const { return address_ != nullptr; }

 private:
  void swap(Buffer& o) noexcept {
    std::swap(column_, o.column_);
    std::swap(address_, o.address_);
    std::swap(bytes_, o.bytes_);
  }
  Column* column_ = nullptr;
  void* address_ = nullptr;
  size_t bytes_ = 0;
};

// Owned memory of the host that a column's enqueued copies can reach.
class HostBuffer {
 public:
  HostBuffer(Column& column, size_t bytes) : column_(column), bytes_(bytes), address_(static_cast<char*>(column.allocate_host(bytes))) {}
  ~HostBuffer() { column_.release_host(address_, bytes_); }
  HostBuffer(const HostBuffer&) = delete;
  HostBuffer& operator=(const HostBuffer&) = delete;
  char* data() const { return address_; }
  size_t size() const { return bytes_; }

 private:
  Column& column_;
  size_t bytes_;
  char* address_;
};

}  // namespace graft
