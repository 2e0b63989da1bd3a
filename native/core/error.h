// Failures inside the library: thrown as Error, turned into a status and a message by api/handles.h alone.
#pragma once
#include <locale>
#include <sstream>
#include <stdexcept>
#include <string>

#include "graft.h"

namespace graft {

class Error : public std::runtime_error {
 public:
  Error(int status, const std::string& message) : std::runtime_error(message), status_(status) {}
  int status() const { return status_; }

 private:
  int status_;
};

// Joins its arguments as text.
template <class... Parts>
std::string text(const Parts&... parts) {
  std::ostringstream stream;
  stream.imbue(std::locale::classic());
  (stream << ... << parts);
  return stream.str();
}

// The caller's fault unless the condition holds.
template <class... Parts>
void require(bool condition, const Parts&... parts) {
  if (!condition) throw Error(GRAFT_INVALID_ARGUMENT, text(parts...));
}

// A defect of this library unless the condition holds.
template <class... Parts>
void ensure(bool condition, const Parts&... parts) {
  if (!condition) throw Error(GRAFT_INTERNAL, text(parts...));
}

}  // namespace graft
