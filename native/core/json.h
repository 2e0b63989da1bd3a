// Writes JSON text, a token after the other.
#pragma once
#include <cmath>
#include <cstdio>
#include <string>

namespace graft {

class Json {
 public:
  Json& begin_object() { return open('{'); }
  Json& end_object() { return close('}'); }
  Json& begin_array() { return open('['); }
  Json& end_array() { return close(']'); }
  Json& key(const std::string& k) {
    comma();
    quote(k);
    text_ += ':';
    fresh_ = true;
    return *this;
  }
  Json& string(const std::string& s) { comma(); quote(s); return *this; }
  Json& number(int64_t n) { comma(); text_ += std::to_string(n); return *this; }
  Json& number(double x) {
    comma();
    if (!std::isfinite(x)) { text_ += "null"; return *this; }
    char digits[32];
    std::snprintf(digits, sizeof digits, "%.9g", x);
    for (char* c = digits; *c; c++) if (*c == ',') *c = '.';  // locales with a decimal comma
    text_ += digits;
    return *this;
  }
  Json& boolean(bool b) { comma(); text_ += b ? "true" : "false"; return *this; }
  // Text that is JSON already.
  Json& raw(const std::string& json) { comma(); text_ += json; return *this; }
  Json& field(const std::string& k, const std::string& v) { return key(k).string(v); }
  Json& field(const std::string& k, const char* v) { return key(k).string(v); }
  Json& field(const std::string& k, int64_t v) { return key(k).number(v); }
  Json& field(const std::string& k, int v) { return key(k).number(static_cast<int64_t>(v)); }
  Json& field(const std::string& k, double v) { return key(k).number(v); }
  Json& field(const std::string& k, bool v) { return key(k).boolean(v); }
  const std::string& text() const { return text_; }

 private:
  Json& open(char c) { comma(); text_ += c; fresh_ = true; return *this; }
  Json& close(char c) { text_ += c; fresh_ = false; return *this; }
  void comma() {
    if (!fresh_) text_ += ',';
    fresh_ = false;
  }
  void quote(const std::string& s) {
    text_ += '"';
    for (unsigned char c : s) {
      if (c == '"' || c == '\\') { text_ += '\\'; text_ += static_cast<char>(c); }
      else if (c < 0x20) { char u[8]; std::snprintf(u, sizeof u, "\\u%04x", c); text_ += u; }
      else text_ += static_cast<char>(c);
    }
    text_ += '"';
  }
  std::string text_;
  bool fresh_ = true;
};

}  // namespace graft
