// The threads that serve HTTP: two, with a few connections that wait for them. When there are more
// the thread that accepts connections serves one itself, so that the rest waits with the kernel.
//
// Thread rule: as httplib::TaskQueue: enqueue and shutdown from the thread that accepts.
#pragma once

#include <httplib.h>

#include <deque>
#include <functional>
#include <thread>
#include <utility>
#include <vector>

#include "core/base/mutex.h"
#include "core/base/thread_name.h"

namespace sluice::server {

class TaskQueue final : public httplib::TaskQueue {
 public:
  static constexpr size_t kThreads = 2;
  static constexpr size_t kMaxWaiting = 64;

  TaskQueue() {
    for (size_t i = 0; i < kThreads; ++i) {
      threads_.emplace_back([this] {
        NameThisThread("http-page");
        Run();
      });
    }
  }

  // Newer versions ask whether it was taken, older ones do not.
  using Taken = decltype(std::declval<httplib::TaskQueue&>().enqueue(std::function<void()>()));
  Taken enqueue(std::function<void()> task) override EXCLUDES(mu_) {
    {
      MutexLock lock(mu_);
      if (waiting_.size() < kMaxWaiting) {
        waiting_.push_back(std::move(task));
        changed_.NotifyOne();
        return static_cast<Taken>(true);
      }
    }
    task();
    return static_cast<Taken>(true);
  }

  void shutdown() override {
    {
      MutexLock lock(mu_);
      stopping_ = true;
      changed_.NotifyAll();
    }
    for (std::thread& thread : threads_) thread.join();
  }

 private:
  void Run() EXCLUDES(mu_) {
    for (;;) {
      std::function<void()> task;
      {
        MutexLock lock(mu_);
        while (waiting_.empty() && !stopping_) changed_.Wait(lock);
        if (waiting_.empty()) return;
        task = std::move(waiting_.front());
        waiting_.pop_front();
      }
      task();
    }
  }

  Mutex mu_;
  CondVar changed_;
  std::deque<std::function<void()>> waiting_ GUARDED_BY(mu_);
  bool stopping_ GUARDED_BY(mu_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace sluice::server
