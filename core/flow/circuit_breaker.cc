#include "core/flow/circuit_breaker.h"

#include "core/base/error.h"
#include "fmt/format.h"

namespace sluice {

absl::StatusOr<CircuitBreaker::Call> CircuitBreaker::Admit(Instant now) {
  absl::StatusOr<Call> call = Call{.start = now};
  std::optional<BreakerChange> change;
  {
    MutexLock lock(mu_);
    OpenIfStalled(now);
    const bool admitted = machine_.Admit(1, now) == 1;
    change = TakeChange();
    if (admitted) {
      call->epoch = machine_.epoch();
      call->cohort = outstanding_.Begin(now);
    } else {
      call = Refuse(now);
    }
  }
  Tell(change);
  return call;
}

void CircuitBreaker::Record(const Call& call, CallOutcome outcome, Instant now) {
  std::optional<BreakerChange> change;
  {
    MutexLock lock(mu_);
    if (call.epoch != machine_.epoch()) return;
    outstanding_.End(call.cohort);
    if (outcome == CallOutcome::kIgnored) {
      machine_.GiveBack(1);
    } else {
      const uint64_t failures = outcome == CallOutcome::kFailure ? 1 : 0;
      const uint64_t slow = now - call.start >= options_.slow_call ? 1 : 0;
      machine_.Record({1, failures, slow}, now);
    }
    change = TakeChange();
  }
  Tell(change);
}

bool CircuitBreaker::Tick() {
  const Instant now = clock_.Now();
  std::optional<BreakerChange> change;
  bool again = false;
  {
    MutexLock lock(mu_);
    OpenIfStalled(now);
    machine_.Tick(now);
    change = TakeChange();
    again = machine_.state() == BreakerState::kOpen || outstanding_.oldest() != Instant::Never();
  }
  Tell(change);
  return again;
}

BreakerSnapshot CircuitBreaker::snapshot() const {
  const Instant now = clock_.Now();
  MutexLock lock(mu_);
  return {machine_.state(), machine_.cause(), machine_.RetryDelay(now), opened_, rejected_};
}

BreakerState CircuitBreaker::state() const {
  MutexLock lock(mu_);
  return machine_.state();
}

void CircuitBreaker::OpenIfStalled(Instant now) {
  const Instant oldest = outstanding_.oldest();
  if (options_.stalled_call == absl::ZeroDuration() || oldest == Instant::Never()) return;
  if (now - oldest >= options_.stalled_call) machine_.Stalled(now);
}

absl::Status CircuitBreaker::Refuse(Instant now) {
  ++rejected_;
  const absl::Duration retry_delay = machine_.RetryDelay(now);
  return RetryableError(Reason::kCircuitOpen,
                        fmt::format("the circuit breaker of {} is {} ({}); try again in {}", name_,
                                    ToString(machine_.state()), ToString(machine_.cause()),
                                    absl::FormatDuration(retry_delay)),
                        retry_delay);
}

std::optional<BreakerChange> CircuitBreaker::TakeChange() {
  const std::optional<BreakerChange> change = machine_.TakeChange();
  if (!change) return change;
  // Those who are under way belong to the epoch before.
  outstanding_ = {};
  if (change->to == BreakerState::kOpen) ++opened_;
  return change;
}

void CircuitBreaker::Tell(const std::optional<BreakerChange>& change) const {
  if (change && observer_) observer_(*change);
}

}  // namespace sluice
