// The device's teams of threads. A plan always runs on a lane's own thread, never on the caller's, so that the number of
// teams does not grow with the number of calling threads; calls queue for a free lane. Handing a job over allocates nothing.
#pragma once
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "column.h"

namespace graft {

class Lanes {
 public:
  Lanes(Column& column, int lanes, int threads);
  ~Lanes();
  // Runs `job` on a free lane and returns when it is done; rethrows what it threw.
  template <class Job>
  void run(Job&& job) {
    Task task;
    task.call = [](void* context) { (*static_cast<std::remove_reference_t<Job>*>(context))(); };
    task.context = &job;
    submit(task);
  }

 private:
  struct Task {
    void (*call)(void*);
    void* context;
    Task* next = nullptr;
    bool done = false;
    std::exception_ptr fault;
    std::condition_variable finished;
  };
  void submit(Task& task);
  void serve(int threads);

  Column& column_;
  std::mutex mutex_;
  std::condition_variable arrived_;
  Task* first_ = nullptr;
  Task* last_ = nullptr;
  bool closing_ = false;
  int entered_ = 0;
  std::condition_variable entrance_;
  std::vector<std::thread> threads_;
};

}  // namespace graft
