// The known name that a mistyped one most resembles, for error messages (Levenshtein distance).
#pragma once
#include <algorithm>
#include <string>
#include <vector>

namespace graft {

inline size_t edit_distance(const std::string& a, const std::string& b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); j++) row[j] = j;
  for (size_t i = 1; i <= a.size(); i++) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); j++) {
      size_t above = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1])});
      diagonal = above;
    }
  }
  return row[b.size()];
}

inline std::string nearest_name(const std::string& name, const std::vector<std::string>& known) {
  std::string best = "none";
  size_t least = static_cast<size_t>(-1);
  for (const auto& k : known) {
    size_t d = edit_distance(name, k);
    if (d < least) least = d, best = k;
  }
  return best;
}

}  // namespace graft
