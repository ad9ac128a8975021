// The one timer of a publisher or a subscriber: it rings at the earliest instant it was asked for,
// and its owner then looks at everything that may be due. So a busy owner has one timer pending,
// not one for each message.
//
//   alarm_.RingBy(deadline, *this);               // OnAlarm() is called, if there still is an owner
//   ... in OnAlarm, locked:  alarm_.Rang(clock_.Now());  then RingBy what comes next
//   alarm_.Off();                                 // at the end, while the timers are there
//
// Thread rule: guarded by the owner's lock.
#pragma once

#include "core/base/clock.h"
#include "core/base/timer_queue.h"

namespace sluice {

class Alarm {
 public:
  explicit Alarm(TimerQueue& timers) : timers_(timers) {}

  template <class Owner>
  void RingBy(Instant when, Owner& owner) {
    if (next_ <= when) return;
    timers_.Cancel(pending_);
    next_ = when;
    pending_ = timers_.At(when, [weak = owner.weak_from_this()] {
      if (auto self = weak.lock()) self->OnAlarm();
    });
  }

  void Rang(Instant now) {
    if (next_ <= now) next_ = Instant::Never();
  }

  void Off() {
    timers_.Cancel(pending_);
    next_ = Instant::Never();
  }

 private:
  TimerQueue& timers_;
  Instant next_ = Instant::Never();
  TimerQueue::TimerId pending_;
};

}  // namespace sluice
