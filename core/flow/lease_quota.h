// How many messages may be leased (delivered and not settled) at once: of one subscription, and of
// all together. Who finds no room is called when there is some, in the order of asking, so that one
// subscription with slow consumers may take the room that is there but not the place in the line.
//
//   LeaseQuota quota({.server = 10'000'000, .subscription = 1'000'000}, timers, clock);
//   LeaseQuota::Share share(quota, [weak] { if (auto s = weak.lock()) s->Pump(); });       // one each
//   const uint64_t count = share.Room(leased, wanted);   // fewer than wanted: the function is called when there is more
//   share.Ended(leased);                                  // after leases ended, however they did
//
// A share takes a little more than it is asked for, and gives it back later, so that not every
// message asks the quota: where there are few leases left in the server, others may keep up to 128
// each that they do not use.
//
// Thread rule: a share is used by one thread at a time, under a subscription's lock say: the
// quota's own lock is a leaf but for the timers', and functions are called by the timers, with no
// lock held. What a share holds is given back when it goes. The quota outlives the shares, and the
// timers' thread is stopped before the quota goes.
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

    // How many more than the `in_use` there are may be leased now, `most` at the most. Fewer than
    // that, and `wake` is called once there is room again.
    uint64_t Room(uint64_t in_use, uint64_t most);
    // So many are leased, whatever the limits are: leases from before. REQUIRES: it has taken
    // nothing yet.
    void Hold(uint64_t in_use);
    // Of what it holds, only `in_use` are leased.
    void Ended(uint64_t in_use);

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
    // What it has taken and not given back.
    uint64_t taken_ = 0;
    // Got less than it wanted last time.
    bool short_of_room_ = false;
  };

  LeaseQuota(LeaseLimits limits, TimerQueue& timers, const Clock& clock);

  // Taken by shares.
  uint64_t taken() const EXCLUDES(mu_) {
    MutexLock lock(mu_);
    return taken_;
  }

 private:
  using State = Share::State;

  // `wanted` and up to `more`. The share is called when it gets less than wanted.
  uint64_t Take(const std::shared_ptr<State>& share, uint64_t wanted, uint64_t more) EXCLUDES(mu_);
  void TakeBeyond(const std::shared_ptr<State>& share, uint64_t count) EXCLUDES(mu_);
  void Give(const std::shared_ptr<State>& share, uint64_t count) EXCLUDES(mu_);
  // Calls the first in the line that has room.
  void WakeNext() REQUIRES(mu_);

  const LeaseLimits limits_;
  const bool unlimited_;
  // What a share keeps in hand.
  const uint64_t reserve_;
  TimerQueue& timers_;
  const Clock& clock_;

  mutable Mutex mu_;
  uint64_t taken_ GUARDED_BY(mu_) = 0;
  std::deque<std::shared_ptr<State>> line_ GUARDED_BY(mu_);
};

}  // namespace sluice
