// How many messages may be leased (delivered and not settled) at once: of one subscription, and of all together. Who
// finds no room is called when there is some, in the order of asking, so that one subscription with slow consumers may
// take the room that is there but not the place in the line.
//
//   LeaseQuota quota({.server = 10'000'000, .subscription = 1'000'000}, timers, clock);
//   LeaseQuota::Share share(quota, [weak] { if (auto s = weak.lock()) s->Pump(); });       // one each
//   const uint64_t count = share.Take(wanted);         // 0: stop, the function is called later
//   share.Give(count);                                 // when leases end, however they do
//
// Thread rule: every member may be called from any thread, also under a subscription's lock: its own lock is a leaf but
// for the timers', and functions are called by the timers, with no lock held. A share is used by one subscription; what
// it holds is given back when it goes. The quota and the timers outlive the shares.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <limits>
#include <memory>
#include <utility>

#include "core/base/clock.h"
#include "core/base/mutex.h"
#include "core/base/timer_queue.h"

namespace sluice {

struct LeaseLimits {
  uint64_t server = std::numeric_limits<uint64_t>::max();
  uint64_t subscription = std::numeric_limits<uint64_t>::max();
};

class LeaseQuota {
 public:
  class Share {
   public:
    Share(LeaseQuota& quota, std::function<void()> wake)
        : quota_(quota), state_(std::make_shared<State>()) {
      state_->wake = std::move(wake);
    }
    ~Share();
    Share(const Share&) = delete;
    Share& operator=(const Share&) = delete;

    // How many of `most` may be leased now, which are taken. Fewer than asked for, and `wake` is called once there is room
    // again.
    uint64_t Take(uint64_t most) { return quota_.Take(state_, most); }
    void Give(uint64_t count) { quota_.Give(state_, count); }

   private:
    friend class LeaseQuota;
    struct State {
      std::function<void()> wake;
      // Guarded by the quota's lock.
      uint64_t held = 0;
      bool in_line = false;
      bool gone = false;
    };
    LeaseQuota& quota_;
    const std::shared_ptr<State> state_;
  };

  LeaseQuota(LeaseLimits limits, TimerQueue& timers, const Clock& clock) : limits_(limits), timers_(timers), clock_(clock) {}

  uint64_t leased() const EXCLUDES(mu_) {
    MutexLock lock(mu_);
    return leased_;
  }

 private:
  using State = Share::State;

  uint64_t Take(const std::shared_ptr<State>& share, uint64_t most) EXCLUDES(mu_);
  void Give(const std::shared_ptr<State>& share, uint64_t count) EXCLUDES(mu_);
  // Calls the first in the line that has room.
  void WakeNext() REQUIRES(mu_);

  const LeaseLimits limits_;
  TimerQueue& timers_;
  const Clock& clock_;

  mutable Mutex mu_;
  uint64_t leased_ GUARDED_BY(mu_) = 0;
  std::deque<std::shared_ptr<State>> line_ GUARDED_BY(mu_);
};

}  // namespace sluice
