#include "core/engine/subscription.h"

#include <algorithm>
#include <utility>

#include "core/base/error.h"
#include "fmt/format.h"

namespace sluice {

Subscription::Subscription(std::shared_ptr<EngineContext> context, SubscriptionId id, SubscriptionConfig config,
                           std::shared_ptr<Topic> topic, std::shared_ptr<Cursor> cursor, const CursorState& state)
    : context_(std::move(context)),
      id_(id),
      cursor_(std::move(cursor)),
      filter_(*Filter::Compile(config.filter)),
      snapshot_(config.snapshot_until.has_value()),
      floor_(state.acked.floor()),
      config_(std::move(config)),
      topic_(std::move(topic)),
      acked_(state.acked) {
  MutexLock lock(mu_);
  last_used_ = context_->clock.Now();
  if (config_.detached) {
    ended_ = DetachedError(config_.name);
  } else if (topic_ == nullptr) {
    ended_ = Error(Reason::kTopicDeleted, fmt::format("{}: its topic was deleted", config_.name.full()),
                   {{"field", "subscription"}, {"value", config_.name.full()}});
  }
  BeginAt(state);
  end_ = topic_ == nullptr ? next_ : std::max(topic_->durable_end(), next_);
}

void Subscription::BeginAt(const CursorState& state) {
  acked_ = state.acked;
  floor_.store(acked_.floor(), std::memory_order_release);
  next_ = acked_.floor();
  history_ = state.failures;
  expired_unseen_ = 0;
  // Those whose attempts were used up do not wait for a consumer; where order counts, their key has to be known first.
  if (config_.ordered) return;
  for (auto& [offset, failures] : history_) {
    if (!AttemptsUsedUp(failures) || acked_.Contains(offset)) continue;
    Condemn({offset, offset + 1}, failures, ReleaseCause::kDeadlinePassed);
    failures = kCondemned;
  }
}

absl::Status Subscription::NotAvailable(const AttachOptions& options) const {
  const bool waits = options.waits_without_topic && ReasonOf(ended_) == Reason::kTopicDeleted;
  if (!ended_.ok() && !waits) return ended_;
  if (config_.push && !options.pushes) return PushError(config_.name);
  if (consumers_.size() >= kMaxConsumers) {
    return Error(Reason::kTooManyConsumers,
                 fmt::format("{}: {} consumers are connected, the most there may be", config_.name.full(), kMaxConsumers),
                 {{"field", "subscription"},
                  {"value", std::to_string(consumers_.size() + 1)},
                  {"limit", std::to_string(kMaxConsumers)}});
  }
  return absl::OkStatus();
}

absl::StatusOr<ConsumerId> Subscription::Attach(std::shared_ptr<Consumer> consumer, AttachOptions options) {
  MutexLock lock(mu_);
  if (absl::Status status = NotAvailable(options); !status.ok()) return status;
  ConsumerState state;
  state.id = next_consumer_;
  ++next_consumer_;
  state.consumer = std::move(consumer);
  state.client_id = std::move(options.client_id);
  state.ack_deadline = options.ack_deadline;
  state.leases_outlive_it = options.leases_outlive_it;
  state.waits_without_topic = options.waits_without_topic;
  state.pushes = options.pushes;
  state.messages_left = options.max_outstanding_messages;
  state.bytes_left = options.max_outstanding_bytes;
  state.limited = std::min(state.messages_left, state.bytes_left) != AttachOptions::kNoOutstandingLimit;
  if (state.limited) ++limited_consumers_;
  consumers_.push_back(std::move(state));
  if (!lease_share_) {
    lease_share_ = std::make_unique<LeaseQuota::Share>(context_->leases, [weak = weak_from_this()] {
      if (auto self = weak.lock()) self->Pump();
    });
    breaker_ = std::make_unique<DeliveryBreaker>(context_->metrics.engine.delivery_breakers);
  }
  context_->metrics.engine.consumers.Add(1);
  return consumers_.back().id;
}

Subscription::ConsumerState* Subscription::FindConsumer(ConsumerId id) {
  // In the order of their ids, since that is the order in which they came.
  auto it = std::lower_bound(consumers_.begin(), consumers_.end(), id,
                             [](const ConsumerState& c, ConsumerId wanted) { return c.id < wanted; });
  return it == consumers_.end() || it->id != id ? nullptr : &*it;
}

void Subscription::Grant(ConsumerId consumer, int64_t messages, int64_t bytes) {
  // Grants add up; a client that grants without end must not make the sum overflow.
  constexpr int64_t kMostCredit = int64_t{1} << 60;
  {
    MutexLock lock(mu_);
    ConsumerState* state = FindConsumer(consumer);
    if (state == nullptr) return;
    state->message_credit = std::min(state->message_credit + std::min(messages, kMostCredit), kMostCredit);
    if (bytes == kNoByteLimit) {
      state->counts_bytes = false;
    } else {
      state->byte_credit = std::min(state->byte_credit + std::min(bytes, kMostCredit), kMostCredit);
    }
  }
  Pump();
}

uint64_t Subscription::MarkAcked(OffsetRange range) {
  const uint64_t added = acked_.Add(range);
  floor_.store(acked_.floor(), std::memory_order_release);
  return added;
}

Subscription::Acked Subscription::BeginAck(ConsumerId consumer, const std::vector<LeaseRange>& ranges,
                                           AckOutcome* outcome) {
  Acked acked;
  MutexLock lock(mu_);
  acked.old_floor = acked_.floor();
  acked.topic = topic_;
  const BreakerState before = breaker_state();
  if (consumer == kAnyone) last_used_ = context_->clock.RoughNow();
  acked.settled = TakeAcked(consumer, ranges, &acked.offsets, outcome);
  LeasesEnded();
  if (!acked.offsets.empty()) ++telling_;
  // What the breaker held back may go now, and a key that this consumer held may go to others.
  acked.pump = RoomCame() || breaker_state() != before || (!acked.offsets.empty() && keys_.has_ready());
  return acked;
}

uint64_t Subscription::Ack(ConsumerId consumer, const std::vector<LeaseRange>& ranges) {
  const Acked acked = BeginAck(consumer, ranges, nullptr);
  if (!acked.offsets.empty()) TellAcked(acked.offsets, acked.old_floor, acked.topic);
  if (acked.pump) Pump();
  return acked.settled;
}

void Subscription::AckConfirmed(ConsumerId consumer, const std::vector<LeaseRange>& ranges, AckDone done) {
  AckOutcome outcome;
  const Acked acked = BeginAck(consumer, ranges, &outcome);
  Confirm(acked, std::move(outcome), std::move(done));
  if (acked.pump) Pump();
}

void Subscription::Confirm(const Acked& acked, AckOutcome outcome, AckDone done) {
  if (acked.offsets.empty()) return done(std::move(outcome));
  TellAcked(acked.offsets, acked.old_floor, acked.topic,
            [outcome = std::move(outcome), done = std::move(done)](const absl::Status& status) mutable {
              outcome.status = status;
              done(std::move(outcome));
            });
}

uint64_t Subscription::TakeAcked(ConsumerId consumer, const std::vector<LeaseRange>& ranges, OffsetRanges* acked,
                                 AckOutcome* outcome) {
  uint64_t settled = 0;
  for (const LeaseRange& range : ranges) {
    LeaseId next = range.first;
    settled += leases_.Take(consumer, range, [&](const Lease& lease) {
      mu_.AssertHeld();
      if (outcome != nullptr && next < lease.first) outcome->refused.push_back({next, lease.first - 1});
      next = lease.first + lease.count;
      if (lease.keyed) return AckKeyed(lease, acked, outcome);
      Note(lease, DeliveryOutcome::kAcked);
      if (outcome != nullptr) outcome->confirmed.push_back({lease.first, next - 1});
      Append(acked, lease.offsets());
    });
    if (outcome != nullptr && next <= range.last) outcome->refused.push_back({next, range.last});
  }
  for (const OffsetRange& range : *acked) MarkAcked(range);
  if (outcome != nullptr) settled -= outcome->too_early.size();
  settled_ += settled;
  context_->metrics.engine.acked_messages.Add(settled);
  return settled;
}

void Subscription::AckKeyed(const Lease& lease, OffsetRanges* acked, AckOutcome* outcome) {
  Lease settled = lease;
  for (uint32_t i = 0; i < lease.count; ++i) {
    const Offset offset = lease.offset + i;
    const LeaseId id = lease.first + i;
    // Retention was faster: there is nothing left to keep in order.
    const bool out = keys_.IsOut(offset);
    if (outcome != nullptr && out && keys_.HasEarlier(offset)) {
      // A confirmed message cannot come again, and this one would have to if the earlier one does.
      const Lease one = lease.Part(id, id + 1);
      leases_.Restore(one);
      outcome->too_early.push_back({id, id});
      --settled.count;
      settled.bytes -= one.bytes;
      continue;
    }
    if (out) keys_.Ack(offset, [acked](Offset settled) { Append(acked, {settled, settled + 1}); });
    if (outcome != nullptr) outcome->confirmed.push_back({id, id});
  }
  if (settled.count > 0) Note(settled, DeliveryOutcome::kAcked);
}

void Subscription::TellAcked(absl::Span<const OffsetRange> acked, Offset old_floor,
                             const std::shared_ptr<Topic>& topic, StoreDone done) {
  if (cursor_ != nullptr) {
    cursor_->Ack(acked, std::move(done));
  } else if (done) {
    done(absl::OkStatus());
  }
  if (topic != nullptr && floor() != old_floor) topic->FloorMoved(old_floor);
  Told();
}

void Subscription::Told() {
  // Whichever comes second, this or the seek, sees the other.
  if (telling_.fetch_sub(1) == 1 && seek_waits_.load()) Pump();
}

Instant Subscription::RetryTime(const Lease& lease, ReleaseCause cause, absl::Duration delay, uint64_t count) {
  if (cause == ReleaseCause::kConsumerGone || cause == ReleaseCause::kReturned) return Instant();
  const Instant now = context_->clock.Now();
  if (delay <= absl::ZeroDuration()) delay = RetryDelay(config_.retry, lease.attempt, lease.offset.value());
  const Instant when = std::max(now + delay, redeliveries_.Take(count, now));
  return when > now ? when : Instant();
}

void Subscription::NoteFailed(OffsetRange range, uint32_t failures) {
  if (cursor_ == nullptr) return;
  if (!failed_.empty() && failed_.back().offsets.end == range.begin && failed_.back().failures == failures) {
    failed_.back().offsets.end = range.end;
  } else {
    failed_.push_back({range, failures});
  }
}

void Subscription::Release(const Lease& lease, ReleaseCause cause, absl::Duration delay) {
  const bool returned = cause == ReleaseCause::kReturned;
  const uint32_t failures = returned ? lease.attempt - 1 : lease.attempt;
  Note(lease, returned || cause == ReleaseCause::kConsumerGone ? DeliveryOutcome::kReturned : DeliveryOutcome::kFailed);
  NoLongerOut(lease.offsets(), lease.expires_us);
  if (lease.keyed) return ReleaseKeyed(lease, cause, delay, failures);
  if (!returned) NoteFailed(lease.offsets(), failures);
  if (!returned && AttemptsUsedUp(failures)) return Condemn(lease.offsets(), failures, cause);
  MakeAvailable(lease.offsets(), failures, lease.priority, RetryTime(lease, cause, delay, lease.count));
}

void Subscription::ReleaseKeyed(const Lease& lease, ReleaseCause cause, absl::Duration delay, uint32_t failures) {
  KeyQueues::FencedList fenced;
  const bool returned = cause == ReleaseCause::kReturned;
  for (Offset at = lease.offset; at < lease.offsets().end; ++at) {
    // One that is not out comes again with an earlier one of its key already, or retention took it.
    if (!keys_.IsOut(at)) continue;
    if (!returned) NoteFailed({at, at + 1}, failures);
    if (!returned && AttemptsUsedUp(failures)) {
      Condemn({at, at + 1}, failures, cause);
      keys_.Condemn(at, &fenced);
    } else {
      keys_.Fail(at, failures, RetryTime(lease, cause, delay, 1), &fenced);
    }
  }
  for (const KeyQueues::Fenced& gone : fenced) {
    if (gone.acked) NoLongerOut({gone.offset, gone.offset + 1}, 0);
    leases_.Take(gone.consumer, {gone.lease, gone.lease}, [this](const Lease& taken) {
      mu_.AssertHeld();
      Note(taken, DeliveryOutcome::kReturned);
      NoLongerOut(taken.offsets(), taken.expires_us);
    });
  }
}

void Subscription::NoLongerOut(OffsetRange range, int64_t expires_us) {
  if (expires_us == kNeverExpires || topic_ == nullptr || expires_us > Look().wall_us) return;
  topic_->expiry().LookAgain(range);
}

bool Subscription::AttemptsUsedUp(uint32_t attempts) const {
  return config_.dead_letter && attempts >= config_.dead_letter->max_attempts;
}

void Subscription::MakeAvailable(OffsetRange offsets, uint32_t attempts, uint8_t priority, Instant when) {
  // Retention may have dropped a part meanwhile; that part is settled.
  for (Offset at = acked_.NextUnacked(offsets.begin); at < offsets.end; at = acked_.NextUnacked(at)) {
    const OffsetRange stretch{at, acked_.UnackedEnd(at, offsets.end)};
    at = stretch.end;
    const ReadySet::Range range{stretch, attempts, priority};
    when == Instant() ? ready_.Add(range) : ready_.AddDelayed(range, when);
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

uint64_t Subscription::Extend(ConsumerId consumer, LeaseRange range, absl::Duration deadline) {
  MutexLock lock(mu_);
  const Moment now = Look();
  const uint64_t extended = leases_.Extend(consumer, range, now.now + deadline);
  if (extended > 0) ArmTimer(now);
  return extended;
}

void Subscription::EndLeases(ConsumerId consumer, ReleaseCause cause) {
  {
    MutexLock lock(mu_);
    leases_.TakeAll(consumer, Releasing(cause));
    LeasesEnded();
  }
  Pump();
}

void Subscription::Detach(ConsumerId consumer, bool keeps_leases) {
  std::shared_ptr<Consumer> gone;  // destroyed outside the lock
  std::shared_ptr<Topic> ephemeral_of;
  {
    MutexLock lock(mu_);
    ConsumerState* state = FindConsumer(consumer);
    if (state == nullptr) return;
    gone = std::move(state->consumer);
    const bool outlived = state->leases_outlive_it || keeps_leases;
    if (state->limited) --limited_consumers_;
    consumers_.erase(consumers_.begin() + (state - consumers_.data()));
    if (!outlived) leases_.TakeAll(consumer, Releasing(ReleaseCause::kReturned));
    LeasesEnded();
    last_used_ = context_->clock.RoughNow();
    if (cursor_ == nullptr) ephemeral_of = topic_;
  }
  context_->metrics.engine.consumers.Add(-1);
  if (ephemeral_of != nullptr) {
    ephemeral_of->Remove(this);
    return End(Error(Reason::kSubscriptionNotFound, "the ephemeral subscription ended with its stream"));
  }
  Pump();
}

SubscriptionConfig Subscription::config() const {
  MutexLock lock(mu_);
  return config_;
}

Subscription::Properties Subscription::properties() const {
  MutexLock lock(mu_);
  return {config_.exactly_once, config_.ordered, config_.dead_letter.has_value()};
}

void Subscription::SetConfig(SubscriptionConfig config) {
  std::vector<ConsumerState> pullers;
  absl::Status why;
  {
    MutexLock lock(mu_);
    config_ = std::move(config);
    last_used_ = context_->clock.Now();
    if (config_.push) {
      pullers = TakeConsumers([](const ConsumerState& consumer) { return !consumer.pushes; });
      for (const ConsumerState& puller : pullers) {
        if (!puller.leases_outlive_it) leases_.TakeAll(puller.id, Releasing(ReleaseCause::kReturned));
      }
      LeasesEnded();
      why = PushError(config_.name);
    }
  }
  if (pullers.empty()) return;
  TellEnded(pullers, why);
  Pump();
}

template <class Fn>
std::vector<Subscription::ConsumerState> Subscription::TakeConsumers(Fn&& goes) {
  const auto first = std::stable_partition(consumers_.begin(), consumers_.end(), [&](const auto& c) { return !goes(c); });
  std::vector<ConsumerState> gone(std::make_move_iterator(first), std::make_move_iterator(consumers_.end()));
  consumers_.erase(first, consumers_.end());
  for (const ConsumerState& consumer : gone) limited_consumers_ -= consumer.limited ? 1 : 0;
  return gone;
}

void Subscription::TellEnded(const std::vector<ConsumerState>& gone, const absl::Status& why) const {
  context_->metrics.engine.consumers.Add(-static_cast<int64_t>(gone.size()));
  for (const ConsumerState& consumer : gone) consumer.consumer->Ended(why);
}

void Subscription::SetAckDeadline(ConsumerId consumer, absl::Duration deadline) {
  MutexLock lock(mu_);
  if (ConsumerState* state = FindConsumer(consumer)) state->ack_deadline = deadline;
}

void Subscription::GiveRoom(const Lease& lease) {
  ConsumerState* state = FindConsumer(lease.consumer);
  if (state == nullptr || !state->limited) return;
  state->messages_left += lease.count;
  state->bytes_left += lease.bytes;
  room_came_ = true;
}

bool Subscription::Unused(Instant now) const {
  MutexLock lock(mu_);
  const bool idle = std::all_of(consumers_.begin(), consumers_.end(), [](const auto& c) { return c.pushes; });
  return config_.expire_after > absl::ZeroDuration() && idle && leases_.count() == 0 &&
         now - last_used_ >= config_.expire_after;
}

SubscriptionStats Subscription::stats() const {
  SubscriptionStats stats;
  std::shared_ptr<Topic> topic;
  Offset oldest;
  {
    MutexLock lock(mu_);
    topic = topic_;
    oldest = acked_.floor();
    stats.backlog_messages =
        topic == nullptr ? 0 : static_cast<int64_t>(end_ - oldest) - static_cast<int64_t>(acked_.above_floor());
    stats.leased_messages = static_cast<int64_t>(leases_.count());
    stats.consumers = static_cast<int32_t>(consumers_.size());
    stats.delivered_messages = delivered_;
    stats.acked_messages = settled_;
    stats.nacked_messages = nacked_;
    stats.expired_leases = expired_;
    stats.redelivered_messages = redelivered_;
    stats.held_messages = held();
    stats.breaker = breaker_state();
  }
  if (stats.backlog_messages <= 0) return stats;
  const LogExtent extent = topic->log().extent();
  const auto retained = static_cast<double>(std::max<uint64_t>(extent.next - extent.first, 1));
  stats.backlog_bytes = static_cast<int64_t>(static_cast<double>(extent.bytes) / retained *
                                             static_cast<double>(stats.backlog_messages));
  stats.oldest_unacked_publish_time_us = topic->PublishTimeOf(oldest);
  return stats;
}

void Subscription::OnEndMoved(Offset end) {
  {
    MutexLock lock(mu_);
    end_ = std::max(end_, end);
  }
  Pump();
}

uint64_t Subscription::DropBefore(Offset before) {
  uint64_t dropped = 0;
  std::vector<Offset> settled;
  {
    MutexLock lock(mu_);
    const Offset floor = acked_.floor();
    if (before <= floor) return 0;
    dropped = MarkAcked({floor, before});
    ready_.DropBefore(before);
    keys_.DropBefore(before, &settled);
    for (Offset offset : settled) MarkAcked({offset, offset + 1});
    next_ = std::max(next_, before);
    end_ = std::max(end_, next_);
  }
  if (cursor_ == nullptr) return dropped;
  cursor_->Ack({OffsetRange{Offset(1), before}}, nullptr);
  for (Offset offset : settled) cursor_->Ack({OffsetRange{offset, offset + 1}}, nullptr);
  return dropped;
}

void Subscription::LeaveTopic() {
  std::shared_ptr<Topic> topic;
  {
    MutexLock lock(mu_);
    topic = topic_;
  }
  if (topic != nullptr) topic->Remove(this);
}

void Subscription::ForgetAll() {
  leases_.ForEach([this](const Lease& lease) {
    mu_.AssertHeld();
    Note(lease, DeliveryOutcome::kReturned);
  });
  leases_.Clear();
  first_since_seek_ = leases_.next();
  LeasesEnded();
  ready_ = ReadySet();
  keys_ = KeyQueues();
  condemned_.clear();
  window_.clear();
  window_bytes_ = 0;
  held_.Clear();
  failed_.clear();
}

void Subscription::End(const absl::Status& why) {
  std::vector<ConsumerState> consumers;
  std::shared_ptr<Topic> topic;
  StoreDone unsought;
  {
    MutexLock lock(mu_);
    if (ended_.ok()) ended_ = why;
    const bool topic_deleted = ReasonOf(why) == Reason::kTopicDeleted;
    consumers = TakeConsumers([&](const ConsumerState& consumer) { return !(topic_deleted && consumer.waits_without_topic); });
    topic.swap(topic_);
    ForgetAll();
    next_ = end_;
    if (seek_) unsought = std::move(seek_->done);
    seek_.reset();
    seek_waits_ = false;
  }
  TellEnded(consumers, why);
  if (unsought) unsought(why);
}

}  // namespace sluice
