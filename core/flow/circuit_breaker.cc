#include "core/flow/circuit_breaker.h"

#include <algorithm>

#include "core/base/error.h"
#include "fmt/format.h"

namespace sluice {

uint8_t CircuitBreaker::Stripe::Begin(uint64_t now_epoch, Instant now) {
  if (epoch != now_epoch) {
    // Those who are under way belong to the epoch before.
    epoch = now_epoch;
    outstanding = {};
    successes = 0;
  }
  return outstanding.Begin(now);
}

absl::StatusOr<CircuitBreaker::Call> CircuitBreaker::Admit(Instant now) {
  absl::StatusOr<Call> call = Call{.start = now, .stripe = static_cast<uint8_t>(ThisStripe())};
  if (AdmitQuietly(&*call)) return call;
  std::optional<BreakerChange> change;
  {
    MutexLock lock(mu_);
    OpenIfStalled(now);
    if (machine_.Admit(1, now) == 1) {
      call->epoch = machine_.epoch();
      Stripe& stripe = stripes_[call->stripe];
      MutexLock stripe_lock(stripe.mu);
      call->cohort = stripe.Begin(call->epoch, now);
    } else {
      call = Refuse(now);
    }
    change = TakeChange();
  }
  Tell(change);
  return call;
}

bool CircuitBreaker::AdmitQuietly(Call* call) {
  if (call->start >= no_stall_before_.load(std::memory_order_relaxed)) return false;
  Stripe& stripe = stripes_[call->stripe];
  MutexLock lock(stripe.mu);
  // Under the lock: a stripe's epochs only grow.
  call->epoch = quiet_epoch_.load(std::memory_order_acquire);
  if (call->epoch == kNotQuiet) return false;
  call->cohort = stripe.Begin(call->epoch, call->start);
  return true;
}

void CircuitBreaker::Record(const Call& call, CallOutcome outcome, Instant now) {
  const bool slow = now - call.start >= options_.slow_call;
  if (RecordQuietly(call, outcome, slow, now)) return;
  std::optional<BreakerChange> change;
  {
    MutexLock lock(mu_);
    if (call.epoch != machine_.epoch()) return;
    if (outcome == CallOutcome::kIgnored) {
      machine_.GiveBack(1);
    } else {
      TellSuccesses();
      machine_.Record({1, outcome == CallOutcome::kFailure ? 1u : 0u, slow ? 1u : 0u}, now);
    }
    change = TakeChange();
  }
  Tell(change);
}

bool CircuitBreaker::RecordQuietly(const Call& call, CallOutcome outcome, bool slow, Instant now) {
  Stripe& stripe = stripes_[call.stripe];
  MutexLock lock(stripe.mu);
  // Its place went with its epoch.
  if (call.epoch != stripe.epoch) return true;
  stripe.outstanding.End(call.cohort);
  if (outcome != CallOutcome::kSuccess || slow) return false;
  if (quiet_epoch_.load(std::memory_order_acquire) != call.epoch) return false;
  if (stripe.successes == 0) stripe.first_success = now;
  if (now - stripe.first_success >= slice_) return false;
  ++stripe.successes;
  return true;
}

void CircuitBreaker::TellSuccesses() {
  for (Stripe& stripe : stripes_) {
    MutexLock lock(stripe.mu);
    if (stripe.epoch != machine_.epoch() || stripe.successes == 0) continue;
    machine_.Record({std::exchange(stripe.successes, 0), 0, 0}, stripe.first_success);
  }
}

bool CircuitBreaker::Tick() {
  const Instant now = clock_.Now();
  std::optional<BreakerChange> change;
  bool again = false;
  {
    MutexLock lock(mu_);
    OpenIfStalled(now);
    machine_.Tick(now);
    again = machine_.state() == BreakerState::kOpen || OldestCall() != Instant::Never();
    change = TakeChange();
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

Instant CircuitBreaker::OldestCall() const {
  Instant oldest = Instant::Never();
  for (const Stripe& stripe : stripes_) {
    MutexLock lock(stripe.mu);
    if (stripe.epoch == machine_.epoch()) oldest = std::min(oldest, stripe.outstanding.oldest());
  }
  return oldest;
}

void CircuitBreaker::OpenIfStalled(Instant now) {
  const bool ever = options_.stalled_call > absl::ZeroDuration();
  const Instant oldest = std::min(OldestCall(), now);
  // Later calls will have begun later.
  no_stall_before_.store(ever ? oldest + options_.stalled_call : Instant::Never(),
                         std::memory_order_relaxed);
  if (ever && now - oldest >= options_.stalled_call) machine_.Stalled(now);
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
  if (change && change->to == BreakerState::kOpen) ++opened_;
  const uint64_t quiet_epoch = machine_.quiet() ? machine_.epoch() : kNotQuiet;
  if (quiet_epoch != quiet_epoch_.load(std::memory_order_relaxed))
    quiet_epoch_.store(quiet_epoch, std::memory_order_release);
  return change;
}

void CircuitBreaker::Tell(const std::optional<BreakerChange>& change) const {
  if (change && observer_) observer_(*change);
}

}  // namespace sluice
