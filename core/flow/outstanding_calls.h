// Whether some call has been under way for too long, without a record of each: calls are counted in
// two cohorts, and a new one begins when the older one has ended to the last call. What is known of
// a cohort is when its last call began, so every call in it has been under way at least since then.
// (The shape is that of the grace periods of read-copy-update.)
//
// A stall is seen no later than twice the time that is too long; no call is ever said to be older
// than it is.
//
// Thread rule: a plain object; the owner locks.
#pragma once

#include <array>
#include <cstdint>

#include "core/base/clock.h"

namespace sluice {

class OutstandingCalls {
 public:
  // Returns what End needs.
  uint8_t Begin(Instant now) {
    if (cohorts_[older()].calls == 0 && cohorts_[younger_].calls > 0) younger_ = older();
    Cohort& cohort = cohorts_[younger_];
    ++cohort.calls;
    cohort.last_begin = now;
    return younger_;
  }
  void End(uint8_t cohort) { --cohorts_[cohort].calls; }

  // Some call that is under way began then, or before; Never() when there is none.
  Instant oldest() const {
    for (const Cohort& cohort : {cohorts_[older()], cohorts_[younger_]}) {
      if (cohort.calls > 0) return cohort.last_begin;
    }
    return Instant::Never();
  }

 private:
  struct Cohort {
    uint64_t calls = 0;
    Instant last_begin;
  };

  uint8_t older() const { return static_cast<uint8_t>(1 - younger_); }

  std::array<Cohort, 2> cohorts_{};
  uint8_t younger_ = 0;
};

}  // namespace sluice
