// What the files of the emulated runtime share.
#pragma once
#include <chrono>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "emulated/runtime.h"

struct EmulatedGraph {
  std::vector<std::function<void()>> tasks;
};
struct EmulatedExecutable {
  std::shared_ptr<EmulatedGraph> graph;
};

namespace graft::emulated {

struct EventProgress {
  uint64_t done = 0;
  std::chrono::steady_clock::time_point at;  // when it was done last
};

// A point that an event stood for when somebody began to wait for it; without a stream, none.
struct Mark {
  EmulatedStream* stream = nullptr;
  std::shared_ptr<EventProgress> event;
  uint64_t number = 0;
};

struct Task {
  std::function<void()> work;
  Mark after;
};

}  // namespace graft::emulated

struct EmulatedStream {
  std::deque<graft::emulated::Task> queue;
  std::unique_ptr<EmulatedGraph> capture;
  bool lazy = false, destroyed = false;
  int64_t work = 0;
  int device = 0;
};
struct EmulatedEvent {
  std::shared_ptr<graft::emulated::EventProgress> progress;
  EmulatedStream* stream = nullptr;
  uint64_t recorded = 0;
  bool timed = true;
};

namespace graft::emulated {

struct State {
  std::recursive_mutex lock;  // held while work is done, too: one device
  std::vector<std::unique_ptr<EmulatedStream>> streams;  // those that were destroyed too: no handle is used twice
  uint64_t lazy = 0, created = 0;
  int64_t default_work = 0, waits = 0;
  bool within = false;  // work is being done
  std::exception_ptr thrown;
  int64_t calls = 0, kernels_to_fault = 0;
  cudaError_t fault = cudaSuccess;
  std::vector<void*> lost;  // memory that the device did not take back, as it had faulted
  std::thread::id capturing;
  bool capture_broken = false;
};

State& state();
// Counts a call; what it must answer at once, because of a fault or because the calling thread records and the call cannot be recorded.
cudaError_t enter(bool safe_in_capture);
// Whether work may go to the stream.
bool usable(EmulatedStream* stream);
void push(EmulatedStream* stream, Task task);
void drain(EmulatedStream* stream);
void drain_all();
// Throws what work threw since the last call.
cudaError_t outcome();

}  // namespace graft::emulated

// Begins each call of the runtime but those that a device that has faulted still answers.
#define GRAFT_ENTER(safe_in_capture)                                                                     \
  std::lock_guard<std::recursive_mutex> guard(graft::emulated::state().lock);                            \
  if (const cudaError_t before = graft::emulated::enter(safe_in_capture); before != cudaSuccess) return before
