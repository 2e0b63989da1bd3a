// A session whose step block is set and read by name and index, with checks that a test's mistake shows.
#pragma once
#include <cmath>

#include "session.h"

namespace graft::test {

class NumberedSession : public Session {
 public:
  using Session::Session;
  void set(const std::string& key, int index, double value) {
    if (key == "updates") return updates(static_cast<int64_t>(value));
    const auto [at, bytes] = numbers(key);
    require(index >= 0 && (4 * static_cast<size_t>(index) < bytes), key, " has no ", index);
    if (key == "seed") *static_cast<uint64_t*>(at) = static_cast<uint64_t>(value);
    else if (key == "visit") *static_cast<int32_t*>(at) = static_cast<int32_t>(value);
    else static_cast<float*>(at)[index] = static_cast<float>(value);
  }
  void rows(int valid, const float* weights, const int64_t* ids) {
    *static_cast<int32_t*>(numbers("valid_rows").first) = valid;
    const auto [at, bytes] = numbers("row_weight");
    for (int i = 0; i < static_cast<int>(bytes / 4); i++) {
      static_cast<float*>(at)[i] = i >= valid ? 0 : weights ? weights[i] : 1;
      static_cast<int64_t*>(numbers("row_id").first)[i] = ids ? ids[i] : i;
    }
  }
  // Losses, correct rows, norm of the gradients.
  void results(double* values, int count) const {
    const int losses = static_cast<int>(numbers("loss").second / 4);
    require(count == 2 * losses + 1, "results are ", 2 * losses + 1, " numbers, room for ", count, " was given");
    for (int i = 0; i < losses; i++) {
      values[i] = static_cast<const float*>(numbers("loss").first)[i];
      values[losses + i] = static_cast<const float*>(numbers("correct").first)[i];
    }
    values[2 * losses] = *static_cast<const float*>(numbers("gradient_norm").first);
  }
  void update_norms(double* values, int count) const {
    const auto [at, bytes] = numbers("update_norms");
    require(16 * static_cast<size_t>(count) == 2 * bytes, "update norms are ", bytes / 8, " numbers");
    for (int i = 0; i < count; i++) values[i] = std::sqrt(static_cast<const double*>(at)[i]);
  }
};

}  // namespace graft::test
