#include "emulated/streams.h"

#include <utility>

#include "emulated/streams_state.h"
#include "error.h"

namespace graft::emulated {

State& state() {
  static State s;
  return s;
}

namespace {

bool reached(const Mark& m) { return !m.stream || m.event->done >= m.number; }

// Does the first piece of work; what it waits for is done before.
void advance(EmulatedStream& stream) {
  Task task = std::move(stream.queue.front());
  stream.queue.pop_front();
  while (!reached(task.after)) {
    if (task.after.stream->queue.empty()) break;  // its stream was synchronised by a destroy
    advance(*task.after.stream);
  }
  State& s = state();
  if (s.fault) return;  // a device that has faulted does nothing more
  try {
    if (task.work) task.work();
  } catch (...) {
    if (!s.thrown) s.thrown = std::current_exception();
  }
}

void pump() {
  for (bool moved = true; moved;) {
    moved = false;
    for (const auto& stream : state().streams)
      while (!stream->lazy && !stream->queue.empty() && reached(stream->queue.front().after)) {
        advance(*stream);
        moved = true;
      }
  }
}

}  // namespace

void push(EmulatedStream* stream, Task task) {
  State& s = state();
  (stream ? stream->work : s.default_work)++;
  if (!stream) {
    if (task.work && !s.fault) task.work();
    return;
  }
  if (stream->capture) {
    stream->capture->tasks.push_back(std::move(task.work));
    return;
  }
  stream->queue.push_back(std::move(task));
  if (!s.within) {
    s.within = true;
    pump();
    s.within = false;
  }
  if (!stream->lazy) outcome();
}

bool usable(EmulatedStream* stream) {
  if (!stream) return true;
  for (const auto& s : state().streams)
    if (s.get() == stream) return !s->destroyed;
  return false;
}

void drain(EmulatedStream* stream) {
  State& s = state();
  s.within = true;
  while (!stream->queue.empty()) advance(*stream);
  pump();
  s.within = false;
}

void drain_all() {
  for (const auto& stream : state().streams) drain(stream.get());
}

cudaError_t outcome() {
  State& s = state();
  if (s.thrown) {
    std::exception_ptr thrown = s.thrown;
    s.thrown = nullptr;
    std::rethrow_exception(thrown);
  }
  return s.fault;
}

cudaError_t enter(bool safe_in_capture) {
  State& s = state();
  s.calls++;
  if (!safe_in_capture && s.capturing == std::this_thread::get_id()) {
    s.capture_broken = true;
    return cudaErrorStreamCaptureUnsupported;
  }
  return s.fault;
}

void enqueue(EmulatedStream* stream, std::function<void()> kernel) {
  std::lock_guard<std::recursive_mutex> guard(state().lock);
  state().calls++;
  require(usable(stream), "a kernel was launched on a stream that was destroyed");
  push(stream, {[kernel = std::move(kernel)] {
    State& s = state();
    if (s.kernels_to_fault > 0 && --s.kernels_to_fault == 0) {
      s.fault = cudaErrorIllegalAddress;
      return;
    }
    kernel();
  }, {}});
}

void make_lazy(uint64_t streams) {
  std::lock_guard<std::recursive_mutex> guard(state().lock);
  state().lazy = streams;
  state().created = 0;
}
void move_to(EmulatedStream* stream, int device) {
  std::lock_guard<std::recursive_mutex> guard(state().lock);
  stream->device = device;
}
int64_t host_calls() {
  std::lock_guard<std::recursive_mutex> guard(state().lock);
  return state().calls;
}
int64_t work_on(EmulatedStream* stream) {
  std::lock_guard<std::recursive_mutex> guard(state().lock);
  return stream ? stream->work : state().default_work;
}
int64_t waits() {
  std::lock_guard<std::recursive_mutex> guard(state().lock);
  return state().waits;
}
void fault_at(int64_t kernel) {
  std::lock_guard<std::recursive_mutex> guard(state().lock);
  state().kernels_to_fault = kernel;
}
void heal() {
  std::lock_guard<std::recursive_mutex> guard(state().lock);
  state().kernels_to_fault = 0;
  state().fault = cudaSuccess;
  for (void* address : std::exchange(state().lost, {})) cudaFree(address);
}

}  // namespace graft::emulated

using namespace graft::emulated;

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  GRAFT_ENTER(false);
  State& s = state();
  s.streams.push_back(std::make_unique<EmulatedStream>());
  *stream = s.streams.back().get();
  (*stream)->lazy = s.lazy >> (s.created++ % 64) & 1;
  return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  std::lock_guard<std::recursive_mutex> guard(state().lock);
  State& s = state();
  s.calls++;
  if (!stream || !usable(stream)) return cudaErrorInvalidResourceHandle;
  drain(stream);
  stream->destroyed = true;
  return s.fault;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  GRAFT_ENTER(false);
  state().waits++;
  if (!usable(stream)) return cudaErrorInvalidResourceHandle;
  if (stream) drain(stream);
  return outcome();
}

cudaError_t cudaStreamGetDevice(cudaStream_t stream, int* device) {
  GRAFT_ENTER(true);
  if (!usable(stream)) return cudaErrorInvalidResourceHandle;
  *device = stream ? stream->device : 0;
  return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  GRAFT_ENTER(true);
  *event = new EmulatedEvent{std::make_shared<EventProgress>()};
  (*event)->timed = !(flags & cudaEventDisableTiming);
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  GRAFT_ENTER(true);
  if (!usable(stream)) return cudaErrorInvalidResourceHandle;
  const uint64_t number = ++event->recorded;
  event->stream = stream;
  push(stream, {[progress = event->progress, number] { progress->done = number, progress->at = std::chrono::steady_clock::now(); }, {}});
  return cudaSuccess;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  GRAFT_ENTER(true);
  if (event->stream) push(stream, {nullptr, {event->stream, event->progress, event->recorded}});
  return cudaSuccess;
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t begin, cudaEvent_t end) {
  GRAFT_ENTER(true);
  for (cudaEvent_t event : {begin, end}) {
    if (!event->timed || event->recorded == 0) return cudaErrorInvalidResourceHandle;
    if (event->progress->done < event->recorded) return cudaErrorNotReady;
  }
  *milliseconds = std::chrono::duration<float, std::milli>(end->progress->at - begin->progress->at).count();
  return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  GRAFT_ENTER(false);
  State& s = state();
  s.waits++;
  s.within = true;
  while (event->stream && event->progress->done < event->recorded && !event->stream->queue.empty()) advance(*event->stream);
  pump();
  s.within = false;
  return outcome();
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  GRAFT_ENTER(false);
  State& s = state();
  if (!stream || !usable(stream) || stream->capture) return cudaErrorInvalidValue;
  stream->capture = std::make_unique<EmulatedGraph>();
  s.capturing = std::this_thread::get_id();
  s.capture_broken = false;
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  GRAFT_ENTER(true);
  State& s = state();
  s.capturing = std::thread::id();
  *graph = s.capture_broken ? nullptr : stream->capture.release();
  stream->capture.reset();
  return s.capture_broken ? cudaErrorStreamCaptureInvalidated : cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long) {
  GRAFT_ENTER(false);
  *executable = new EmulatedExecutable{std::make_shared<EmulatedGraph>(*graph)};
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  delete executable;
  return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  GRAFT_ENTER(false);
  if (!usable(stream)) return cudaErrorInvalidResourceHandle;
  push(stream, {[graph = executable->graph] {
                  for (const auto& work : graph->tasks) {
                    if (state().fault) return;
                    work();
                  }
                },
                {}});
  return cudaSuccess;
}
cudaError_t cudaGetLastError() {
  std::lock_guard<std::recursive_mutex> guard(state().lock);
  return state().fault;
}
