// Has the kernel begin to write files, on a thread of its own: for a whole segment that takes tens
// of milliseconds, which nobody who appends is to wait for. An error is told by the next Sync of
// the file.
//
// Thread rule: Begin from any thread. Bounded by the owner, which syncs the last file before it
// gives another.
#pragma once

#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "core/base/mutex.h"
#include "core/base/thread_name.h"
#include "core/storage/local/file_system.h"

namespace sluice {

class Writeback {
 public:
  Writeback() : thread_([this] { Run(); }) {}
  ~Writeback() {
    {
      MutexLock lock(mu_);
      stopping_ = true;
      changed_.NotifyAll();
    }
    thread_.join();
  }

  void Begin(std::shared_ptr<File> file) EXCLUDES(mu_) {
    MutexLock lock(mu_);
    waiting_.push_back(std::move(file));
    changed_.NotifyAll();
  }

 private:
  void Run() EXCLUDES(mu_) {
    NameThisThread("journal-writes");
    for (;;) {
      std::vector<std::shared_ptr<File>> files;
      {
        MutexLock lock(mu_);
        while (waiting_.empty() && !stopping_) changed_.Wait(lock);
        if (stopping_) return;
        files.swap(waiting_);
      }
      for (const auto& file : files) file->BeginSync();
    }
  }

  Mutex mu_;
  CondVar changed_;
  std::vector<std::shared_ptr<File>> waiting_ GUARDED_BY(mu_);
  bool stopping_ GUARDED_BY(mu_) = false;
  std::thread thread_;
};

}  // namespace sluice
