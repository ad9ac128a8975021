#include "core/engine/delivery_breaker.h"

#include <algorithm>

namespace sluice {

BreakerOptions DeliveryBreaker::OptionsFrom(const DeliveryBreakerPolicy& policy) {
  BreakerOptions options;
  options.window = policy.window;
  options.minimum_calls = policy.minimum_deliveries;
  options.failure_ratio = policy.disabled ? 0 : policy.failure_ratio;
  options.consecutive_failures = 0;
  // A message may take its time.
  options.slow_ratio = 0;
  options.stalled_call = absl::ZeroDuration();
  options.open_time = policy.open_time;
  options.max_open_time = policy.max_open_time;
  options.probes = policy.probes;
  return options;
}

DeliveryBreaker::~DeliveryBreaker() {
  if (machine_.state() != BreakerState::kClosed) metrics_.not_closed.Add(-1);
}

uint64_t DeliveryBreaker::AllowanceOfProbes(Instant now) {
  const uint64_t allowance = machine_.Available(now);
  NoteChange();
  if (allowance == 0) metrics_.rejections.Add();
  return allowance;
}

void DeliveryBreaker::OnLeased(LeaseId first, uint32_t count, Instant now) {
  machine_.Admit(count, now);
  next_lease_ = first + count;
}

void DeliveryBreaker::OnSettled(LeaseId first, uint32_t count, DeliveryOutcome outcome, Instant now,
                                std::unique_ptr<Failures>* consumer_failures) {
  const bool failed =
      outcome == DeliveryOutcome::kFailed || outcome == DeliveryOutcome::kFailedAgain;
  if (failed) failures_in_a_row_ += count;
  if (outcome == DeliveryOutcome::kAcked) failures_in_a_row_ = 0;
  if (first < first_that_counts_) return;
  if (outcome == DeliveryOutcome::kReturned) {
    machine_.GiveBack(count);
  } else if (outcome != DeliveryOutcome::kFailedAgain || state() != BreakerState::kClosed) {
    const CallCounts ended{count, failed ? count : 0, 0};
    if (failed && consumer_failures != nullptr && state() == BreakerState::kClosed) {
      std::unique_ptr<Failures>& known = *consumer_failures;
      if (!known || known->epoch != closed_epoch_) {
        known.reset(new Failures{closed_epoch_, RollingWindow(machine_.options().window)});
      }
      known->counts.Add(ended, now);
    }
    machine_.Record(ended, now);
  }
  NoteChange();
}

void DeliveryBreaker::OnConsumerGone(const Failures& failures, Instant now) {
  if (failures.epoch != closed_epoch_) return;
  failures_in_a_row_ -= std::min(failures_in_a_row_, failures.counts.sum().failures);
  machine_.Forget(failures.counts, now);
  NoteChange();
}

void DeliveryBreaker::NoteChange() {
  const std::optional<BreakerChange> change = machine_.TakeChange();
  if (!change) return;
  change_ = change;
  first_that_counts_ = next_lease_;
  metrics_.CountChange(static_cast<size_t>(change->to));
  if (change->from == BreakerState::kClosed) metrics_.not_closed.Add(1);
  if (change->to == BreakerState::kClosed) {
    metrics_.not_closed.Add(-1);
    closed_epoch_ = machine_.epoch();
  }
}

}  // namespace sluice
