// A device: one column, the lanes that plans run on, and the kernels that callers use without a plan.
#pragma once
#include <memory>

#include "column.h"
#include "direct.h"
#include "lanes.h"

namespace graft {

struct Device {
  Device(std::unique_ptr<Column> c, int lane_count, int thread_count)
      : column(std::move(c)), lane_count(lane_count), thread_count(thread_count), direct(*column, lanes), lanes(*column, lane_count, thread_count) {}
  std::unique_ptr<Column> column;
  const int lane_count, thread_count;
  Direct direct;
  Lanes lanes;  // last: its threads end before the column goes
};

}  // namespace graft
