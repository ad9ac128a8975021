// A circuit breaker's states, without a lock, a clock or a record of who calls: CircuitBreaker puts
// it around calls, DeliveryBreaker around leases.
//
//   closed --(failures, slow calls, a stall)--> open --(open time)--> half-open --(enough probes succeed)--> closed
//                                                ^                        |
//                                                '----(probes fail)-------'   twice as long as before
//
// Ends of calls that began before the last change say nothing about the state they end in: the
// owner compares epoch() and leaves them out.
//
// Thread rule: a plain object; the owner locks.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>

#include "core/base/clock.h"
#include "core/flow/breaker_options.h"
#include "core/flow/rolling_window.h"

namespace sluice {

// The numbers are those of the metrics.
enum class BreakerState { kClosed, kOpen, kHalfOpen };
inline constexpr int kBreakerStateCount = 3;

// Why it changed.
enum class BreakerCause {
  kNone,
  kFailureRatio,
  kConsecutiveFailures,
  kSlowRatio,
  kStalledCall,
  kProbesFailed,
  kOpenTimePassed,
  kProbesSucceeded,
  kCallersGone,
};

// "closed", "open", "half-open"; "failure ratio", ...
std::string_view ToString(BreakerState state);
std::string_view ToString(BreakerCause cause);

struct BreakerChange {
  BreakerState from = BreakerState::kClosed;
  BreakerState to = BreakerState::kClosed;
  BreakerCause cause = BreakerCause::kNone;
  // How long it stays open; zero unless it opened.
  absl::Duration open_time;
};

class BreakerMachine {
 public:
  // REQUIRES: Validate(options) is OK.
  explicit BreakerMachine(const BreakerOptions& options)
      : options_(options), window_(options.window) {}

  // How many calls may begin now; the largest number there is while it is closed.
  uint64_t Available(Instant now);
  // The same, `wanted` at the most; they count as begun.
  uint64_t Admit(uint64_t wanted, Instant now);

  // Calls of this epoch that ended. Earlier ones may be told later, when they all succeeded in
  // time.
  void Record(const CallCounts& ended, Instant now);
  // Calls of this epoch that ended and say nothing: if they were probes, others take their places.
  void GiveBack(uint64_t calls);
  // A call does not end.
  void Stalled(Instant now);
  // Who made these calls is gone, and they count no more: all of them ended while it was closed,
  // and were recorded as of when they ended. Closes when it would not have opened without them.
  void Forget(const RollingWindow& calls, Instant now);
  // Goes from open to half-open when it is time.
  void Tick(Instant now);

  const BreakerOptions& options() const { return options_; }
  BreakerState state() const { return state_; }
  // Why it is in this state, and since when.
  BreakerCause cause() const { return cause_; }
  Instant since() const { return since_; }
  // Counts the changes of state.
  uint64_t epoch() const { return epoch_; }
  // When it goes on to half-open; Never() unless it is open.
  Instant open_until() const {
    return state_ == BreakerState::kOpen ? since_ + open_time_ : Instant::Never();
  }
  // How long who was refused should wait: at least 1 ms, unless it is closed.
  absl::Duration RetryDelay(Instant now) const;
  // In the window, while it is closed.
  const CallCounts& counts() const { return window_.sum(); }

  // Closed, and nothing of late has failed or was slow: calls that succeed in time cannot change
  // anything, and may be told later, within the time of `slice`.
  bool quiet() const {
    return state_ == BreakerState::kClosed && failures_in_a_row_ == 0 && counts().failures == 0 &&
           counts().slow == 0;
  }
  absl::Duration slice() const { return window_.slice(); }

  // What has changed since the last time; at most one change a call of the above.
  std::optional<BreakerChange> TakeChange() { return std::exchange(change_, std::nullopt); }

 private:
  void RecordClosed(const CallCounts& ended, Instant now);
  void RecordProbes(const CallCounts& ended, Instant now);
  void Open(BreakerCause cause, Instant now);
  void Become(BreakerState state, BreakerCause cause, Instant now);
  uint64_t FailuresToOpen() const;
  bool TooManyFailed() const;

  const BreakerOptions options_;

  BreakerState state_ = BreakerState::kClosed;
  BreakerCause cause_ = BreakerCause::kNone;
  Instant since_;
  uint64_t epoch_ = 0;
  std::optional<BreakerChange> change_;
  // While closed.
  RollingWindow window_;
  uint64_t failures_in_a_row_ = 0;
  // While open, and for the next time.
  absl::Duration open_time_;
  // While half-open.
  uint64_t probes_left_ = 0;
  CallCounts probed_;
};

}  // namespace sluice
