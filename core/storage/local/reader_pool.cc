#include "core/storage/local/reader_pool.h"

#include <utility>

#include "core/base/thread_name.h"

namespace sluice {

ReaderPool::ReaderPool(size_t threads, size_t max_queued) : max_queued_(max_queued) {
  for (size_t i = 0; i < threads; ++i) threads_.emplace_back([this] { ThreadMain(); });
}

bool ReaderPool::Submit(std::function<void()> read) {
  MutexLock lock(mu_);
  if (stopping_ || queue_.size() >= max_queued_) return false;
  queue_.push_back(std::move(read));
  wake_.NotifyOne();
  return true;
}

void ReaderPool::Stop() {
  {
    MutexLock lock(mu_);
    stopping_ = true;
    wake_.NotifyAll();
  }
  for (std::thread& thread : threads_) {
    if (thread.joinable()) thread.join();
  }
}

void ReaderPool::ThreadMain() {
  NameThisThread("journal-read");
  for (;;) {
    std::function<void()> read;
    {
      MutexLock lock(mu_);
      while (queue_.empty() && !stopping_) wake_.Wait(lock);
      if (queue_.empty()) return;
      read = std::move(queue_.front());
      queue_.pop_front();
    }
    read();
  }
}

}  // namespace sluice
