// A device: one column and the lanes that plans run on.
#pragma once
#include <memory>

#include "column.h"
#include "lanes.h"

namespace graft {

struct Device {
  Device(std::unique_ptr<Column> c, int lane_count, int thread_count)
      : column(std::move(c)), lane_count(lane_count), thread_count(thread_count), lanes(*column, lane_count, thread_count) {}
  std::unique_ptr<Column> column;
  const int lane_count, thread_count;
  Lanes lanes;  // last: its threads end before the column goes
};

}  // namespace graft
