// How the rows of a loss fall into runs whose logits are in memory at a time.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace graft {

class RowChunks {
 public:
  // As many rows as fit into `most_bytes`, but at least one; in whole eights where as many fit, so that each run begins at a multiple of
  // 16 bytes whatever its rows' length.
  RowChunks(int64_t rows, int64_t row_bytes, int64_t most_bytes) : all_(rows), chunk_(rows) {
    const int64_t fit = std::max<int64_t>(most_bytes / row_bytes, 1);
    if (fit >= rows) return;
    const int64_t runs = (rows + fit - 1) / fit;
    chunk_ = (rows + runs - 1) / runs;  // runs of one size
    if (fit >= 8) chunk_ = std::min((chunk_ + 7) / 8, fit / 8) * 8;
  }
  int64_t count() const { return (all_ + chunk_ - 1) / chunk_; }
  int64_t first(int64_t i) const { return i * chunk_; }
  int64_t rows(int64_t i) const { return std::min(chunk_, all_ - i * chunk_); }

 private:
  int64_t all_, chunk_;
};

}  // namespace graft
