// Waits until something has happened so many times. No answer within a minute ends the test
// program.
//
//   Latch began(2);
//   ... on two threads:  began.CountDown();
//   began.Wait();
//
// Thread rule: every member may be called from any thread; a Latch may go as soon as Wait has
// returned.
#pragma once

#include <cstdio>
#include <cstdlib>

#include "absl/time/time.h"
#include "core/base/clock.h"
#include "core/base/mutex.h"

namespace sluice {

class Latch {
 public:
  explicit Latch(int count) : left_(count) {}

  void CountDown(int n = 1) {
    MutexLock lock(mu_);
    left_ -= n;
    if (left_ <= 0) zero_.NotifyAll();
  }

  void Wait() {
    const SystemClock clock;
    const Instant end = clock.Now() + absl::Minutes(1);
    MutexLock lock(mu_);
    while (left_ > 0) {
      if (clock.Now() >= end) {
        std::fprintf(stderr, "%d still to come after a minute\n", left_);
        std::abort();
      }
      zero_.WaitFor(lock, absl::Seconds(5));
    }
  }

  bool open() const {
    MutexLock lock(mu_);
    return left_ <= 0;
  }

 private:
  mutable Mutex mu_;
  CondVar zero_;
  int left_ GUARDED_BY(mu_);
};

}  // namespace sluice
