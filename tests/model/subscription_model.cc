#include "tests/model/subscription_model.h"

#include <algorithm>
#include <utility>

#include "core/engine/subscription.h"
#include "fmt/format.h"

namespace sluice::model {
namespace {

// How long a refused dead letter waits until it is delivered again.
constexpr absl::Duration kBuryRetry = absl::Seconds(10);

struct Wait {
  absl::Duration least;
  absl::Duration most;
};

// As core/flow/retry.h promises it: doubled with each failure, up to a fifth less, within the policy.
Wait RetryWait(const std::optional<RetryPolicy>& policy, uint32_t failures) {
  if (!policy) return {absl::ZeroDuration(), failures <= 1 ? absl::ZeroDuration() : absl::Seconds(1)};
  absl::Duration wait = policy->minimum;
  for (uint32_t i = 1; i < failures; ++i) wait = std::min(2 * wait, policy->maximum);
  wait = std::min(wait, policy->maximum);
  return {std::max(policy->minimum, wait * 0.8), wait};
}

}  // namespace

Truth& Truth::operator+=(const Truth& other) {
  published += other.published;
  delivered += other.delivered;
  redelivered += other.redelivered;
  acked += other.acked;
  nacked += other.nacked;
  expired += other.expired;
  dead_lettered += other.dead_lettered;
  return *this;
}

void SubscriptionModel::Fail(Invariant invariant, std::string_view what, uint64_t offset) const {
  findings_->Add(invariant, fmt::format("{}, message {}: {}", config_.name.id(), offset, what));
}

void SubscriptionModel::Stored(uint64_t offset, const Message& message) {
  State state;
  state.message = &message;
  if (!matches_(message)) state.where = Where::kFiltered;
  states_[offset] = state;
}

void SubscriptionModel::Grant(ConsumerId consumer, int64_t messages, int64_t bytes) {
  Credit& credit = consumers_.at(consumer);
  credit.messages += messages;
  if (bytes == Subscription::kNoByteLimit) {
    credit.counts_bytes = false;
  } else {
    credit.bytes += bytes;
  }
}

void SubscriptionModel::CheckMayCome(ConsumerId consumer, const DeliveredMessage& delivered, Instant now) const {
  const auto fail = [&](Invariant invariant, std::string_view what) { Fail(invariant, what, delivered.offset); };
  auto credit = consumers_.find(consumer);
  if (credit == consumers_.end()) return fail(Invariant::kCredit, "delivered to a consumer that is not attached");
  if (!credit->second.any()) return fail(Invariant::kCredit, "delivered without credit");
  if (delivered.lease <= last_lease_) return fail(Invariant::kFenced, "delivered under an id that was given before");
  const State& state = states_.at(delivered.offset);
  switch (state.where) {
    case Where::kAcked:
      return fail(Invariant::kAckIsFinal, "delivered after it was acknowledged");
    case Where::kBuried:
      return fail(Invariant::kBuriedOnce, "delivered after it was dead-lettered");
    case Where::kCondemned:
      return fail(Invariant::kBuriedOnce, "delivered although its attempts are used up");
    case Where::kFiltered:
      return fail(Invariant::kFilter, fmt::format("delivered, does not match {}", config_.filter));
    case Where::kLeased:
      return fail(Invariant::kOneLease, "delivered while another lease of it lives");
    case Where::kWaiting:
      break;
  }
  if (now < state.earliest) {
    fail(Invariant::kInTime, fmt::format("came {} too early", absl::FormatDuration(state.earliest - now)));
  }
  if (delivered.attempt != state.attempt + 1) {
    fail(Invariant::kAttempts,
         fmt::format("came as attempt {} after {} failed ones", delivered.attempt, state.attempt));
  }
}

void SubscriptionModel::Delivered(ConsumerId consumer, const DeliveredMessage& delivered, Instant now) {
  if (!states_.contains(delivered.offset)) {
    return Fail(Invariant::kContent, "delivered, but not in the log", delivered.offset);
  }
  CheckMayCome(consumer, delivered, now);
  Credit& credit = consumers_[consumer];
  credit.messages -= 1;
  if (credit.counts_bytes) credit.bytes -= static_cast<int64_t>(delivered.bytes);
  State& state = states_.at(delivered.offset);
  truth_->delivered += 1;
  if (state.attempt > 0) truth_->redelivered += 1;
  state.where = Where::kLeased;
  state.attempt = delivered.attempt;
  state.consumer = consumer;
  state.lease = delivered.lease;
  state.deadline = now + config_.ack_deadline;
  live_[delivered.lease] = delivered.offset;
  last_lease_ = std::max(last_lease_, delivered.lease);
}

template <class Fn>
uint64_t SubscriptionModel::ForLeases(ConsumerId consumer, LeaseRange range, Fn&& fn) {
  std::vector<State*> held;
  for (auto it = live_.lower_bound(range.first); it != live_.end() && it->first <= range.last; ++it) {
    State& state = states_.at(it->second);
    if (state.consumer == consumer) held.push_back(&state);
  }
  for (State* state : held) fn(state);
  return held.size();
}

void SubscriptionModel::EndLease(State* state) { live_.erase(state->lease); }

uint64_t SubscriptionModel::Ack(ConsumerId consumer, LeaseRange range) {
  const uint64_t settled = ForLeases(consumer, range, [this](State* state) {
    EndLease(state);
    state->where = Where::kAcked;
  });
  truth_->acked += settled;
  return settled;
}

uint64_t SubscriptionModel::Nack(ConsumerId consumer, LeaseRange range, absl::Duration delay, Instant now) {
  const uint64_t settled =
      ForLeases(consumer, range, [&](State* state) { Release(state, ReleaseCause::kNacked, delay, now); });
  truth_->nacked += settled;
  return settled;
}

uint64_t SubscriptionModel::Extend(ConsumerId consumer, LeaseRange range, absl::Duration deadline, Instant now) {
  return ForLeases(consumer, range, [&](State* state) { state->deadline = now + deadline; });
}

void SubscriptionModel::Release(State* state, ReleaseCause cause, absl::Duration delay, Instant now) {
  EndLease(state);
  if (AttemptsUsedUp(*state)) {
    state->where = Where::kCondemned;
    state->cause = cause;
    return;
  }
  Wait wait{delay, delay};
  if (cause == ReleaseCause::kConsumerGone) {
    wait = {};
  } else if (delay == absl::ZeroDuration()) {
    wait = RetryWait(config_.retry, state->attempt);
  }
  state->where = Where::kWaiting;
  state->earliest = now + wait.least;
  state->latest = now + wait.most;
}

void SubscriptionModel::Detach(ConsumerId consumer, Instant now) {
  ForLeases(consumer, {LeaseId(0), last_lease_},
            [&](State* state) { Release(state, ReleaseCause::kConsumerGone, absl::ZeroDuration(), now); });
  consumers_.erase(consumer);
}

void SubscriptionModel::Tick(Instant now) {
  std::vector<State*> expired;
  for (const auto& [lease, offset] : live_) {
    State& state = states_.at(offset);
    if (state.deadline <= now) expired.push_back(&state);
  }
  for (State* state : expired) Release(state, ReleaseCause::kDeadlinePassed, absl::ZeroDuration(), now);
  truth_->expired += expired.size();
}

void SubscriptionModel::Buried(uint64_t offset, const Message& copy) {
  namespace attribute = dead_letter_attribute;
  auto found = states_.find(offset);
  if (found == states_.end()) return Fail(Invariant::kBuriedOnce, "a copy of what is not there", offset);
  State& state = found->second;
  if (state.where == Where::kBuried) return Fail(Invariant::kBuriedOnce, "a second copy", offset);
  if (state.where != Where::kCondemned) return Fail(Invariant::kBuriedOnce, "a copy before its time", offset);
  const Message& original = *state.message;
  if (copy.data != original.data || copy.key != original.key || copy.priority != original.priority ||
      !std::includes(copy.attributes.begin(), copy.attributes.end(), original.attributes.begin(),
                     original.attributes.end())) {
    Fail(Invariant::kBuriedOnce, "the copy is not the message", offset);
  }
  if (AttributeOf(copy, std::string(attribute::kAttempts)) != std::to_string(state.attempt)) {
    Fail(Invariant::kAttempts, fmt::format("the copy does not say {} attempts", state.attempt), offset);
  }
  if (state.cause && AttributeOf(copy, std::string(attribute::kReason)) != ToString(*state.cause)) {
    Fail(Invariant::kBuriedOnce, fmt::format("the copy's reason is not \"{}\"", ToString(*state.cause)), offset);
  }
  state.where = Where::kBuried;
  truth_->dead_lettered += 1;
}

void SubscriptionModel::BuryRefused(OffsetRange offsets, Instant now) {
  for (Offset offset = offsets.begin; offset < offsets.end; ++offset) {
    State& state = states_.at(offset.value());
    state.where = Where::kWaiting;
    state.earliest = state.latest = now + kBuryRetry;
  }
}

void SubscriptionModel::Saved() {
  durable_.clear();
  for (const auto& [offset, state] : states_) durable_[offset] = {state.settled(), state.attempt};
}

void SubscriptionModel::Recovered(const CursorState& found, Instant now) {
  consumers_.clear();
  live_.clear();
  last_lease_ = LeaseId(0);
  for (auto& [offset, state] : states_) {
    const Durable durable = durable_[offset];
    const bool settled = found.acked.Contains(Offset(offset));
    if (state.where == Where::kFiltered) continue;
    if (settled && !state.settled()) Fail(Invariant::kNothingLost, "the store has it as acknowledged", offset);
    if (durable.settled && !settled) Fail(Invariant::kAckIsFinal, "its durable acknowledgement is gone", offset);
    if (state.where == Where::kBuried && !settled) Fail(Invariant::kBuriedOnce, "has a copy, and is not settled", offset);
    if (settled) continue;
    auto counted = found.attempts.find(Offset(offset));
    const uint32_t attempt = Offset(offset) >= found.delivered_end ? 0
                             : counted == found.attempts.end()     ? 1
                                                                   : counted->second;
    if (attempt < durable.attempt || attempt > state.attempt) {
      const auto what = fmt::format("{} attempts after a restart; {} were made and {} of them durable", attempt,
                                    state.attempt, durable.attempt);
      Fail(Invariant::kAttempts, what, offset);
    }
    state.attempt = attempt;
    state.where = AttemptsUsedUp(state) ? Where::kCondemned : Where::kWaiting;
    state.cause.reset();
    state.earliest = state.latest = now;
  }
}

void SubscriptionModel::CheckProgress(Instant now, bool idle) const {
  const bool credit = std::any_of(consumers_.begin(), consumers_.end(), [](const auto& c) { return c.second.any(); });
  for (const auto& [offset, state] : states_) {
    if (state.where == Where::kWaiting && state.latest <= now && credit && idle) {
      Fail(Invariant::kProgress, "may be delivered, there is credit for it, and it does not come", offset);
    }
    if (state.where == Where::kCondemned && idle) {
      Fail(Invariant::kProgress, "its attempts are used up, and it is not dead-lettered", offset);
    }
    if (state.where == Where::kLeased && state.deadline <= now) {
      Fail(Invariant::kProgress, "its lease has no end", offset);
    }
  }
}

std::vector<LeaseId> SubscriptionModel::LeasesOf(ConsumerId consumer) const {
  std::vector<LeaseId> leases;
  for (const auto& [lease, offset] : live_) {
    if (states_.at(offset).consumer == consumer) leases.push_back(lease);
  }
  return leases;
}

uint64_t SubscriptionModel::unsettled() const {
  return static_cast<uint64_t>(
      std::count_if(states_.begin(), states_.end(), [](const auto& state) { return !state.second.settled(); }));
}

uint64_t SubscriptionModel::FirstUnsettled() const {
  for (const auto& [offset, state] : states_) {
    if (!state.settled()) return offset;
  }
  return UINT64_MAX;
}

uint64_t SubscriptionModel::filtered() const {
  return static_cast<uint64_t>(std::count_if(states_.begin(), states_.end(), [](const auto& state) {
    return state.second.where == Where::kFiltered;
  }));
}

}  // namespace sluice::model
