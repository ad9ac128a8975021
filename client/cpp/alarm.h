// The one timer of a publisher or a subscriber: it rings at the earliest instant it was asked for, and its owner then
// looks at everything that may be due. So nothing is ever cancelled, and a busy owner has one timer pending, not one for
// each message.
//
//   if (alarm_.RingsBy(deadline)) return;
//   alarm_.RingAt(deadline, [weak = weak_from_this()] { if (auto self = weak.lock()) self->OnAlarm(); });
//   ... in OnAlarm, locked:  alarm_.Rang(clock_.Now());  then RingAt what comes next
//
// Thread rule: guarded by the owner's lock.
#pragma once

#include <functional>
#include <utility>

#include "core/base/clock.h"
#include "core/base/timer_queue.h"

namespace sluice::client {

class Alarm {
 public:
  explicit Alarm(TimerQueue& timers) : timers_(timers) {}

  bool RingsBy(Instant when) const { return next_ <= when; }

  // REQUIRES: !RingsBy(when).
  void RingAt(Instant when, std::function<void()> ring) {
    next_ = when;
    timers_.At(when, std::move(ring));
  }

  void Rang(Instant now) {
    if (next_ <= now) next_ = Instant::Never();
  }

 private:
  TimerQueue& timers_;
  Instant next_ = Instant::Never();
};

}  // namespace sluice::client
