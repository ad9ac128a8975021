// A std::mutex that clang's thread-safety analysis and ThreadSanitizer both understand, with its lock and its
// condition variable. absl::Mutex of the system library is not instrumented for ThreadSanitizer (docs/adr/0004).
//
//   Mutex mu_;
//   int queued_ GUARDED_BY(mu_) = 0;
//   ...
//   MutexLock lock(mu_);
//   while (queued_ == 0) ready_.Wait(lock);
//
// Thread rule: these are what makes other things thread safe. docs/adr/0005 has the order in which locks are taken;
// lock_order.h checks it.
#pragma once

#include <algorithm>
#include <condition_variable>
#include <mutex>

#include "absl/time/time.h"
#include "core/base/lock_order.h"
#include "core/base/thread_annotations.h"

namespace sluice {

class CAPABILITY("mutex") Mutex {
 public:
  Mutex() : Mutex(LockRank::kLeaf) {}
  explicit Mutex(LockRank rank) : order_(rank) {}
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  void Lock() ACQUIRE() {
    order_.BeforeLock();
    mu_.lock();
    order_.Locked();
  }
  void Unlock() RELEASE() {
    order_.Unlocked();
    mu_.unlock();
  }
  // Waits for nobody, so the order does not matter to it.
  bool TryLock() TRY_ACQUIRE(true) {
    if (!mu_.try_lock()) return false;
    order_.Locked();
    return true;
  }
  // Tells the analysis what it cannot see: a lambda that is called back while its maker holds the mutex. Checks nothing.
  void AssertHeld() const ASSERT_CAPABILITY(this) {}

 private:
  friend class MutexLock;
  std::mutex mu_;
  [[no_unique_address]] LockOrder order_;
};

// Holds a Mutex for a scope; may be released early and taken again.
class SCOPED_CAPABILITY MutexLock {
 public:
  explicit MutexLock(Mutex& mu) ACQUIRE(mu) : order_(mu.order_), lock_(mu.mu_, std::defer_lock) { Take(); }
  ~MutexLock() RELEASE() {
    if (lock_.owns_lock()) order_.Unlocked();
  }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

  void Unlock() RELEASE() {
    order_.Unlocked();
    lock_.unlock();
  }
  void Lock() ACQUIRE() { Take(); }

 private:
  friend class CondVar;

  void Take() {
    order_.BeforeLock();
    lock_.lock();
    order_.Locked();
  }

  const LockOrder& order_;
  std::unique_lock<std::mutex> lock_;
};

// Waits may end early for no reason: call them in a loop over the condition.
class CondVar {
 public:
  void Wait(MutexLock& lock) { cv_.wait(lock.lock_); }

  // Returns false when `timeout` has passed.
  bool WaitFor(MutexLock& lock, absl::Duration timeout) {
    // Longer ones would overflow when added to the time of day; they end early.
    constexpr absl::Duration kLongest = absl::Hours(24);
    return cv_.wait_for(lock.lock_, absl::ToChronoNanoseconds(std::min(timeout, kLongest))) ==
               std::cv_status::no_timeout ||
           timeout > kLongest;
  }

  void NotifyOne() { cv_.notify_one(); }
  void NotifyAll() { cv_.notify_all(); }

 private:
  std::condition_variable cv_;
};

}  // namespace sluice
