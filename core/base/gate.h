// A gate in front of something that will be shut down: work enters and leaves, Close lets no more in and waits until
// the last has left. (The shape is seastar's gate.)
//
//   Gate::Pass pass(gate);
//   if (!pass) return Error(Reason::kDraining, ...);
//   ... work ...                        // the pass leaves at the end of its scope
//
//   gate.Close();  gate.WaitEmpty(absl::Seconds(5));
//
// Thread rule: every member may be called from any thread. A pass may leave on another thread than it entered on.
#pragma once

#include <utility>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "core/base/mutex.h"

namespace sluice {

class Gate {
 public:
  // Entered while it lives, unless the gate was closed; then it is false.
  class Pass {
   public:
    Pass() = default;
    explicit Pass(Gate& gate) : gate_(gate.Enter() ? &gate : nullptr) {}
    Pass(Pass&& other) noexcept : gate_(std::exchange(other.gate_, nullptr)) {}
    Pass& operator=(Pass&& other) noexcept {
      std::swap(gate_, other.gate_);
      return *this;
    }
    ~Pass() {
      if (gate_ != nullptr) gate_->Leave();
    }
    explicit operator bool() const { return gate_ != nullptr; }

   private:
    Gate* gate_ = nullptr;
  };

  // False once closed.
  bool Enter() EXCLUDES(mu_) {
    MutexLock lock(mu_);
    if (closed_) return false;
    ++inside_;
    return true;
  }

  void Leave() EXCLUDES(mu_) {
    MutexLock lock(mu_);
    if (--inside_ == 0 && closed_) empty_.NotifyAll();
  }

  void Close() EXCLUDES(mu_) {
    MutexLock lock(mu_);
    closed_ = true;
    if (inside_ == 0) empty_.NotifyAll();
  }

  // REQUIRES: Close() was called. False when some are still inside after `timeout`.
  bool WaitEmpty(absl::Duration timeout) EXCLUDES(mu_) {
    const absl::Time end = absl::Now() + timeout;
    MutexLock lock(mu_);
    while (inside_ > 0) {
      const absl::Duration left = end - absl::Now();
      if (left <= absl::ZeroDuration()) return false;
      empty_.WaitFor(lock, left);
    }
    return true;
  }

  bool closed() const EXCLUDES(mu_) {
    MutexLock lock(mu_);
    return closed_;
  }

 private:
  mutable Mutex mu_;
  CondVar empty_;
  int inside_ GUARDED_BY(mu_) = 0;
  bool closed_ GUARDED_BY(mu_) = false;
};

}  // namespace sluice
