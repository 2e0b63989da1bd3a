// What a plan is compiled for, as the lines of text that graft_plan_compile takes.
#pragma once
#include <set>
#include <string>
#include <vector>

#include "column.h"
#include "trainables.h"

namespace graft {

struct PlanOptions {
  bool train = false;
  DType compute = DType::F32;
  int batch = 1;
  bool fold = true;
  bool fuse = true;
  bool signs = true;  // a result that backward reads for its activation's sign alone is kept as a bit an element
  bool accumulate = false;
  bool optimizer = false;
  OptimizerRequest update;  // segments are filled in by the planner
  int groups = 1;
  struct Trained {
    std::string name;
    int group = 0;
    RowRanges rows;
    std::string mask;
  };
  std::vector<Trained> trained;
  std::set<std::string> tracked;
  std::vector<std::string> kept;
  std::set<std::string> resident;
  int64_t limit = 0;
  ProductChoice products;

  static PlanOptions parse(const std::string& lines);
};

}  // namespace graft
