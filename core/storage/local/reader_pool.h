// A few threads that read from the disk, so that nobody else waits for it. Bounded: what does not
// fit is refused, and the caller comes again later.
//
// Thread rule: Submit from any thread. Stop runs what is queued, then ends the threads.
#pragma once

#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "core/base/mutex.h"

namespace sluice {

class ReaderPool {
 public:
  ReaderPool(size_t threads, size_t max_queued);
  ~ReaderPool() { Stop(); }

  // False when the queue is full or the pool was stopped.
  bool Submit(std::function<void()> read) EXCLUDES(mu_);
  void Stop() EXCLUDES(mu_);

 private:
  void ThreadMain() EXCLUDES(mu_);

  const size_t max_queued_;
  std::vector<std::thread> threads_;

  Mutex mu_;
  CondVar wake_;
  std::deque<std::function<void()>> queue_ GUARDED_BY(mu_);
  bool stopping_ GUARDED_BY(mu_) = false;
};

}  // namespace sluice
