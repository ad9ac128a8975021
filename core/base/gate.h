// A gate in front of something that will be shut down: work enters and leaves, Close lets no more in, and WaitEmpty
// waits until the last has left. (The shape is seastar's gate.)
//
//   Gate::Pass pass(gate);
//   if (!pass) return Error(Reason::kDraining, ...);
//   ... work ...                        // the pass leaves at the end of its scope
//
//   gate.Close();  gate.WaitEmpty(absl::Seconds(5));
//
// Thread rule: every member may be called from any thread. A pass may leave on another thread than it entered on.
#pragma once

#include <atomic>
#include <cstdint>
#include <utility>

#include "absl/time/time.h"
#include "core/base/clock.h"
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
  bool Enter() {
    uint64_t state = state_.load(std::memory_order_relaxed);
    while ((state & kClosed) == 0) {
      if (state_.compare_exchange_weak(state, state + kOne, std::memory_order_acq_rel)) return true;
    }
    return false;
  }

  void Leave() EXCLUDES(mu_) {
    uint64_t state = state_.load(std::memory_order_relaxed);
    while ((state & kClosed) == 0) {
      if (state_.compare_exchange_weak(state, state - kOne, std::memory_order_acq_rel)) return;
    }
    // Under the lock, so that the gate may be destroyed as soon as WaitEmpty has returned.
    MutexLock lock(mu_);
    if (state_.fetch_sub(kOne, std::memory_order_acq_rel) == (kOne | kClosed)) empty_.NotifyAll();
  }

  void Close() { state_.fetch_or(kClosed, std::memory_order_acq_rel); }
  bool closed() const { return (state_.load(std::memory_order_acquire) & kClosed) != 0; }

  // REQUIRES: Close() was called. False when some are still inside after `timeout`.
  bool WaitEmpty(absl::Duration timeout) EXCLUDES(mu_) {
    const SystemClock clock;
    const Instant start = clock.Now();
    MutexLock lock(mu_);
    while (state_.load(std::memory_order_acquire) >= kOne) {
      const absl::Duration left = timeout - (clock.Now() - start);
      if (left <= absl::ZeroDuration()) return false;
      empty_.WaitFor(lock, left);
    }
    return true;
  }

 private:
  // The lowest bit says closed, the rest counts who is inside.
  static constexpr uint64_t kClosed = 1;
  static constexpr uint64_t kOne = 2;

  std::atomic<uint64_t> state_{0};
  Mutex mu_;
  CondVar empty_;
};

}  // namespace sluice
