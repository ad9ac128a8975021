#include "core/base/clock.h"

#include <chrono>

namespace sluice {

Instant SystemClock::Now() const {
  return Instant(std::chrono::duration_cast<std::chrono::nanoseconds>(
                     std::chrono::steady_clock::now().time_since_epoch())
                     .count());
}

Instant ManualClock::Now() const {
  MutexLock lock(mu_);
  return now_;
}

absl::Time ManualClock::WallNow() const {
  MutexLock lock(mu_);
  return wall_;
}

void ManualClock::Advance(absl::Duration d) {
  MutexLock lock(mu_);
  now_ = now_ + d;
  wall_ += d;
}

void ManualClock::JumpWall(absl::Duration d) {
  MutexLock lock(mu_);
  wall_ += d;
}

}  // namespace sluice
