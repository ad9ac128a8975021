// How leases outlive the engine (docs/adr/0029): what still holds some time after it was given is
// told to the cursor, and an engine that finds it there leases it again, under an id of its own,
// until the deadline.
#include <algorithm>
#include <utility>

#include "core/engine/subscription.h"

namespace sluice {
namespace {

// What is settled sooner is never told: it costs nothing.
constexpr absl::Duration kSaveLeasesAfter = absl::Milliseconds(100);
// Deadlines are saved as the next multiple of this, so that what was delivered one after the other
// is one entry.
constexpr int64_t kDeadlineStepMs = 100;

int64_t SavedDeadline(int64_t until_us) {
  constexpr int64_t kStepUs = kDeadlineStepMs * 1000;
  return std::max((until_us + kStepUs - 1) / kStepUs * kDeadlineStepMs, SavedLease::kOver + 1);
}

void AddRun(std::vector<SavedLease>* leases, const SavedLease& more) {
  if (!leases->empty() && !leases->back().over()) {
    SavedLease& last = leases->back();
    const bool follows =
        last.offsets.end == more.offsets.begin && last.first + last.offsets.size() == more.first;
    if (follows && last.incarnation == more.incarnation && last.until_ms == more.until_ms) {
      last.offsets.end = more.offsets.end;
      return;
    }
  }
  leases->push_back(more);
}

}  // namespace

void Subscription::ScheduleSave() {
  if (save_armed_ || cursor_ == nullptr) return;
  save_armed_ = true;
  context_->timers.At(context_->clock.Now() + kSaveLeasesAfter, [weak = weak_from_this()] {
    if (auto self = weak.lock()) self->OnSaveTimer();
  });
}

// Whoever pumps tells it, so that it is in order with failures.
void Subscription::OnSaveTimer() {
  {
    MutexLock lock(mu_);
    save_armed_ = false;
    save_due_ = true;
    // What has passed is not saved, nor what that takes along.
    const Moment now = Look();
    EndLeases(now.now);
    ArmTimer(now);
  }
  Pump();
}

void Subscription::RecordExtended(LeaseRange range) {
  // What was not told yet will be, with its deadline as it is then.
  if (range.first >= saved_to_) return;
  if (!extended_.empty() && extended_.back().last + 1 == range.first) {
    extended_.back().last = range.last;
  } else {
    extended_.push_back(range);
  }
  ScheduleSave();
}

void Subscription::RecordUnleased(const Lease& lease) {
  if (!lease.survives || lease.first >= saved_to_) return;
  ForgetSaved(lease.offsets());
}

void Subscription::ForgetSaved(OffsetRange range) {
  Append(&unleased_, range);
  ScheduleSave();
}

std::vector<SavedLease> Subscription::TakeLeaseChanges() {
  std::vector<SavedLease> changes;
  for (const OffsetRange& range : unleased_) changes.push_back({.offsets = range});
  const Moment now = Look();
  const auto save = [&](const Lease& lease) {
    mu_.AssertHeld();
    // One that has passed is about to end.
    if (!lease.survives || lease.deadline <= now.now) return;
    SavedLease saved{
        .offsets = lease.offsets(), .first = lease.first, .incarnation = context_->incarnation};
    if (lease.consumer == kBeforeRestart) saved = restored_.OriginOf(lease.offsets());
    saved.until_ms =
        SavedDeadline(now.wall_us + absl::ToInt64Microseconds(lease.deadline - now.now));
    AddRun(&changes, saved);
  };
  for (const LeaseRange& range : extended_) leases_.ForEachIn(range, save);
  if (saved_to_ < leases_.next()) leases_.ForEachIn({saved_to_, leases_.next() - 1}, save);
  unleased_.clear();
  extended_.clear();
  saved_to_ = leases_.next();
  return changes;
}

void Subscription::TellLeases() {
  std::vector<SavedLease> changes;
  {
    MutexLock lock(mu_);
    if (!std::exchange(save_due_, false)) return;
    changes = TakeLeaseChanges();
    if (changes.empty()) return;
    ++telling_;
  }
  cursor_->Leased(changes);
  Told();
}

void Subscription::RestoreLeases(const SavedLeases& saved) {
  if (saved.empty()) return;
  MutexLock lock(mu_);
  if (topic_ == nullptr || snapshot_) return;
  const Moment now = Look();
  const absl::Time wall_now = absl::FromUnixMicros(now.wall_us);
  for (const auto& [begin, lease] : saved.runs()) {
    // The clock may have been set back.
    const absl::Duration left =
        std::min(absl::FromUnixMillis(lease.until_ms) - wall_now, kMaxAckDeadline);
    if (left > absl::ZeroDuration()) {
      Restore(lease, now.now + left);
    } else {
      // Nobody could settle it meanwhile: it comes again as the same attempt, and does not hold
      // should the clock be set back.
      ForgetSaved(lease.offsets);
    }
  }
  saved_to_ = leases_.next();
  if (leases_.count() == 0) return;
  BeginLeasing();
  lease_share_->Hold(leases_.count());
  ArmTimer(now);
}

void Subscription::Restore(const SavedLease& saved, Instant deadline) {
  const Offset end = std::min(saved.offsets.end, end_);
  for (Offset at = acked_.NextUnacked(saved.offsets.begin); at < end; at = acked_.NextUnacked(at)) {
    const uint32_t failures = FailuresBefore(at);
    OffsetRange part{at, at + 1};
    const Offset limit = acked_.UnackedEnd(at, end);
    while (part.end < limit && FailuresBefore(part.end) == failures) ++part.end;
    at = part.end;
    if (failures == kCondemned || AttemptsUsedUp(failures)) {
      // Its copy was refused before, and is tried again now.
      ForgetSaved(part);
      continue;
    }
    const LeaseId now = leases_.Add({.first = {},
                                     .offset = part.begin,
                                     .count = static_cast<uint32_t>(part.size()),
                                     .consumer = kBeforeRestart,
                                     .deadline = deadline,
                                     .attempt = failures + 1,
                                     .survives = true,
                                     // Not known: it is looked at when its lease ends.
                                     .expires_us = 0});
    restored_.Add(saved.Part(part), now);
  }
}

std::optional<LeaseId> Subscription::RestoredLease(uint32_t incarnation, LeaseId lease,
                                                   Offset offset) const {
  MutexLock lock(mu_);
  return restored_.Find(incarnation, lease, offset);
}

std::vector<TakenUp> Subscription::TakeUp(ConsumerId consumer, uint32_t incarnation, LeaseId first,
                                          OffsetRange offsets) {
  MutexLock lock(mu_);
  std::vector<TakenUp> all;
  if (FindConsumer(consumer) == nullptr) return all;
  std::vector<Lease> parts;
  restored_.ForEachOf(incarnation, first, offsets, [&](const SavedLease& saved, LeaseId now) {
    mu_.AssertHeld();
    leases_.Take(kBeforeRestart, {now, now + (saved.offsets.size() - 1)},
                 [&](const Lease& lease) { parts.push_back(lease); });
  });
  for (Lease& lease : parts) {
    const LeaseId earlier = first + (lease.offset - offsets.begin);
    all.push_back({{earlier, earlier + (lease.count - 1)}, lease.first});
    lease.consumer = consumer;
    leases_.Restore(lease);
    // By its name of now.
    RecordExtended({lease.first, lease.first + (lease.count - 1)});
  }
  for (const Lease& lease : parts) {
    for (Offset at = lease.offset; lease.keyed && at < lease.offsets().end; ++at)
      HandKeyTo(at, consumer);
  }
  return all;
}

void Subscription::HandKeyTo(Offset offset, ConsumerId consumer) {
  // Retention may have been faster.
  if (!keys_.IsOut(offset)) return;
  keys_.HandTo(offset, consumer, [&](LeaseId id) {
    mu_.AssertHeld();
    return leases_.Holds(id, consumer);
  });
}

bool Subscription::HeldUnseen(Offset offset) const {
  if (offset < next_ || offset >= restored_.end()) return false;
  const auto lease = restored_.LeaseOf(offset);
  return lease && leases_.Holds(*lease);
}

bool Subscription::SeeRestored() {
  if (next_ >= restored_.end() || topic_ == nullptr) return true;
  const Moment now = Look();
  while (next_ < restored_.end()) {
    const Ref<Batch>* batch = FreshBatch();
    if (batch == nullptr) return false;
    PassOver(*batch, kAnyone, now);
    // All are seen, or no more can be held back.
    if (next_ < (*batch)->end()) return true;
  }
  return true;
}

void Subscription::SeeLeased(const Batch& batch, Offset offset) {
  if (batch.plain() || (!config_.ordered && !by_priority())) return;
  const MessageView message(batch.message(static_cast<uint32_t>(offset - batch.first())));
  const std::string_view key = config_.ordered ? message.ordering_key() : std::string_view();
  const LeaseId id = *restored_.LeaseOf(offset);
  leases_.Take(kAnyone, {id, id}, [&](const Lease& lease) {
    mu_.AssertHeld();
    if (!key.empty() && keys_.Waits(key)) {
      // An earlier one of its key comes again, whose end was saved when this one's was not.
      Note(lease, DeliveryOutcome::kReturned);
      RecordEnd(lease, EndedLeases::Why::kBehindItsKey);
      RecordUnleased(lease);
      NoLongerOut(lease.offsets(), lease.expires_us);
      return keys_.Wait(key, {.offset = offset, .attempts = lease.attempt - 1, .not_before = {}});
    }
    Lease seen = lease;
    seen.keyed = !key.empty();
    if (by_priority()) seen.priority = static_cast<uint8_t>(message.priority());
    leases_.Restore(seen);
    if (!seen.keyed) return;
    keys_.Out(key, kBeforeRestart, offset, id, seen.attempt);
    HandKeyTo(offset, lease.consumer);
  });
  LeasesEnded();
}

void Subscription::ReleaseUnseen(const Lease& lease, ReleaseCause cause, absl::Duration delay) {
  const Offset unseen = std::max(next_, lease.offset);
  const LeaseId split = lease.first + (unseen - lease.offset);
  if (lease.first < split) Release(lease.Part(lease.first, split), cause, delay);
  const Lease rest = lease.Part(split, lease.first + lease.count);
  Note(rest, DeliveryOutcome::kReturned);
  NoLongerOut(rest.offsets(), rest.expires_us);
  if (cause == ReleaseCause::kReturned) {
    RecordEnd(rest, EndedLeases::Why::kReturned);
    return RecordUnleased(rest);
  }
  RecordEnd(rest, cause == ReleaseCause::kNacked ? EndedLeases::Why::kNacked
                                                 : EndedLeases::Why::kDeadlinePassed);
  SaveFailures(rest.offsets(), rest.attempt);
  for (Offset at = rest.offset; at < rest.offsets().end; ++at) history_[at] = rest.attempt;
}

}  // namespace sluice
