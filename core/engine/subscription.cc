#include "core/engine/subscription.h"

#include <algorithm>
#include <utility>

#include "core/base/error.h"
#include "fmt/format.h"

namespace sluice {
namespace {

constexpr size_t kMostDeparted = 64;

}  // namespace

Subscription::Subscription(std::shared_ptr<EngineContext> context, SubscriptionId id,
                           SubscriptionConfig config, std::shared_ptr<Topic> topic,
                           std::shared_ptr<Cursor> cursor, const CursorState& state)
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
    ended_ =
        Error(Reason::kTopicDeleted, fmt::format("{}: its topic was deleted", config_.name.full()),
              {{"field", "subscription"}, {"value", config_.name.full()}});
  }
  BeginAt(state);
  end_ = topic_ == nullptr ? next_ : std::max(topic_->durable_end(), next_);
}

void Subscription::BeginAt(const CursorState& state) {
  acked_ = state.acked;
  floor_.store(acked_.floor(), std::memory_order_release);
  // What retention took is not waited for.
  if (topic_ != nullptr)
    Skip({acked_.floor(), std::max(acked_.floor(), topic_->log().extent().first)});
  next_ = acked_.floor();
  RestartScan();
  history_ = state.failures;
  expired_unseen_ = 0;
  // Those whose attempts were used up do not wait for a consumer; where order counts, their key has
  // to be known first.
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
  if (config_.settings_lost) return SettingsLostError(config_.name);
  if (config_.push && !options.pushes) return PushError(config_.name);
  if (consumers_.size() >= kMaxConsumers) {
    return Error(Reason::kTooManyConsumers,
                 fmt::format("{}: {} consumers are connected, the most there may be",
                             config_.name.full(), kMaxConsumers),
                 {{"field", "subscription"},
                  {"value", std::to_string(consumers_.size() + 1)},
                  {"limit", std::to_string(kMaxConsumers)}});
  }
  return absl::OkStatus();
}

absl::StatusOr<ConsumerId> Subscription::Attach(std::shared_ptr<Consumer> consumer,
                                                AttachOptions options) {
  MutexLock lock(mu_);
  if (absl::Status status = NotAvailable(options); !status.ok()) return status;
  ConsumerState state;
  state.id = next_consumer_;
  ++next_consumer_;
  state.consumer = std::move(consumer);
  state.client_id = std::move(options.client_id);
  state.ack_deadline = options.ack_deadline;
  state.leases_outlive_it = options.leases_outlive_it;
  state.takes_up_leases = options.takes_up_leases;
  state.takes_one_delivery = options.takes_one_delivery;
  state.waits_without_topic = options.waits_without_topic;
  state.pushes = options.pushes;
  state.messages_left = options.max_outstanding_messages;
  state.bytes_left = options.max_outstanding_bytes;
  state.limited =
      std::min(state.messages_left, state.bytes_left) != AttachOptions::kNoOutstandingLimit;
  if (state.limited) ++limited_consumers_;
  consumers_.push_back(std::move(state));
  BeginLeasing();
  const ConsumerId id = consumers_.back().id;
  context_->metrics.engine.consumers.Add(1);
  lock.Unlock();
  ConsumersChanged();
  return id;
}

void Subscription::ConsumersChanged() {
  std::shared_ptr<Topic> topic;
  {
    MutexLock lock(mu_);
    topic = topic_;
  }
  if (topic == nullptr) return;
  topic->Refresh(this);
  OnEndMoved(topic->durable_end());
}

bool Subscription::hears_publishes() const {
  MutexLock lock(mu_);
  return !snapshot_ && (!consumers_.empty() || !filter_.matches_all());
}

absl::Duration Subscription::acked_retention() const {
  MutexLock lock(mu_);
  return config_.acked_retention;
}

void Subscription::BeginLeasing() {
  if (lease_share_) return;
  lease_share_ = std::make_unique<LeaseQuota::Share>(context_->leases, [weak = weak_from_this()] {
    if (auto self = weak.lock()) self->Pump();
  });
  MakeBreaker();
}

void Subscription::MakeBreaker() {
  const DeliveryBreakerPolicy policy =
      config_.delivery_breaker ? *config_.delivery_breaker : DeliveryBreakerPolicy();
  breaker_ =
      std::make_unique<DeliveryBreaker>(context_->metrics.engine.delivery_breakers,
                                        DeliveryBreaker::OptionsFrom(policy), leases_.next());
  for (ConsumerState& consumer : consumers_) consumer.failures.reset();
}

void Subscription::ForgetFailures(const ConsumerState& consumer) {
  if (consumer.failures) breaker_->OnConsumerGone(*consumer.failures, context_->clock.RoughNow());
  if (!consumer.leases_outlive_it || consumer.takes_one_delivery) return;
  departed_.push_back(consumer.id);
  if (departed_.size() > kMostDeparted) departed_.pop_front();
}

void Subscription::NoteFailure(const Lease& lease) {
  ConsumerState* const consumer = FindConsumer(lease.consumer);
  const bool departed = consumer == nullptr && std::find(departed_.begin(), departed_.end(),
                                                         lease.consumer) != departed_.end();
  // What it gives back on its way out may come when it is gone.
  if (departed) return Note(lease, DeliveryOutcome::kReturned);
  breaker_->OnSettled(lease.first, lease.count,
                      lease.again ? DeliveryOutcome::kFailedAgain : DeliveryOutcome::kFailed,
                      context_->clock.RoughNow(),
                      consumer == nullptr ? nullptr : &consumer->failures);
  if (limited_consumers_ > 0) GiveRoom(lease);
}

ConsumerState* Subscription::FindConsumer(ConsumerId id) {
  // In the order of their ids, since that is the order in which they came.
  auto it =
      std::lower_bound(consumers_.begin(), consumers_.end(), id,
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
    state->message_credit =
        std::min(state->message_credit + std::min(messages, kMostCredit), kMostCredit);
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

Subscription::Acked Subscription::BeginAck(ConsumerId consumer,
                                           const std::vector<LeaseRange>& ranges,
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
  // What the filter leaves out may not hold the floor.
  acked.pump = RoomCame() || breaker_state() != before ||
               (!acked.offsets.empty() && keys_.has_ready()) || (has_filter() && ScanFrom()) ||
               damage_ != nullptr;
  return acked;
}

uint64_t Subscription::Ack(ConsumerId consumer, const std::vector<LeaseRange>& ranges) {
  const Acked acked = BeginAck(consumer, ranges, nullptr);
  if (!acked.offsets.empty()) TellAcked(acked.offsets, acked.old_floor, acked.topic);
  if (acked.pump) Pump();
  return acked.settled;
}

void Subscription::AckConfirmed(ConsumerId consumer, const std::vector<LeaseRange>& ranges,
                                AckDone done) {
  AckOutcome outcome;
  const Acked acked = BeginAck(consumer, ranges, &outcome);
  Confirm(acked, std::move(outcome), std::move(done));
  if (acked.pump) Pump();
}

void Subscription::Confirm(const Acked& acked, AckOutcome outcome, AckDone done) {
  if (acked.offsets.empty()) return done(std::move(outcome));
  TellAcked(
      acked.offsets, acked.old_floor, acked.topic,
      [outcome = std::move(outcome), done = std::move(done)](const absl::Status& status) mutable {
        outcome.status = status;
        done(std::move(outcome));
      });
}

uint64_t Subscription::TakeAcked(ConsumerId consumer, const std::vector<LeaseRange>& ranges,
                                 OffsetRanges* acked, AckOutcome* outcome) {
  uint64_t settled = 0;
  // Not settled at all: it is not known yet what is before them.
  uint64_t unseen = 0;
  for (const LeaseRange& range : ranges) {
    LeaseId next = range.first;
    settled += leases_.Take(consumer, range, [&](const Lease& lease) {
      mu_.AssertHeld();
      if (outcome != nullptr && next < lease.first)
        outcome->refused.push_back({next, lease.first - 1});
      next = lease.first + lease.count;
      if (lease.keyed) return AckKeyed(lease, acked, outcome);
      if (config_.ordered && IsUnseen(lease)) {
        unseen += outcome == nullptr ? lease.count : 0;
        return AckUnseen(lease, outcome);
      }
      Note(lease, DeliveryOutcome::kAcked);
      if (outcome != nullptr) outcome->confirmed.push_back({lease.first, next - 1});
      Append(acked, lease.offsets());
    });
    if (outcome != nullptr && next <= range.last) outcome->refused.push_back({next, range.last});
  }
  for (const OffsetRange& range : *acked) MarkAcked(range);
  settled -= outcome != nullptr ? outcome->too_early.size() : unseen;
  settled_ += settled;
  context_->metrics.engine.acked_messages.Add(settled);
  return settled;
}

// Whether an earlier message of its key is out shows in a moment, when both were read.
void Subscription::AckUnseen(const Lease& lease, AckOutcome* outcome) {
  leases_.Restore(lease);
  if (outcome == nullptr) return;
  for (LeaseId id = lease.first; id < lease.first + lease.count; ++id)
    outcome->too_early.push_back({id, id});
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
    // It waits for an earlier one: after a restart it comes again.
    if (keys_.IsOut(offset)) RecordUnleased(lease.Part(id, id + 1));
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

uint64_t Subscription::Extend(ConsumerId consumer, LeaseRange range, absl::Duration deadline) {
  MutexLock lock(mu_);
  const Moment now = Look();
  const uint64_t extended = leases_.Extend(consumer, range, now.now + deadline);
  if (extended == 0) return 0;
  RecordExtended(range);
  ArmTimer(now);
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
    ForgetFailures(*state);
    const auto index = static_cast<size_t>(state - consumers_.data());
    consumers_.erase(consumers_.begin() + static_cast<ptrdiff_t>(index));
    if (index < turn_) --turn_;
    if (!outlived) leases_.TakeAll(consumer, Releasing(ReleaseCause::kReturned));
    LeasesEnded();
    last_used_ = context_->clock.RoughNow();
    if (cursor_ == nullptr) ephemeral_of = topic_;
  }
  context_->metrics.engine.consumers.Add(-1);
  if (ephemeral_of != nullptr) {
    ephemeral_of->Remove(this);
    return End(
        Error(Reason::kSubscriptionNotFound, "the ephemeral subscription ended with its stream"));
  }
  ConsumersChanged();
}

SubscriptionConfig Subscription::config() const {
  MutexLock lock(mu_);
  return config_;
}

Subscription::Properties Subscription::properties() const {
  MutexLock lock(mu_);
  return {config_.exactly_once, config_.ordered, config_.dead_letter.has_value()};
}

absl::StatusOr<std::shared_ptr<Topic>> Subscription::topic() const {
  MutexLock lock(mu_);
  if (topic_ == nullptr) return ended_;
  return topic_;
}

void Subscription::LoseTopicName() {
  MutexLock lock(mu_);
  config_.topic.reset();
}

void Subscription::SetConfig(SubscriptionConfig config) {
  std::vector<ConsumerState> pullers;
  absl::Status why;
  bool looks_again = false;
  {
    MutexLock lock(mu_);
    looks_again = damage_ && config.skip_damaged != config_.skip_damaged;
    if (looks_again) damage_.reset();
    // Its topic may have been deleted while the change was stored.
    if (!config_.topic) config.topic.reset();
    const bool other_breaker = config_.delivery_breaker != config.delivery_breaker;
    config_ = std::move(config);
    if (breaker_ && other_breaker) MakeBreaker();
    last_used_ = context_->clock.Now();
    if (config_.push) {
      pullers = TakeConsumers([](const ConsumerState& consumer) { return !consumer.pushes; });
      for (const ConsumerState& puller : pullers) {
        if (!puller.leases_outlive_it)
          leases_.TakeAll(puller.id, Releasing(ReleaseCause::kReturned));
      }
      LeasesEnded();
      why = PushError(config_.name);
    }
  }
  if (looks_again) Pump();
  if (pullers.empty()) return;
  TellEnded(pullers, why);
  ConsumersChanged();
}

void Subscription::TellEnded(const std::vector<ConsumerState>& gone,
                             const absl::Status& why) const {
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
  const bool idle =
      std::all_of(consumers_.begin(), consumers_.end(), [](const auto& c) { return c.pushes; });
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
    stats.backlog_messages = topic == nullptr
                                 ? 0
                                 : static_cast<int64_t>(end() - oldest) -
                                       static_cast<int64_t>(acked_.above_floor() + filtered_ahead_);
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
    if (before > next_) {
      next_ = before;
      RestartScan();
    }
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
  first_since_seek_ = saved_to_ = leases_.next();
  restored_.Clear();
  extended_.clear();
  unleased_.clear();
  ended_leases_.Clear();
  LeasesEnded();
  ready_ = ReadySet();
  keys_ = KeyQueues();
  condemned_.clear();
  window_.clear();
  window_bytes_ = 0;
  held_.Clear();
  failed_.clear();
  damage_.reset();
}

void Subscription::End(const absl::Status& why) {
  std::vector<ConsumerState> consumers;
  std::shared_ptr<Topic> topic;
  StoreDone unsought;
  std::vector<SavedLease> leases;
  {
    MutexLock lock(mu_);
    if (ended_.ok()) ended_ = why;
    // What is to be there when the engine is opened again.
    if (ReasonOf(why) == Reason::kDraining && cursor_ != nullptr) leases = TakeLeaseChanges();
    const bool topic_deleted = ReasonOf(why) == Reason::kTopicDeleted;
    consumers = TakeConsumers([&](const ConsumerState& consumer) {
      return !(topic_deleted && consumer.waits_without_topic);
    });
    topic.swap(topic_);
    ForgetAll();
    next_ = end_;
    if (seek_) unsought = std::move(seek_->done);
    seek_.reset();
    seek_waits_ = false;
  }
  if (!leases.empty()) cursor_->Leased(leases);
  TellEnded(consumers, why);
  if (unsought) unsought(why);
}

}  // namespace sluice
