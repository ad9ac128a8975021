// Where time comes from. Deadlines use `Now`, which never jumps; what people and other machines see
// uses `WallNow`.
//
//   ManualClock clock;                       // in tests
//   clock.Advance(absl::Seconds(10));
//
// Thread rule: every member may be called from any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <limits>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "core/base/mutex.h"

namespace sluice {

// A point on a steady time line, in nanoseconds from an arbitrary start.
class Instant {
 public:
  constexpr Instant() = default;
  constexpr explicit Instant(int64_t nanos) : nanos_(nanos) {}
  static constexpr Instant Never() { return Instant(std::numeric_limits<int64_t>::max()); }

  constexpr int64_t nanos() const { return nanos_; }
  constexpr auto operator<=>(const Instant&) const = default;
  // Never() when it is too far to tell.
  Instant operator+(absl::Duration d) const {
    int64_t sum = 0;
    return __builtin_add_overflow(nanos_, absl::ToInt64Nanoseconds(d), &sum) ? Never()
                                                                             : Instant(sum);
  }
  absl::Duration operator-(Instant other) const { return absl::Nanoseconds(nanos_ - other.nanos_); }

 private:
  int64_t nanos_ = 0;
};

class Clock {
 public:
  struct Times {
    Instant now;
    // Microseconds since 1970.
    int64_t wall_us = 0;
  };

  virtual ~Clock() = default;
  virtual Instant Now() const = 0;
  virtual absl::Time WallNow() const = 0;
  // Both at the price of one. The wall clock may be taken to run evenly for a millisecond.
  virtual Times Both() const { return {Now(), absl::ToUnixMicros(WallNow())}; }
  // Up to 10 ms late, and much cheaper: for what counts in seconds.
  virtual Instant RoughNow() const { return Now(); }
};

// The machine's clocks.
class SystemClock final : public Clock {
 public:
  Instant Now() const override;
  absl::Time WallNow() const override { return absl::Now(); }
  Times Both() const override;
  Instant RoughNow() const override;

 private:
  // Wall clock minus steady clock in nanoseconds, as it was found to be last, and until when to
  // believe it.
  mutable std::atomic<int64_t> wall_ahead_{0};
  mutable std::atomic<int64_t> believed_until_{std::numeric_limits<int64_t>::min()};
};

// A clock that stands still until it is told otherwise.
class ManualClock final : public Clock {
 public:
  Instant Now() const override;
  absl::Time WallNow() const override;

  // Both clocks go on by `d`.
  void Advance(absl::Duration d);
  // The wall clock alone jumps, as after a time correction.
  void JumpWall(absl::Duration d);

 private:
  mutable Mutex mu_;
  Instant now_ GUARDED_BY(mu_){1'000'000'000};
  absl::Time wall_ GUARDED_BY(mu_) = absl::FromUnixSeconds(1'700'000'000);
};

}  // namespace sluice
