// Numbers out of text, whatever the process's locale.
#pragma once
#include <charconv>
#include <cmath>
#include <string>

#include "error.h"

namespace graft {

inline double parse_number(const std::string& source, const std::string& what) {
  double x = 0;
  auto [end, fault] = std::from_chars(source.data(), source.data() + source.size(), x);
  require(fault == std::errc() && end == source.data() + source.size() && std::isfinite(x), what, " is not a number: \"", source, "\"");
  return x;
}

inline int64_t parse_integer(const std::string& source, const std::string& what) {
  int64_t x = 0;
  auto [end, fault] = std::from_chars(source.data(), source.data() + source.size(), x);
  require(fault == std::errc() && end == source.data() + source.size(), what, " is not a whole number: \"", source, "\"");
  return x;
}

}  // namespace graft
