// A mutex of one word that clang's thread-safety analysis and ThreadSanitizer both understand, with
// its lock and its condition variable. Nobody else in the way, it costs one atomic exchange each
// way, inline: half of a std::mutex, ten times for every message that is published and delivered
// (docs/adr/0016). Who has to wait does so in a futex of Linux. absl::Mutex of the system library
// is not instrumented for ThreadSanitizer.
//
//   Mutex mu_;
//   int queued_ GUARDED_BY(mu_) = 0;
//   ...
//   MutexLock lock(mu_);
//   while (queued_ == 0) ready_.Wait(lock);
//
// Thread rule: these are what makes other things thread safe. docs/adr/0005 has the order in which
// locks are taken; lock_order.h checks it.
#pragma once

#include <atomic>
#include <cstdint>

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
    Take();
    order_.Locked();
  }
  void Unlock() RELEASE() {
    order_.Unlocked();
    Give();
  }
  // Waits for nobody, so the order does not matter to it.
  bool TryLock() TRY_ACQUIRE(true) {
    if (!TryTake()) return false;
    order_.Locked();
    return true;
  }
  // Tells the analysis what it cannot see: a lambda that is called back while its maker holds the
  // mutex. Checks nothing.
  void AssertHeld() const ASSERT_CAPABILITY(this) {}

 private:
  friend class MutexLock;
  friend class CondVar;

  // The mutex of "Futexes Are Tricky" (Drepper, 2011), its third: who finds it held marks it, and
  // who gives back what is marked wakes one of those who wait.
  enum State : uint32_t { kFree, kHeld, kWaitedFor };

  bool TryTake() {
    uint32_t free = kFree;
    return state_.compare_exchange_strong(free, kHeld, std::memory_order_acquire,
                                          std::memory_order_relaxed);
  }
  void Take() {
    if (!TryTake()) Wait();
  }
  void Give() {
    if (state_.exchange(kFree, std::memory_order_release) == kWaitedFor) WakeOne();
  }
  // Until it is ours.
  void Wait();
  void WakeOne();

  std::atomic<uint32_t> state_{kFree};
  [[no_unique_address]] LockOrder order_;
};

// Holds a Mutex for a scope; may be released early and taken again.
class SCOPED_CAPABILITY MutexLock {
 public:
  explicit MutexLock(Mutex& mu) ACQUIRE(mu) : mu_(mu) { mu_.Lock(); }
  ~MutexLock() RELEASE() {
    if (held_) mu_.Unlock();
  }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

  void Unlock() RELEASE() {
    held_ = false;
    mu_.Unlock();
  }
  void Lock() ACQUIRE() {
    mu_.Lock();
    held_ = true;
  }

 private:
  friend class CondVar;

  Mutex& mu_;
  bool held_ = true;
};

// Waits may end early for no reason: call them in a loop over the condition. What the condition
// looks at is changed under the mutex; to notify nobody costs next to nothing.
class CondVar {
 public:
  void Wait(MutexLock& lock) { WaitOn(lock.mu_, absl::InfiniteDuration()); }
  // Returns false when `timeout` has passed.
  bool WaitFor(MutexLock& lock, absl::Duration timeout) { return WaitOn(lock.mu_, timeout); }

  void NotifyOne() {
    if (waiting_.load(std::memory_order_relaxed) > 0) Wake(1);
  }
  void NotifyAll() {
    if (waiting_.load(std::memory_order_relaxed) > 0) Wake(kAll);
  }

 private:
  static constexpr int kAll = INT32_MAX;

  // To the order of locks, who waits still holds the mutex.
  bool WaitOn(Mutex& mu, absl::Duration timeout);
  void Wake(int count);

  // Grows under the mutex: who changes something afterwards, under it as well, sees that somebody
  // waits.
  std::atomic<uint32_t> waiting_{0};
  // Changes with each call that wakes someone, so that who is about to sleep does not.
  std::atomic<uint32_t> calls_{0};
};

}  // namespace sluice
