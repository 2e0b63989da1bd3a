// Streams, events and graphs of the emulated runtime. Ordinarily work is done when it is enqueued, as soon as the events that its stream
// waits for let it. The work of a lazy stream waits until somebody needs it: whoever synchronises with the stream, or waits for an
// event behind it. So a wait that is missing shows: what it would have waited for has not happened, or, with the other of two streams
// lazy, has happened already. Without a stream work is done at once.
//
// A kernel's arguments are copied when it is launched, memory is read when the work is done. What work throws is thrown when it is
// enqueued, on a lazy stream by the next synchronisation with any stream.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>

struct EmulatedStream;

namespace graft::emulated {

// Does a kernel's work in the order of the stream, or adds it to what the stream records.
void enqueue(EmulatedStream* stream, std::function<void()> kernel);

// Of the streams created from now on, number k of each 64 is lazy where bit k is set.
void make_lazy(uint64_t streams);

// From now on the stream is one of GPU `device`, as calls that ask are told.
void move_to(EmulatedStream* stream, int device);

// Calls of the runtime in this process so far, kernel launches among them.
int64_t host_calls();
// Pieces of work that were enqueued on a stream so far (null: the default stream), and how often a host thread waited for any.
int64_t work_on(EmulatedStream* stream);
int64_t waits();

// From now on the device answers as after a fault in the kernel that runs as number `kernel` (1: the next), until heal(), which also takes back
// what was given back meanwhile.
void fault_at(int64_t kernel);
void heal();

// The device refuses `count` allocations, of which the first comes as number `allocation` (1: the next); 0: none any more. Whether one was
// refused since the last call.
bool refuse(int64_t allocation, int64_t count = 1);

}  // namespace graft::emulated
