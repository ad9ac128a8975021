// A gate in front of something that will be shut down: work enters and leaves, Close lets no more
// in, and WaitEmpty waits until the last has left. (The shape is seastar's gate.) Cores do not
// fight over it: who is inside is counted by stripes.
//
//   Gate::Pass pass(gate);
//   if (!pass) return Error(Reason::kDraining, ...);
//   ... work ...                        // the pass leaves at the end of its scope
//
//   gate.Close();  gate.WaitEmpty(absl::Seconds(5));
//
// Thread rule: every member may be called from any thread. A pass may leave on another thread than
// it entered on.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <utility>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "core/base/clock.h"
#include "core/base/stripes.h"

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
    std::atomic<int64_t>& inside = stripes_[ThisStripe()].inside;
    // This and Close are in one order for all: either the flag is seen here, or we are seen by who
    // waits.
    inside.fetch_add(1, std::memory_order_seq_cst);
    if (!closed_.load(std::memory_order_seq_cst)) return true;
    inside.fetch_sub(1, std::memory_order_release);
    return false;
  }

  // The last thing that is done with the gate: it may be destroyed as soon as WaitEmpty has
  // returned.
  void Leave() { stripes_[ThisStripe()].inside.fetch_sub(1, std::memory_order_release); }

  void Close() { closed_.store(true, std::memory_order_seq_cst); }
  bool closed() const { return closed_.load(std::memory_order_acquire); }

  // REQUIRES: Close() was called. False when some are still inside after `timeout`. It looks again
  // and again: whoever had to wake it would have to touch the gate after leaving.
  bool WaitEmpty(absl::Duration timeout) const {
    constexpr absl::Duration kShortest = absl::Microseconds(20);
    constexpr absl::Duration kLongest = absl::Milliseconds(1);
    const SystemClock clock;
    const Instant start = clock.Now();
    for (absl::Duration pause = kShortest; !Empty(); pause = std::min(pause * 2, kLongest)) {
      const absl::Duration left = timeout - (clock.Now() - start);
      if (left <= absl::ZeroDuration()) return false;
      absl::SleepFor(std::min(pause, left));
    }
    return true;
  }

 private:
  struct alignas(kCacheLineBytes) Stripe {
    // Who entered here less who left here, maybe from somewhere else.
    std::atomic<int64_t> inside{0};
  };

  // Nobody enters any more, so what is seen of those who leave can only be too little.
  bool Empty() const {
    int64_t inside = 0;
    for (const Stripe& stripe : stripes_) inside += stripe.inside.load(std::memory_order_seq_cst);
    return inside == 0;
  }

  std::array<Stripe, kStripes> stripes_;
  alignas(kCacheLineBytes) std::atomic<bool> closed_{false};
};

}  // namespace sluice
