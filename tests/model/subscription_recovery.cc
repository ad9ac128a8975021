// What restarts and seeks do to a subscription, and what is checked of it.
#include <algorithm>
#include <string>

#include "fmt/format.h"
#include "tests/model/subscription_model.h"

namespace sluice::model {
namespace {

// As core/engine/subscription_pump.cc promises it.
constexpr absl::Duration kPatienceForOthers = absl::Seconds(1);

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
  for (const auto& [offset, state] : states_) durable_[offset] = {state.settled(), state.failures};
}

void SubscriptionModel::CheckRecovered(uint64_t offset, const State& state, bool settled, uint32_t failures) {
  const Durable durable = durable_[offset];
  if (settled && state.matters()) Fail(Invariant::kNothingLost, "the store has it as acknowledged", offset);
  if (durable.settled && !settled) Fail(Invariant::kAckIsFinal, "its durable acknowledgement is gone", offset);
  if (state.where == Where::kBuried && !settled) Fail(Invariant::kBuriedOnce, "has a copy, and is not settled", offset);
  if (settled || (failures >= durable.failures && failures <= state.failures)) return;
  const auto what = fmt::format("{} failures after a restart; there were {} and {} of them durable", failures,
                                state.failures, durable.failures);
  Fail(Invariant::kAttempts, what, offset);
}

void SubscriptionModel::Recovered(const CursorState& found, const Moment& at) {
  consumers_.clear();
  live_.clear();
  last_lease_ = LeaseId(0);
  stale_copies_.clear();
  for (auto& [offset, state] : states_) {
    if (state.where == Where::kFiltered) continue;
    const bool settled = found.acked.Contains(Offset(offset));
    auto counted = found.failures.find(Offset(offset));
    const uint32_t failures = counted == found.failures.end() ? 0 : counted->second;
    // With a seek on its way the store is before or after it.
    if (seeks_ == 0) CheckRecovered(offset, state, settled, failures);
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
    UpdateTimes(&state, at);
  }
  seeks_ = 0;
}

bool SubscriptionModel::Due(const State& state, const Moment& at) {
  return state.latest <= at.now && (state.message->deliver_at_us == kDeliverAtOnce || state.due_since <= at.now);
}

bool SubscriptionModel::MayWaitForOthers(const Moment& at) const {
  return consumers_.size() > 1 && !config_.priority_delivery && std::any_of(consumers_.begin(), consumers_.end(), [&](const auto& consumer) {
           const Credit& credit = consumer.second;
           return !credit.any() && credit.used != Instant() && at.now < credit.used + kPatienceForOthers;
         });
}

void SubscriptionModel::CheckProgress(const Moment& at, bool idle, bool held_back) const {
  const bool credit = !held_back && std::any_of(consumers_.begin(), consumers_.end(),
                                                [](const auto& consumer) { return consumer.second.any(); });
  // Keys of which a message was dead-lettered, and those of which an earlier message is not settled.
  std::set<std::string_view> bereaved;
  for (const auto& [offset, state] : states_) {
    if (Keyed(state) && state.where == Where::kBuried) bereaved.insert(state.message->key);
  }
  std::set<std::string_view> taken;
  for (const auto& [offset, state] : states_) {
    // What may be gone holds its key until the engine looks at it again, and until it is dead-lettered.
    const bool holds = state.matters() || (!state.settled() && (!Due(state, at) || BuriesExpired()));
    const bool head = !holds || !Keyed(state) || taken.insert(state.message->key).second;
    if (!state.matters()) continue;
    if (state.where == Where::kLeased && state.deadline <= at.now) {
      Fail(Invariant::kProgress, "its lease has no end", offset);
    }
    if (!idle || !head) continue;
    const bool is_new = state.attempt == 0 && !Keyed(state) && state.message->deliver_at_us == kDeliverAtOnce;
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
    if (state.where == Where::kWaiting && state.expired_since != Instant::Never() && at.now - since > absl::Seconds(1)) {
      if (BuriesExpired()) Fail(Invariant::kExpiry, "is not dead-lettered", offset);
      ++count;
    }
  }
  return count;
}

std::vector<LeaseId> SubscriptionModel::LeasesOf(ConsumerId consumer) const {
  std::vector<LeaseId> leases;
  for (const auto& [lease, offset] : live_) {
    if (states_.at(offset).consumer == consumer) leases.push_back(lease);
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
