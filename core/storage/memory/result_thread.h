// The thread that runs the results of appends of a memory store, in place of those who append.
//
// Thread rule: Run from any thread but after Stop. Each log is in it at most once at a time.
#pragma once

#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "core/base/mutex.h"
#include "core/base/thread_name.h"
#include "core/storage/memory/memory_backend.h"

namespace sluice {

class ResultThread {
 public:
  ResultThread() : thread_([this] { RunLogs(); }) {}
  ~ResultThread() { Stop(); }

  void Run(std::shared_ptr<MemoryLog> log) EXCLUDES(mu_) {
    MutexLock lock(mu_);
    waiting_.push_back(std::move(log));
    changed_.NotifyAll();
  }

  // Returns when all results have been run. Not from a result.
  void Stop() EXCLUDES(mu_) {
    {
      MutexLock lock(mu_);
      stopping_ = true;
      changed_.NotifyAll();
    }
    if (thread_.joinable()) thread_.join();
  }

 private:
  void RunLogs() EXCLUDES(mu_) {
    NameThisThread("memory-results");
    std::vector<std::shared_ptr<MemoryLog>> logs;
    for (;;) {
      {
        MutexLock lock(mu_);
        while (waiting_.empty() && !stopping_) changed_.Wait(lock);
        if (waiting_.empty()) return;
        logs.swap(waiting_);
      }
      // One round each, so that a busy log does not make the others wait.
      for (auto& log : logs) {
        if (log->RunResults()) Run(std::move(log));
      }
      logs.clear();
    }
  }

  Mutex mu_;
  CondVar changed_;
  std::vector<std::shared_ptr<MemoryLog>> waiting_ GUARDED_BY(mu_);
  bool stopping_ GUARDED_BY(mu_) = false;
  std::thread thread_;
};

}  // namespace sluice
