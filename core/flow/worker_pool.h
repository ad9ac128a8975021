// A bounded number of threads with a bounded queue of jobs before them.
//
//   WorkerPool pool({.threads = 4, .max_queued = 100, .when_full = WorkerPoolOptions::WhenFull::kRefuse});
//   if (!pool.Submit([] {...})) ...               // full, or shut down
//   pool.Shutdown(absl::Seconds(10));
//
// The first thread is started at once, the others when there is work for them. Where the machine
// gives no more threads the pool goes on with those it has.
//
// Nobody can end a thread from outside. One whose job does not return by the end of Shutdown is
// left behind: detached, and counted. What it shares with the pool lives as long as it does; what
// its job holds is for the job to keep alive. When the job returns after all, the thread ends.
//
// Thread rule: every member may be called from any thread; Shutdown and the destructor not from a
// job. A job must not throw.
#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "absl/time/time.h"
#include "core/base/mutex.h"

namespace sluice {

struct WorkerPoolOptions {
  // One at least.
  size_t threads = 4;
  // Jobs that wait for a thread.
  size_t max_queued = 1024;
  // What Submit does when as many wait: wait for room, or refuse.
  enum class WhenFull { kBlock, kRefuse } when_full = WhenFull::kRefuse;
};

class WorkerPool {
 public:
  using Job = std::function<void()>;

  explicit WorkerPool(WorkerPoolOptions options);
  // Shuts down, however long the jobs take.
  ~WorkerPool();
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  // False when the job was not taken.
  bool Submit(Job job) EXCLUDES(shared_->mu);

  // What did not end with the pool.
  struct Leftover {
    // Jobs that never began, and are gone.
    size_t dropped = 0;
    // Threads that were still in a job.
    size_t left_behind = 0;
  };
  // Takes no more, drops what waits, gives the jobs that are running so much time.
  Leftover Shutdown(absl::Duration timeout) EXCLUDES(shared_->mu);

 private:
  // Of the pool and its threads.
  struct Shared {
    Mutex mu;
    // A job, or the end.
    CondVar work;
    // Room in the queue, or the end.
    CondVar room;
    // A job has returned.
    CondVar returned;
    std::deque<Job> queue GUARDED_BY(mu);
    size_t idle GUARDED_BY(mu) = 0;
    bool closed GUARDED_BY(mu) = false;
  };
  struct Worker {
    std::thread thread;
    // Guarded by Shared::mu; shared with the thread.
    std::shared_ptr<bool> busy;
  };

  static void ThreadMain(const std::shared_ptr<Shared>& shared, const std::shared_ptr<bool>& busy);
  void AddThread() REQUIRES(shared_->mu);
  bool AnyBusy() const REQUIRES(shared_->mu);

  const WorkerPoolOptions options_;
  const std::shared_ptr<Shared> shared_;
  std::vector<Worker> workers_ GUARDED_BY(shared_->mu);
};

}  // namespace sluice
