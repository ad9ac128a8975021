#include "core/base/clock.h"

#include <ctime>

namespace sluice {

namespace {

constexpr int64_t kNanosPerSecond = 1'000'000'000;
constexpr int64_t kNanosPerMicro = 1'000;
constexpr int64_t kBelieveNanos = 1'000'000;

Instant Read(clockid_t clock) {
  timespec time{};
  clock_gettime(clock, &time);
  return Instant(time.tv_sec * kNanosPerSecond + time.tv_nsec);
}

}  // namespace

Instant SystemClock::Now() const { return Read(CLOCK_MONOTONIC); }

Instant SystemClock::RoughNow() const { return Read(CLOCK_MONOTONIC_COARSE); }

Clock::Times SystemClock::Both() const {
  const Instant now = Now();
  if (now.nanos() > believed_until_.load(std::memory_order_acquire)) {
    wall_ahead_.store(Read(CLOCK_REALTIME).nanos() - now.nanos(), std::memory_order_relaxed);
    believed_until_.store(now.nanos() + kBelieveNanos, std::memory_order_release);
  }
  return {now, (now.nanos() + wall_ahead_.load(std::memory_order_relaxed)) / kNanosPerMicro};
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
