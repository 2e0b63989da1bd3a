// Low-rank updates on the caller's memory, through the C interface, on both columns.
#include "graft.h"
#include "harness.h"

using namespace graft;
using namespace graft::test;

namespace {

struct Merge {
  int64_t rows, columns, rank, width;
  std::vector<int64_t> starts;
  std::string label() const { return text("merge ", rows, "x", columns, " rank ", rank, " in ", starts.size(), " slices of ", width); }
};

std::vector<float> normal(Harness& harness, const std::string& name, int64_t n) {
  Random random(harness.seed(), name);
  std::vector<float> values(n);
  for (float& v : values) v = static_cast<float>(random.normal());
  return values;
}

int64_t address(const void* p) { return reinterpret_cast<int64_t>(p); }

class MergeTest {
 public:
  MergeTest(Harness& harness, const char* column) : harness_(harness), column_(column) {
    ensure(graft_device_open(column, 2, 1, &device_) == GRAFT_OK, graft_last_error());
  }
  ~MergeTest() { graft_device_close(device_); }

  void there_and_back(const Merge& m) {
    harness_.test(text(column_, ": ", m.label(), ", then off again"), [&] {
      const int64_t slices = static_cast<int64_t>(m.starts.size());
      const std::vector<float> before = normal(harness_, "w", m.rows * m.columns), a = normal(harness_, "a", slices * m.rank * m.columns);
      const std::vector<float> b = normal(harness_, "b", slices * m.width * m.rank);
      std::vector<float> w = before;
      std::vector<double> expected(w.begin(), w.end());
      for (int64_t row = 0; row < slices * m.width; row++)
        for (int64_t k = 0; k < m.columns; k++)
          for (int64_t j = 0; j < m.rank; j++)
            expected[(m.starts[row / m.width] + row % m.width) * m.columns + k] +=
                0.25 * b[row * m.rank + j] * a[(row / m.width * m.rank + j) * m.columns + k];
      call(m, 0.25, w, a, b);
      // Sums of `rank` products in F32, of sizes around sqrt(rank) / 4.
      harness_.expect_close("merged", expected, {w.begin(), w.end()}, 1e-6, std::sqrt(static_cast<double>(m.rank)));
      call(m, -0.25, w, a, b);
      // One rounding of the merged weight each way.
      harness_.expect_close("unmerged", {before.begin(), before.end()}, {w.begin(), w.end()}, 0x1p-23, 2 + std::sqrt(static_cast<double>(m.rank)));
    });
  }

  void errors() {
    std::vector<float> w(6 * 4), a(2 * 2 * 4), b(2 * 2 * 2);
    const int64_t starts[] = {0, 3}, overlapping[] = {0, 1};
    auto refuses = [&](const std::string& part, int64_t rows, int64_t rank, double factor, int32_t slices, int64_t width, const int64_t* first, int64_t weight,
                       int64_t count, int64_t b_count) {
      const int32_t status = graft_low_rank_merge(device_, 0, GRAFT_F32, rows, 4, rank, factor, slices, width, first, weight, count, address(a.data()), 16,
                                                  address(b.data()), b_count);
      const std::string message = graft_last_error();
      harness_.test(text(column_, ": merge refuses: ", part), [&] {
        harness_.expect(status == GRAFT_INVALID_ARGUMENT && message.find(part) != std::string::npos, "status ", status, ": ", message);
      });
    };
    const int64_t at = address(w.data());
    refuses("weight: the address is null", 6, 2, 1, 2, 2, starts, 0, 24, 8);
    refuses("is no place for f32", 6, 2, 1, 2, 2, starts, at + 1, 24, 8);
    refuses("weight: 24 elements of f32 are needed, 23 came", 6, 2, 1, 2, 2, starts, at, 23, 8);
    refuses("b: 8 elements of f32 are needed, 7 came", 6, 2, 1, 2, 2, starts, at, 24, 7);
    refuses("weight overlaps a", 6, 2, 1, 2, 2, starts, address(a.data()), 24, 8);
    refuses("slices must ascend without overlap", 6, 2, 1, 2, 2, overlapping, at, 24, 8);
    refuses("within the 4 columns, but slice 1 is columns 3..4", 4, 2, 1, 2, 2, starts, at, 16, 8);
    refuses("factor must be finite, got nan", 6, 2, NAN, 2, 2, starts, at, 24, 8);
    refuses("slices are 0; expected 1 to 8", 6, 2, 1, 0, 2, starts, at, 24, 8);
    refuses("rank is 0; expected 1 to 2^40", 6, 0, 1, 2, 2, starts, at, 24, 8);
    refuses("starts is null", 6, 2, 1, 2, 2, nullptr, at, 24, 8);
    harness_.test(text(column_, ": a refused merge changes nothing"), [&] {
      harness_.expect(w == std::vector<float>(24, 0), "the weight has changed");
    });
  }

 private:
  void call(const Merge& m, double factor, std::vector<float>& w, const std::vector<float>& a, const std::vector<float>& b) {
    ensure(graft_low_rank_merge(device_, 0, GRAFT_F32, m.rows, m.columns, m.rank, factor, static_cast<int32_t>(m.starts.size()), m.width, m.starts.data(),
                                address(w.data()), static_cast<int64_t>(w.size()), address(a.data()), static_cast<int64_t>(a.size()),
                                address(b.data()), static_cast<int64_t>(b.size())) == GRAFT_OK,
           graft_last_error());
  }
  Harness& harness_;
  std::string column_;
  graft_device* device_ = nullptr;
};

}  // namespace

int main(int argc, char** argv) {
  Harness harness(argc, argv);
  for (const char* column : {"reference", "cpu"}) {
    MergeTest test(harness, column);
    for (int64_t rank : {1, 8, 33}) test.there_and_back({37, 70, rank, 37, {0}});
    test.there_and_back({1, 1, 1, 1, {0}});
    test.there_and_back({300, 17, 256, 300, {0}});
    test.there_and_back({120, 33, 4, 40, {0, 80}});
    test.there_and_back({57, 64, 5, 17, {1, 35}});
    test.errors();
  }
  return harness.finish();
}
