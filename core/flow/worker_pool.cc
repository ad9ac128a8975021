#include "core/flow/worker_pool.h"

#include <algorithm>
#include <system_error>
#include <utility>

#include "core/base/clock.h"
#include "core/base/thread_name.h"

namespace sluice {

WorkerPool::WorkerPool(WorkerPoolOptions options)
    : options_(options), shared_(std::make_shared<Shared>()) {
  MutexLock lock(shared_->mu);
  AddThread();
}

WorkerPool::~WorkerPool() { Shutdown(absl::InfiniteDuration()); }

void WorkerPool::AddThread() {
  auto busy = std::make_shared<bool>(false);
  workers_.push_back({std::thread(ThreadMain, shared_, busy), busy});
}

bool WorkerPool::Submit(Job job) {
  MutexLock lock(shared_->mu);
  while (!shared_->closed && shared_->queue.size() >= options_.max_queued) {
    if (options_.when_full == WorkerPoolOptions::WhenFull::kRefuse) return false;
    shared_->room.Wait(lock);
  }
  if (shared_->closed) return false;
  shared_->queue.push_back(std::move(job));
  if (shared_->queue.size() > shared_->idle && workers_.size() < options_.threads) {
    try {
      AddThread();
    } catch (const std::system_error&) {
      // Those that are there will come to it.
    }
  }
  shared_->work.NotifyOne();
  return true;
}

void WorkerPool::ThreadMain(const std::shared_ptr<Shared>& shared,
                            const std::shared_ptr<bool>& busy) {
  NameThisThread("worker");
  MutexLock lock(shared->mu);
  for (;;) {
    ++shared->idle;
    while (shared->queue.empty() && !shared->closed) shared->work.Wait(lock);
    --shared->idle;
    if (shared->queue.empty()) return;
    Job job = std::move(shared->queue.front());
    shared->queue.pop_front();
    shared->room.NotifyOne();
    *busy = true;
    lock.Unlock();
    job();
    job = nullptr;
    lock.Lock();
    *busy = false;
    if (shared->closed) shared->returned.NotifyAll();
  }
}

bool WorkerPool::AnyBusy() const {
  return std::any_of(workers_.begin(), workers_.end(),
                     [](const Worker& worker) { return *worker.busy; });
}

WorkerPool::Leftover WorkerPool::Shutdown(absl::Duration timeout) {
  const SystemClock clock;
  const Instant end = clock.Now() + timeout;
  Leftover leftover;
  std::deque<Job> dropped;
  std::vector<Worker> ended;
  {
    MutexLock lock(shared_->mu);
    shared_->closed = true;
    dropped.swap(shared_->queue);
    shared_->work.NotifyAll();
    shared_->room.NotifyAll();
    while (AnyBusy() && clock.Now() < end) shared_->returned.WaitFor(lock, end - clock.Now());
    for (Worker& worker : workers_) {
      if (*worker.busy) {
        worker.thread.detach();
        ++leftover.left_behind;
      } else {
        ended.push_back(std::move(worker));
      }
    }
    workers_.clear();
  }
  for (Worker& worker : ended) worker.thread.join();
  leftover.dropped = dropped.size();
  return leftover;
}

}  // namespace sluice
