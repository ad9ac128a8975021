// What restarts and seeks do to a subscription, and what is checked of it.
#include <algorithm>
#include <string>

#include "fmt/format.h"
#include "tests/model/subscription_model.h"

namespace sluice::model {
namespace {

// As core/engine/subscription_pump.cc promises it.
constexpr absl::Duration kPatienceForOthers = absl::Seconds(1);
// As core/engine/subscription_leases.cc promises it.
constexpr absl::Duration kSavedAfter = absl::Milliseconds(100);
bool IsSavedDeadline(int64_t until_ms, int64_t until_us) {
  return until_ms * 1000 >= until_us && until_ms * 1000 - until_us < 100'000;
}

}  // namespace

void SubscriptionModel::Sought(const CursorState& found, const Moment& at) {
  ++seeks_;
  live_.clear();
  for (auto& [offset, state] : states_) {
    if (state.copy_staged) stale_copies_.insert(offset);
    if (state.where == Where::kFiltered) continue;
    state.copy_staged = false;
    state.where = found.acked.Contains(Offset(offset)) ? Where::kAcked : Where::kWaiting;
    state.failures = state.attempt = 0;
    state.may_be_gone = false;
    state.earliest = state.latest = at.now;
    UpdateTimes(&state, at);
  }
}

void SubscriptionModel::SeekDone() {
  // What was said since may not be durable, and what was said before is not true any more.
  if (--seeks_ == 0) durable_.clear();
}

void SubscriptionModel::Saved() {
  durable_.clear();
  for (const auto& [offset, state] : states_) {
    durable_[offset] = {state.settled(), state.failures,
                        state.where == Where::kLeased ? state.saved : std::nullopt};
  }
}

void SubscriptionModel::CheckRecovered(uint64_t offset, const State& state, bool settled,
                                       uint32_t failures) {
  const Durable durable = durable_[offset];
  if (settled && state.matters())
    Fail(Invariant::kNothingLost, "the store has it as acknowledged", offset);
  if (durable.settled && !settled)
    Fail(Invariant::kAckIsFinal, "its durable acknowledgement is gone", offset);
  if (state.where == Where::kBuried && !settled)
    Fail(Invariant::kBuriedOnce, "has a copy, and is not settled", offset);
  if (settled || (failures >= durable.failures && failures <= state.failures)) return;
  const auto what = fmt::format("{} failures after a restart; there were {} and {} of them durable",
                                failures, state.failures, durable.failures);
  Fail(Invariant::kAttempts, what, offset);
}

void SubscriptionModel::LeaseStaged(const SavedLease& lease, const Moment& at) {
  if (lease.over()) return;
  for (Offset offset = lease.offsets.begin; offset < lease.offsets.end; ++offset) {
    State& state = states_.at(offset.value());
    const SavedLease one = lease.Part({offset, offset + 1});
    const bool known = state.where == Where::kLeased && state.survives &&
                       (state.origin ? state.origin->first == one.first &&
                                           state.origin->incarnation == one.incarnation
                                     : state.lease == one.first);
    const int64_t until_us = at.wall_us + absl::ToInt64Microseconds(state.deadline - at.now);
    if (!known || !IsSavedDeadline(one.until_ms, until_us)) {
      const auto what =
          fmt::format("lease {} of it is saved, until {} ms: {}", one.first.value(), one.until_ms,
                      known ? "not its deadline" : "it is not leased so");
      Fail(Invariant::kLeaseSurvives, what, offset.value());
    }
    state.saved = one;
  }
}

void SubscriptionModel::CheckRecoveredLease(uint64_t offset, const State& state,
                                            const SavedLease* found, bool clean, const Moment& at) {
  const bool lives = state.where == Where::kLeased && state.survives;
  // After a crash it may also be one that was over when that was not durable.
  const std::optional<SavedLease> certain = clean ? state.saved : durable_[offset].lease;
  if (lives && certain && certain == state.saved) {
    if (found == nullptr)
      return Fail(Invariant::kLeaseSurvives, "its lease was saved and is gone", offset);
    // Saved once more at the end it goes by what the wall clock says then.
    SavedLease anew = *certain;
    anew.until_ms = found->until_ms;
    const int64_t until_us = at.wall_us + absl::ToInt64Microseconds(state.deadline - at.now);
    if (*found != *certain &&
        !(clean && *found == anew && IsSavedDeadline(anew.until_ms, until_us)))
      Fail(Invariant::kLeaseSurvives, "its lease is not as it was saved", offset);
  }
  if (!clean) return;
  // What passed before a crash that forgot it may still be there.
  if (found != nullptr && found->until_ms * 1000 <= at.wall_us) return;
  if (lives != (found != nullptr)) {
    const bool passed = lives && state.deadline <= at.now;
    if (!passed)
      Fail(Invariant::kLeaseSurvives,
           lives ? "its lease is not saved" : "is leased after a restart and was not", offset);
  }
}

bool SubscriptionModel::BehindItsKey(uint64_t offset, int64_t wall_us) const {
  const State& state = states_.at(offset);
  if (!Keyed(state)) return false;
  for (auto it = states_.begin(); it->first < offset; ++it) {
    const State& earlier = it->second;
    if (earlier.message->key != state.message->key || earlier.settled() ||
        earlier.where == Where::kLeased)
      continue;
    // One that has expired is let go of, unless it is to be copied.
    if (earlier.where == Where::kWaiting && earlier.expire_us <= wall_us && !BuriesExpired())
      continue;
    return true;
  }
  return false;
}

void SubscriptionModel::Lease(uint64_t offset, const SavedLease& saved, const Moment& at) {
  const absl::Duration left =
      absl::FromUnixMillis(saved.until_ms) - absl::FromUnixMicros(at.wall_us);
  if (left <= absl::ZeroDuration() || BehindItsKey(offset, at.wall_us)) return;
  State& state = states_.at(offset);
  state.where = Where::kLeased;
  state.consumer = kBeforeRestart;
  state.attempt = state.failures + 1;
  state.deadline = at.now + std::min(left, kMaxAckDeadline);
  state.survives = true;
  state.leased_since = at.now;
  state.saved = state.origin = saved;
}

void SubscriptionModel::Restored(
    const std::function<std::optional<LeaseId>(const SavedLease&)>& name_now) {
  for (auto& [offset, state] : states_) {
    if (state.where != Where::kLeased) continue;
    const std::optional<LeaseId> now = name_now(*state.origin);
    if (!now) {
      Fail(Invariant::kLeaseSurvives, "its lease was saved, and the engine does not know it",
           offset);
      continue;
    }
    state.lease = *now;
    live_[*now] = offset;
    last_lease_ = std::max(last_lease_, *now);
  }
}

void SubscriptionModel::Recovered(const CursorState& found, bool clean, const Moment& at) {
  consumers_.clear();
  live_.clear();
  last_lease_ = LeaseId(0);
  stale_copies_.clear();
  std::map<uint64_t, SavedLease> leases;
  for (const auto& [begin, run] : found.leases.runs()) {
    for (Offset at_run = run.offsets.begin; at_run < run.offsets.end; ++at_run) {
      leases[at_run.value()] = run.Part({at_run, at_run + 1});
    }
  }
  for (auto& [offset, state] : states_) {
    if (state.where == Where::kFiltered) continue;
    const auto lease = leases.find(offset);
    const bool settled = found.acked.Contains(Offset(offset));
    auto counted = found.failures.find(Offset(offset));
    const uint32_t failures = counted == found.failures.end() ? 0 : counted->second;
    // With a seek on its way the store is before or after it.
    if (seeks_ == 0) {
      CheckRecovered(offset, state, settled, failures);
      CheckRecoveredLease(offset, state, lease == leases.end() ? nullptr : &lease->second, clean,
                          at);
    }
    state.origin.reset();
    state.saved.reset();
    state.copy_staged = false;
    if (settled) {
      if (!state.settled()) state.where = Where::kAcked;
      continue;
    }
    state.attempt = state.failures = failures;
    state.where = AttemptsUsedUp(failures) ? Where::kCondemned : Where::kWaiting;
    state.cause.reset();
    state.may_be_gone = false;
    state.earliest = state.latest = at.now;
    if (lease != leases.end() && state.where == Where::kWaiting) Lease(offset, lease->second, at);
    UpdateTimes(&state, at);
  }
  seeks_ = 0;
}

bool SubscriptionModel::Due(const State& state, const Moment& at) {
  return state.latest <= at.now &&
         (state.message->deliver_at_us == kDeliverAtOnce || state.due_since <= at.now);
}

bool SubscriptionModel::MayWaitForOthers(const Moment& at) const {
  return consumers_.size() > 1 && !config_.priority_delivery &&
         std::any_of(consumers_.begin(), consumers_.end(), [&](const auto& consumer) {
           const Credit& credit = consumer.second;
           return !credit.any() && credit.used != Instant() &&
                  at.now < credit.used + kPatienceForOthers;
         });
}

void SubscriptionModel::CheckProgress(const Moment& at, bool idle, bool held_back) const {
  const bool credit =
      !held_back && std::any_of(consumers_.begin(), consumers_.end(),
                                [](const auto& consumer) { return consumer.second.any(); });
  // Keys of which a message was dead-lettered, and those of which an earlier message is not
  // settled.
  std::set<std::string_view> bereaved;
  for (const auto& [offset, state] : states_) {
    if (Keyed(state) && state.where == Where::kBuried) bereaved.insert(state.message->key);
  }
  std::set<std::string_view> taken;
  for (const auto& [offset, state] : states_) {
    // What may be gone holds its key until the engine looks at it again, and until it is
    // dead-lettered.
    const bool holds =
        state.matters() || (!state.settled() && (!Due(state, at) || BuriesExpired()));
    const bool head = !holds || !Keyed(state) || taken.insert(state.message->key).second;
    if (!state.matters()) continue;
    if (state.where == Where::kLeased && state.deadline <= at.now) {
      Fail(Invariant::kProgress, "its lease has no end", offset);
    }
    if (state.where == Where::kLeased && state.survives && !state.saved &&
        at.now - state.leased_since > kSavedAfter) {
      Fail(Invariant::kLeaseSurvives, "its lease is not saved", offset);
    }
    if (!idle || !head) continue;
    const bool is_new =
        state.attempt == 0 && !Keyed(state) && state.message->deliver_at_us == kDeliverAtOnce;
    const bool others_first = !is_new && MayWaitForOthers(at);
    if (state.where == Where::kWaiting && credit && !others_first && Due(state, at)) {
      Fail(bereaved.contains(state.message->key) ? Invariant::kKeyReleased : Invariant::kProgress,
           "may be delivered, there is credit for it, and it does not come", offset);
    }
    // Where order counts, one that was condemned before a restart is met on the way.
    const bool known = !config_.ordered || state.cause || credit;
    if (state.where == Where::kCondemned && known) {
      Fail(Invariant::kProgress, "its attempts are used up, and it is not dead-lettered", offset);
    }
  }
}

uint64_t SubscriptionModel::overdue(const Moment& at, Instant rested) const {
  uint64_t count = 0;
  for (const auto& [offset, state] : states_) {
    // One whose copy was refused is tried again when it would be delivered again.
    const Instant since = std::max({state.expired_since, state.latest, rested});
    if (state.where == Where::kWaiting && state.expired_since != Instant::Never() &&
        at.now - since > absl::Seconds(1)) {
      if (BuriesExpired()) Fail(Invariant::kExpiry, "is not dead-lettered", offset);
      ++count;
    }
  }
  return count;
}

std::vector<LeaseId> SubscriptionModel::LeasesOf(ConsumerId consumer) const {
  std::vector<LeaseId> leases;
  for (const auto& [lease, offset] : live_) {
    if (consumer == kAnyone || states_.at(offset).consumer == consumer) leases.push_back(lease);
  }
  return leases;
}

Bounds SubscriptionModel::backlog(bool looked) const {
  Bounds backlog;
  for (const auto& [offset, state] : states_) {
    if (state.matters()) ++backlog.least;
    if (!state.settled() || (!looked && state.where == Where::kFiltered)) ++backlog.most;
  }
  return backlog;
}

uint64_t SubscriptionModel::FirstNeeded() const {
  for (const auto& [offset, state] : states_) {
    if (state.matters()) return offset;
  }
  return UINT64_MAX;
}

uint64_t SubscriptionModel::FirstUnsettled() const {
  for (const auto& [offset, state] : states_) {
    if (!state.settled()) return offset;
  }
  return UINT64_MAX;
}

}  // namespace sluice::model
