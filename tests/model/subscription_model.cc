#include "tests/model/subscription_model.h"

#include <algorithm>
#include <utility>

#include "core/engine/subscription.h"
#include "fmt/format.h"

namespace sluice::model {
namespace {

// How long a refused dead letter waits until it is delivered again.
constexpr absl::Duration kBuryRetry = absl::Seconds(10);

// As core/flow/retry.h promises it: doubled with each failure, up to a fifth less, within the
// policy.
struct Wait {
  absl::Duration least;
  absl::Duration most;
};

Wait RetryWait(const std::optional<RetryPolicy>& policy, uint32_t failures) {
  if (!policy)
    return {absl::ZeroDuration(), failures <= 1 ? absl::ZeroDuration() : absl::Seconds(1)};
  absl::Duration wait = policy->minimum;
  for (uint32_t i = 1; i < failures; ++i) wait = std::min(2 * wait, policy->maximum);
  wait = std::min(wait, policy->maximum);
  return {std::max(policy->minimum, wait * 0.8), wait};
}

// The most it waits while nothing succeeds (core/engine/delivery_breaker.h).
absl::Duration SlowRetryWait(uint32_t failures) {
  absl::Duration wait = failures > 1 ? absl::Milliseconds(10) : absl::ZeroDuration();
  for (uint32_t i = 2; i < failures; ++i) wait = std::min(2 * wait, absl::Seconds(60));
  return wait;
}

}  // namespace

Truth& Truth::operator+=(const Truth& other) {
  published += other.published;
  delivered += other.delivered;
  redelivered += other.redelivered;
  acked += other.acked;
  nacked += other.nacked;
  expired += other.expired;
  expired_or_not += other.expired_or_not;
  dead_lettered += other.dead_lettered;
  return *this;
}

void SubscriptionModel::Fail(Invariant invariant, std::string_view what, uint64_t offset) const {
  findings_->Add(invariant, fmt::format("{}, message {}: {}", config_.name.id(), offset, what));
}

void SubscriptionModel::Stored(uint64_t offset, const Message& message, int64_t expire_us,
                               const Moment& at) {
  State state;
  state.message = &message;
  state.expire_us = expire_us;
  if (!matches_(message)) state.where = Where::kFiltered;
  if (message.deliver_at_us != kDeliverAtOnce) {
    state.due_seen = false;
    state.due_since = Instant::Never();
  }
  UpdateTimes(&state, at);
  states_[offset] = state;
}

void SubscriptionModel::UpdateTimes(State* state, const Moment& at) {
  // One that was condemned before a restart is met on the way like any other.
  const bool open =
      state->where == Where::kWaiting || (state->where == Where::kCondemned && !state->cause);
  const bool expired = open && state->expire_us <= at.wall_us;
  if (expired) state->may_be_gone = true;
  state->expired_since = expired ? std::min(state->expired_since, at.now) : Instant::Never();
  const int64_t deliver_at_us = state->message->deliver_at_us;
  if (deliver_at_us == kDeliverAtOnce) return;
  const bool past = deliver_at_us <= at.wall_us;
  state->due_seen |= past;
  state->due_since = past ? std::min(state->due_since, at.now) : Instant::Never();
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

void SubscriptionModel::CheckMayCome(ConsumerId consumer, const DeliveredMessage& delivered,
                                     const Moment& at) const {
  const auto fail = [&](Invariant invariant, std::string_view what) {
    Fail(invariant, what, delivered.offset);
  };
  auto credit = consumers_.find(consumer);
  if (credit == consumers_.end())
    return fail(Invariant::kCredit, "delivered to a consumer that is not attached");
  if (!credit->second.any()) return fail(Invariant::kCredit, "delivered without credit");
  if (delivered.lease <= last_lease_)
    return fail(Invariant::kFenced, "delivered under an id that was given before");
  const State& state = states_.at(delivered.offset);
  switch (state.where) {
    case Where::kAcked:
      return fail(Invariant::kAckIsFinal, "delivered after it was acknowledged");
    case Where::kAckHeld:
      return fail(Invariant::kAckIsFinal,
                  "delivered though it was acknowledged and no earlier one of its key failed");
    case Where::kBuried:
      return fail(Invariant::kBuriedOnce, "delivered after it was dead-lettered");
    case Where::kCondemned:
      return fail(Invariant::kBuriedOnce, "delivered although its attempts are used up");
    case Where::kFiltered:
      return fail(Invariant::kFilter, fmt::format("delivered, does not match {}", config_.filter));
    case Where::kLeased:
      return state.origin ? fail(Invariant::kLeaseSurvives,
                                 "delivered while a lease of before the restart lives")
                          : fail(Invariant::kOneLease, "delivered while another lease of it lives");
    case Where::kWaiting:
      break;
  }
  if (delivered.attempt != state.failures + 1) {
    const auto what =
        fmt::format("came as attempt {} after {} failed ones", delivered.attempt, state.failures);
    fail(Invariant::kAttempts, what);
  }
  CheckTime(state, delivered.offset, at);
  if (Keyed(state)) CheckOrder(consumer, delivered.offset, at.wall_us);
}

void SubscriptionModel::CheckTime(const State& state, uint64_t offset, const Moment& at) const {
  if (at.now < state.earliest) {
    Fail(Invariant::kInTime,
         fmt::format("came {} too early", absl::FormatDuration(state.earliest - at.now)), offset);
  }
  if (state.expire_us <= at.wall_us) Fail(Invariant::kInTime, "came after it had expired", offset);
  if (!state.due_seen) Fail(Invariant::kInTime, "came before it was to be delivered", offset);
}

void SubscriptionModel::CheckOrder(ConsumerId consumer, uint64_t offset, int64_t wall_us) const {
  const std::string& key = states_.at(offset).message->key;
  for (auto it = states_.begin(); it->first < offset; ++it) {
    const State& earlier = it->second;
    if (earlier.message->key != key || !earlier.matters()) continue;
    if (!earlier.out()) {
      // One that has just expired is gone.
      if (earlier.expire_us <= wall_us && earlier.where == Where::kWaiting) continue;
      Fail(Invariant::kKeyOrder, fmt::format("came before message {} of its key", it->first),
           offset);
    } else if (earlier.consumer != consumer) {
      Fail(Invariant::kKeyOrder,
           fmt::format("came while another consumer has message {}", it->first), offset);
    }
  }
}

void SubscriptionModel::Delivered(ConsumerId consumer, const DeliveredMessage& delivered,
                                  const Moment& at) {
  if (!states_.contains(delivered.offset)) {
    return Fail(Invariant::kContent, "delivered, but not in the log", delivered.offset);
  }
  CheckMayCome(consumer, delivered, at);
  Credit& credit = consumers_[consumer];
  credit.messages -= 1;
  credit.used = at.now;
  if (credit.counts_bytes) credit.bytes -= static_cast<int64_t>(delivered.bytes);
  truth_->delivered += 1;
  if (delivered.attempt > 1) truth_->redelivered += 1;
  State& state = states_.at(delivered.offset);
  state.where = Where::kLeased;
  state.attempt = delivered.attempt;
  state.may_be_gone = false;
  state.consumer = consumer;
  state.lease = delivered.lease;
  state.deadline = at.now + config_.ack_deadline;
  state.survives = credit.outlived;
  state.leased_since = at.now;
  state.saved.reset();
  state.origin.reset();
  live_[delivered.lease] = delivered.offset;
  last_lease_ = std::max(last_lease_, delivered.lease);
}

std::vector<uint64_t> SubscriptionModel::HeldBy(ConsumerId consumer, LeaseRange range) const {
  std::vector<uint64_t> held;
  for (auto it = live_.lower_bound(range.first); it != live_.end() && it->first <= range.last;
       ++it) {
    if (consumer == kAnyone || states_.at(it->second).consumer == consumer)
      held.push_back(it->second);
  }
  return held;
}

bool SubscriptionModel::HasEarlierOut(uint64_t offset) const {
  const std::string& key = states_.at(offset).message->key;
  return std::any_of(states_.begin(), states_.find(offset),
                     [&](const auto& s) { return s.second.out() && s.second.message->key == key; });
}

void SubscriptionModel::SettleAck(uint64_t offset) {
  State& state = states_.at(offset);
  live_.erase(state.lease);
  if (Keyed(state) && HasEarlierOut(offset)) {
    state.where = Where::kAckHeld;
    return;
  }
  state.where = Where::kAcked;
  if (!Keyed(state)) return;
  for (auto it = states_.upper_bound(offset); it != states_.end(); ++it) {
    State& later = it->second;
    if (later.message->key != state.message->key || !later.out()) continue;
    if (later.where != Where::kAckHeld) return;
    later.where = Where::kAcked;
  }
}

uint64_t SubscriptionModel::Ack(ConsumerId consumer, LeaseRange range) {
  const std::vector<uint64_t> held = HeldBy(consumer, range);
  for (const uint64_t offset : held) SettleAck(offset);
  truth_->acked += held.size();
  return held.size();
}

void SubscriptionModel::AckConfirmed(ConsumerId consumer, LeaseRange range, AckResult* result,
                                     std::vector<uint64_t>* offsets) {
  for (LeaseId lease = range.first; lease <= range.last; ++lease) {
    auto live = live_.find(lease);
    if (live == live_.end() ||
        (consumer != kAnyone && states_.at(live->second).consumer != consumer)) {
      result->refused.insert(lease);
    } else if (Keyed(states_.at(live->second)) && HasEarlierOut(live->second)) {
      result->too_early.insert(lease);
    } else {
      result->confirmed.insert(lease);
      offsets->push_back(live->second);
      truth_->acked += 1;
      SettleAck(live->second);
    }
  }
}

void SubscriptionModel::Confirmed(const std::vector<uint64_t>& offsets) {
  for (const uint64_t offset : offsets) durable_[offset].settled = true;
}

Bounds SubscriptionModel::Nack(ConsumerId consumer, LeaseRange range, absl::Duration delay,
                               Instant now) {
  Bounds nacked;
  for (const uint64_t offset : HeldBy(consumer, range)) {
    nacked.most += 1;
    // An earlier one of the key may just have taken it back.
    if (states_.at(offset).where != Where::kLeased) continue;
    nacked.least += 1;
    Release(offset, ReleaseCause::kNacked, delay, now);
  }
  return nacked;
}

uint64_t SubscriptionModel::Extend(ConsumerId consumer, LeaseRange range, absl::Duration deadline,
                                   Instant now) {
  const std::vector<uint64_t> held = HeldBy(consumer, range);
  for (const uint64_t offset : held) {
    State& state = states_.at(offset);
    state.deadline = now + deadline;
    state.leased_since = now;
    state.saved.reset();
  }
  return held.size();
}

void SubscriptionModel::TakeBackAfter(uint64_t offset, Instant now) {
  const State& first = states_.at(offset);
  if (!Keyed(first)) return;
  for (auto it = states_.upper_bound(offset); it != states_.end(); ++it) {
    State& later = it->second;
    if (later.message->key != first.message->key || !later.out()) continue;
    live_.erase(later.lease);
    later.where = Where::kWaiting;
    later.earliest = later.latest = now;
  }
}

void SubscriptionModel::Release(uint64_t offset, ReleaseCause cause, absl::Duration delay,
                                Instant now) {
  TakeBackAfter(offset, now);
  State& state = states_.at(offset);
  live_.erase(state.lease);
  const bool returned = cause == ReleaseCause::kReturned;
  if (!returned) state.failures = state.attempt;
  if (!returned && AttemptsUsedUp(state.failures)) {
    state.where = Where::kCondemned;
    state.cause = cause;
    return;
  }
  Wait wait{delay, delay};
  if (returned || cause == ReleaseCause::kConsumerGone) {
    wait = {};
  } else if (delay == absl::ZeroDuration()) {
    wait = RetryWait(config_.retry, state.failures);
    wait.most = std::max(wait.most, SlowRetryWait(state.failures));
  }
  state.where = Where::kWaiting;
  state.earliest = now + wait.least;
  state.latest = now + wait.most;
}

void SubscriptionModel::Detach(ConsumerId consumer, bool lost, Instant now) {
  const bool outlived = consumers_[consumer].outlived;
  consumers_.erase(consumer);
  if (outlived && !lost) return;
  const ReleaseCause cause = lost ? ReleaseCause::kConsumerGone : ReleaseCause::kReturned;
  for (const uint64_t offset : HeldBy(consumer, {LeaseId(0), last_lease_})) {
    if (states_.at(offset).where != Where::kLeased) continue;
    Release(offset, cause, absl::ZeroDuration(), now);
  }
}

void SubscriptionModel::Tick(const Moment& at) {
  // In the order in which they passed.
  std::set<std::pair<Instant, LeaseId>> passed;
  for (const auto& [lease, offset] : live_) {
    const Instant deadline = states_.at(offset).deadline;
    if (deadline <= at.now) passed.insert({deadline, lease});
  }
  truth_->expired += passed.size();
  for (const auto& [deadline, lease] : passed) {
    auto live = live_.find(lease);
    if (live == live_.end()) {
      truth_->expired_or_not += 1;
      continue;
    }
    Release(live->second, ReleaseCause::kDeadlinePassed, absl::ZeroDuration(), at.now);
  }
  for (auto& [offset, state] : states_) UpdateTimes(&state, at);
}

void SubscriptionModel::BuryStaged(OffsetRange offsets) {
  for (Offset offset = offsets.begin; offset < offsets.end; ++offset)
    states_.at(offset.value()).copy_staged = true;
}

void SubscriptionModel::Buried(uint64_t offset, const Message& copy) {
  auto found = states_.find(offset);
  if (found == states_.end())
    return Fail(Invariant::kBuriedOnce, "a copy of what is not there", offset);
  truth_->dead_lettered += 1;
  if (auto stale = stale_copies_.find(offset); stale != stale_copies_.end()) {
    stale_copies_.erase(stale);
    return;
  }
  State& state = found->second;
  state.copy_staged = false;
  if (state.where == Where::kBuried) return Fail(Invariant::kBuriedOnce, "a second copy", offset);
  if (state.where == Where::kWaiting && state.may_be_gone && BuriesExpired()) {
    state.cause = ReleaseCause::kExpired;
  } else if (state.where != Where::kCondemned) {
    return Fail(Invariant::kBuriedOnce, "a copy before its time", offset);
  }
  CheckCopy(offset, state, copy);
  state.where = Where::kBuried;
}

void SubscriptionModel::CheckCopy(uint64_t offset, const State& state, const Message& copy) const {
  namespace attribute = dead_letter_attribute;
  const Message& original = *state.message;
  if (copy.data != original.data || copy.key != original.key ||
      copy.priority != original.priority ||
      !std::includes(copy.attributes.begin(), copy.attributes.end(), original.attributes.begin(),
                     original.attributes.end())) {
    Fail(Invariant::kBuriedOnce, "the copy is not the message", offset);
  }
  if (copy.deliver_at_us != kDeliverAtOnce || copy.expire_at_us != kNeverExpires) {
    Fail(Invariant::kBuriedOnce, "the copy waits or expires", offset);
  }
  if (AttributeOf(copy, std::string(attribute::kAttempts)) != std::to_string(state.failures)) {
    Fail(Invariant::kAttempts, fmt::format("the copy does not say {} attempts", state.failures),
         offset);
  }
  if (state.cause && AttributeOf(copy, std::string(attribute::kReason)) != ToString(*state.cause)) {
    Fail(Invariant::kBuriedOnce,
         fmt::format("the copy's reason is not \"{}\"", ToString(*state.cause)), offset);
  }
}

void SubscriptionModel::BuryRefused(OffsetRange offsets, Instant now) {
  for (Offset offset = offsets.begin; offset < offsets.end; ++offset) {
    if (auto stale = stale_copies_.find(offset.value()); stale != stale_copies_.end()) {
      stale_copies_.erase(stale);
      continue;
    }
    State& state = states_.at(offset.value());
    state.copy_staged = false;
    state.where = Where::kWaiting;
    state.earliest = state.latest = now + kBuryRetry;
    // One that expired before it was looked at comes like any other, should the clock be set back.
    if (state.expired_since != Instant::Never()) state.earliest = now;
  }
}

}  // namespace sluice::model
