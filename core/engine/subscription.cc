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
      floor_(state.acked.floor()),
      config_(std::move(config)),
      topic_(std::move(topic)),
      acked_(state.acked) {
  MutexLock lock(mu_);
  if (topic_ == nullptr) {
    ended_ = Error(Reason::kTopicDeleted, fmt::format("{}: its topic was deleted", config_.name.full()),
                   {{"field", "subscription"}, {"value", config_.name.full()}});
  }
  Recover(state);
}

// What was delivered before and not acknowledged waits for redelivery, with its attempts; the rest is new.
void Subscription::Recover(const CursorState& state) {
  next_ = std::max(state.delivered_end, acked_.floor());
  end_ = topic_ == nullptr ? next_ : std::max(topic_->durable_end(), next_);
  auto counted = state.attempts.begin();
  for (Offset at = acked_.NextUnacked(acked_.floor()); at < next_; at = acked_.NextUnacked(at)) {
    const Offset stretch_end = acked_.UnackedEnd(at, next_);
    while (at < stretch_end) {
      while (counted != state.attempts.end() && counted->first < at) ++counted;
      const bool exact = counted != state.attempts.end() && counted->first == at;
      const Offset end = exact                               ? at + 1
                         : counted == state.attempts.end() ? stretch_end
                                                             : std::min(stretch_end, counted->first);
      const uint32_t attempts = exact ? counted->second : 1;
      if (AttemptsUsedUp(attempts)) {
        condemned_.push_back({{at, end}, attempts, ReleaseCause::kConsumerGone});
      } else {
        ready_.Add({{at, end}, attempts});
      }
      at = end;
    }
  }
}

absl::Status Subscription::NotAvailable() const {
  if (!ended_.ok()) return ended_;
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
  if (absl::Status status = NotAvailable(); !status.ok()) return status;
  ConsumerState state;
  state.id = next_consumer_;
  ++next_consumer_;
  state.consumer = std::move(consumer);
  state.client_id = std::move(options.client_id);
  consumers_.push_back(std::move(state));
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

uint64_t Subscription::Ack(ConsumerId consumer, const std::vector<LeaseRange>& ranges) {
  absl::InlinedVector<OffsetRange, 8> acked;
  uint64_t settled = 0;
  Offset old_floor;
  std::shared_ptr<Topic> topic;
  {
    MutexLock lock(mu_);
    old_floor = acked_.floor();
    topic = topic_;
    for (const LeaseRange& range : ranges) {
      settled += leases_.Take(consumer, range, [&](const Lease& lease) {
        mu_.AssertHeld();
        MarkAcked(lease.offsets());
        if (!acked.empty() && acked.back().end == lease.offset) {
          acked.back().end = lease.offsets().end;
        } else {
          acked.push_back(lease.offsets());
        }
      });
    }
    settled_ += settled;
  }
  if (settled == 0) return 0;
  context_->metrics.engine.acked_messages.Add(settled);
  TellAcked(acked, old_floor, topic);
  return settled;
}

void Subscription::TellAcked(absl::Span<const OffsetRange> acked, Offset old_floor,
                             const std::shared_ptr<Topic>& topic) {
  if (cursor_ != nullptr) cursor_->Ack(acked, nullptr);
  if (topic != nullptr && floor() != old_floor) topic->FloorMoved(old_floor);
}

void Subscription::Release(const Lease& lease, ReleaseCause cause, absl::Duration delay) {
  if (AttemptsUsedUp(lease.attempt)) {
    condemned_.push_back({lease.offsets(), lease.attempt, cause});
    return;
  }
  if (cause == ReleaseCause::kConsumerGone) return MakeAvailable(lease.offsets(), lease.attempt, Instant());
  const Instant now = context_->clock.Now();
  if (delay <= absl::ZeroDuration()) delay = RetryDelay(config_.retry, lease.attempt, lease.offset.value());
  const Instant when = std::max(now + delay, redeliveries_.Take(lease.count, now));
  MakeAvailable(lease.offsets(), lease.attempt, when > now ? when : Instant());
}

bool Subscription::AttemptsUsedUp(uint32_t attempts) const {
  return config_.dead_letter && attempts >= config_.dead_letter->max_attempts;
}

void Subscription::MakeAvailable(OffsetRange offsets, uint32_t attempts, Instant when) {
  // Retention may have dropped a part meanwhile; that part is settled.
  for (Offset at = acked_.NextUnacked(offsets.begin); at < offsets.end; at = acked_.NextUnacked(at)) {
    const OffsetRange stretch{at, acked_.UnackedEnd(at, offsets.end)};
    if (when == Instant()) {
      ready_.Add({stretch, attempts});
    } else {
      ready_.AddDelayed({stretch, attempts}, when);
    }
    at = stretch.end;
  }
}

uint64_t Subscription::Nack(ConsumerId consumer, LeaseRange range, absl::Duration delay) {
  uint64_t settled = 0;
  {
    MutexLock lock(mu_);
    settled = leases_.Take(consumer, range, Releasing(ReleaseCause::kNacked, delay));
    nacked_ += settled;
    if (settled > 0) ArmTimer();
  }
  if (settled == 0) return 0;
  context_->metrics.engine.nacked_messages.Add(settled);
  Pump();
  return settled;
}

uint64_t Subscription::Extend(ConsumerId consumer, LeaseRange range, absl::Duration deadline) {
  MutexLock lock(mu_);
  const uint64_t extended = leases_.Extend(consumer, range, context_->clock.Now() + deadline);
  if (extended > 0) ArmTimer();
  return extended;
}

void Subscription::Detach(ConsumerId consumer) {
  std::shared_ptr<Consumer> gone;  // destroyed outside the lock
  std::shared_ptr<Topic> ephemeral_of;
  {
    MutexLock lock(mu_);
    ConsumerState* state = FindConsumer(consumer);
    if (state == nullptr) return;
    gone = std::move(state->consumer);
    consumers_.erase(consumers_.begin() + (state - consumers_.data()));
    leases_.TakeAll(consumer, Releasing(ReleaseCause::kConsumerGone));
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

void Subscription::SetConfig(SubscriptionConfig config) {
  MutexLock lock(mu_);
  config_ = std::move(config);
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
  {
    MutexLock lock(mu_);
    const Offset floor = acked_.floor();
    if (before <= floor) return 0;
    dropped = MarkAcked({floor, before});
    ready_.DropBefore(before);
    next_ = std::max(next_, before);
    end_ = std::max(end_, next_);
  }
  if (cursor_ != nullptr) cursor_->Ack({OffsetRange{Offset(1), before}}, nullptr);
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

void Subscription::End(const absl::Status& why) {
  std::vector<ConsumerState> consumers;
  std::shared_ptr<Topic> topic;
  {
    MutexLock lock(mu_);
    if (ended_.ok()) ended_ = why;
    consumers.swap(consumers_);
    topic.swap(topic_);
    leases_ = LeaseTable();
    ready_ = ReadySet();
    condemned_.clear();
    window_.clear();
    window_bytes_ = 0;
    held_ = nullptr;
    next_ = end_;
  }
  context_->metrics.engine.consumers.Add(-static_cast<int64_t>(consumers.size()));
  for (const ConsumerState& consumer : consumers) consumer.consumer->Ended(why);
}

}  // namespace sluice
