#include "lanes.h"

namespace graft {

Lanes::Lanes(Column& column, int lanes, int threads) : column_(column) {
  for (int i = 0; i < lanes; i++) threads_.emplace_back([this, threads] { serve(threads); });
  // Kernels are prepared for the lanes' number of threads, which the column learns as they enter.
  std::unique_lock<std::mutex> hold(mutex_);
  entrance_.wait(hold, [&] { return entered_ == lanes; });
}

Lanes::~Lanes() {
  {
    std::lock_guard<std::mutex> hold(mutex_);
    closing_ = true;
  }
  arrived_.notify_all();
  for (auto& t : threads_) t.join();
}

void Lanes::submit(Task& task) {
  std::unique_lock<std::mutex> hold(mutex_);
  (last_ ? last_->next : first_) = &task;
  last_ = &task;
  arrived_.notify_one();
  task.finished.wait(hold, [&] { return task.done; });
  if (task.fault) std::rethrow_exception(task.fault);
}

void Lanes::serve(int threads) {
  column_.enter_lane(threads);
  std::unique_lock<std::mutex> hold(mutex_);
  entered_++;
  entrance_.notify_one();
  for (;;) {
    arrived_.wait(hold, [&] { return first_ || closing_; });
    if (!first_) return;
    Task* task = first_;
    first_ = task->next;
    if (!first_) last_ = nullptr;
    hold.unlock();
    try {
      task->call(task->context);
    } catch (...) {
      task->fault = std::current_exception();
    }
    hold.lock();
    task->done = true;
    task->finished.notify_one();  // under the lock: the caller frees the task as soon as it sees `done`
  }
}

}  // namespace graft
