#include "core/engine/delivery_breaker.h"

namespace sluice {

BreakerOptions DeliveryBreaker::Defaults() {
  BreakerOptions options;
  options.window = absl::Seconds(60);
  options.minimum_calls = 100;
  options.failure_ratio = 0.9;
  options.consecutive_failures = 0;
  // A message may take its time.
  options.slow_ratio = 0;
  options.stalled_call = absl::ZeroDuration();
  options.max_open_time = absl::Seconds(60);
  options.probes = 10;
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

void DeliveryBreaker::OnSettled(LeaseId first, uint32_t count, DeliveryOutcome outcome, Instant now) {
  if (first < first_that_counts_) return;
  if (outcome == DeliveryOutcome::kReturned) {
    machine_.GiveBack(count);
  } else {
    machine_.Record({count, outcome == DeliveryOutcome::kFailed ? count : 0, 0}, now);
  }
  NoteChange();
}

void DeliveryBreaker::NoteChange() {
  const std::optional<BreakerChange> change = machine_.TakeChange();
  if (!change) return;
  change_ = change;
  first_that_counts_ = next_lease_;
  metrics_.CountChange(static_cast<size_t>(change->to));
  if (change->from == BreakerState::kClosed) metrics_.not_closed.Add(1);
  if (change->to == BreakerState::kClosed) metrics_.not_closed.Add(-1);
}

}  // namespace sluice
