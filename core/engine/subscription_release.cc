// How leases end without an acknowledgement: what failed is counted and comes again after a while,
// or goes to the dead-letter topic; what was only given back comes again at once.
#include <algorithm>
#include <utility>

#include "core/engine/subscription.h"

namespace sluice {
namespace {

// Where consumers fail everything, what fails waits twice as long with each failure, from here up
// to the breaker's longest open time.
constexpr absl::Duration kFirstSlowRetry = absl::Milliseconds(10);

}  // namespace

Instant Subscription::RetryTime(const Lease& lease, ReleaseCause cause, absl::Duration delay,
                                uint64_t count) {
  if (cause == ReleaseCause::kConsumerGone || cause == ReleaseCause::kReturned) return Instant();
  const Instant now = context_->clock.Now();
  if (delay <= absl::ZeroDuration()) {
    delay = RetryDelay(config_.retry, lease.attempt, lease.offset.value());
    if (lease.attempt > 1 && breaker_->fails_everything()) {
      const RetryPolicy slower{kFirstSlowRetry,
                               std::max(kFirstSlowRetry, breaker_->options().max_open_time)};
      delay = std::max(delay, RetryDelay(slower, lease.attempt - 1, lease.offset.value()));
    }
  }
  const Instant when = std::max(now + delay, redeliveries_.Take(count, now));
  return when > now ? when : Instant();
}

void Subscription::SaveFailures(OffsetRange range, uint32_t failures) {
  if (cursor_ == nullptr) return;
  if (!failed_.empty() && failed_.back().offsets.end == range.begin &&
      failed_.back().failures == failures) {
    failed_.back().offsets.end = range.end;
  } else {
    failed_.push_back({range, failures});
  }
}

void Subscription::Release(const Lease& lease, ReleaseCause cause, absl::Duration delay) {
  if (IsUnseen(lease)) return ReleaseUnseen(lease, cause, delay);
  const bool returned = cause == ReleaseCause::kReturned;
  const uint32_t failures = returned ? lease.attempt - 1 : lease.attempt;
  // A nack with a delay says "not now".
  const bool failed =
      !returned && cause != ReleaseCause::kConsumerGone && delay <= absl::ZeroDuration();
  failed ? NoteFailure(lease) : Note(lease, DeliveryOutcome::kReturned);
  RecordEnd(lease, cause == ReleaseCause::kNacked           ? EndedLeases::Why::kNacked
                   : cause == ReleaseCause::kDeadlinePassed ? EndedLeases::Why::kDeadlinePassed
                                                            : EndedLeases::Why::kReturned);
  NoLongerOut(lease.offsets(), lease.expires_us);
  if (returned) RecordUnleased(lease);
  const ConsumerId failed_by = failed ? lease.consumer : kAnyone;
  if (lease.keyed) return ReleaseKeyed(lease, cause, delay, failed_by);
  if (!returned) SaveFailures(lease.offsets(), failures);
  if (!returned && AttemptsUsedUp(failures)) return Condemn(lease.offsets(), failures, cause);
  const ReadySet::Range range{lease.offsets(), failures, lease.priority, failed_by};
  MakeAvailable(range, RetryTime(lease, cause, delay, lease.count));
}

void Subscription::ReleaseKeyed(const Lease& lease, ReleaseCause cause, absl::Duration delay,
                                ConsumerId failed_by) {
  KeyQueues::FencedList fenced;
  const bool returned = cause == ReleaseCause::kReturned;
  const uint32_t failures = returned ? lease.attempt - 1 : lease.attempt;
  for (Offset at = lease.offset; at < lease.offsets().end; ++at) {
    // One that is not out comes again with an earlier one of its key already, or retention took it.
    if (!keys_.IsOut(at)) {
      const LeaseId id = lease.first + (at - lease.offset);
      RecordUnleased(lease.Part(id, id + 1));
      continue;
    }
    if (!returned) SaveFailures({at, at + 1}, failures);
    if (!returned && AttemptsUsedUp(failures)) {
      Condemn({at, at + 1}, failures, cause);
      keys_.Condemn(at, &fenced);
    } else {
      keys_.Fail(at, failures, RetryTime(lease, cause, delay, 1), &fenced, failed_by);
    }
  }
  for (const KeyQueues::Fenced& gone : fenced) {
    if (gone.acked) NoLongerOut({gone.offset, gone.offset + 1}, 0);
    leases_.Take(kAnyone, {gone.lease, gone.lease}, [this](const Lease& taken) {
      mu_.AssertHeld();
      Note(taken, DeliveryOutcome::kReturned);
      RecordEnd(taken, EndedLeases::Why::kBehindItsKey);
      RecordUnleased(taken);
      NoLongerOut(taken.offsets(), taken.expires_us);
    });
  }
}

void Subscription::NoLongerOut(OffsetRange range, int64_t expires_us) {
  // Also when its time is still to come: it may have been looked at while the wall clock was ahead.
  if (expires_us != kNeverExpires && topic_ != nullptr) topic_->expiry().Add(range, expires_us);
}

bool Subscription::AttemptsUsedUp(uint32_t attempts) const {
  return config_.dead_letter && attempts >= config_.dead_letter->max_attempts;
}

void Subscription::MakeAvailable(const ReadySet::Range& range, Instant when) {
  ReadySet::Range stretch = range;
  stretch.priority = Precedence(range.attempts, range.priority);
  // Retention may have dropped a part meanwhile; that part is settled.
  for (Offset at = acked_.NextUnacked(range.offsets.begin); at < range.offsets.end;
       at = acked_.NextUnacked(at)) {
    stretch.offsets = {at, acked_.UnackedEnd(at, range.offsets.end)};
    at = stretch.offsets.end;
    when == Instant() ? ready_.Add(stretch) : ready_.AddDelayed(stretch, when);
  }
}

uint64_t Subscription::Nack(ConsumerId consumer, LeaseRange range, absl::Duration delay) {
  uint64_t settled = 0;
  {
    MutexLock lock(mu_);
    settled = leases_.Take(consumer, range, Releasing(ReleaseCause::kNacked, delay));
    LeasesEnded();
    nacked_ += settled;
    if (settled > 0) ArmTimer(Look());
  }
  if (settled == 0) return 0;
  context_->metrics.engine.nacked_messages.Add(settled);
  Pump();
  return settled;
}

void Subscription::Return(const std::vector<Delivery>& deliveries) {
  {
    MutexLock lock(mu_);
    for (const Delivery& delivery : deliveries) {
      leases_.Take(kAnyone, delivery.leases(), Releasing(ReleaseCause::kReturned));
    }
    LeasesEnded();
  }
  Pump();
}

}  // namespace sluice
