#include "core/engine/topic.h"

#include <algorithm>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "core/engine/subscription.h"
#include "fmt/format.h"

namespace sluice {

namespace {

int64_t MaxDelayUs(const TopicConfig& config) {
  return absl::ToInt64Microseconds(config.max_delay > absl::ZeroDuration() ? config.max_delay
                                                                           : config.retention);
}

}  // namespace

Topic::Topic(std::shared_ptr<EngineContext> context, TopicId id, TopicConfig config)
    : context_(std::move(context)),
      id_(id),
      log_(context_->backend->OpenLog(id)),
      durable_end_(log_->extent().next),
      deleted_(config.deleted),
      retention_bytes_(config.retention_bytes),
      message_ttl_us_(absl::ToInt64Microseconds(config.message_ttl)),
      max_delay_us_(MaxDelayUs(config)),
      keeps_acked_(config.acked_retention > absl::ZeroDuration()),
      config_(std::move(config)),
      trimmed_(log_->extent().first),
      unclaimed_from_(trimmed_),
      lowest_floor_(trimmed_) {}

void Topic::Publish(Ref<Batch> batch, PublishDone done) {
  batch->producer() != nullptr ? StoreOnce(std::move(batch), std::move(done))
                               : Store(std::move(batch), std::move(done));
}

void Topic::Store(Ref<Batch> batch, PublishDone done) {
  const auto call = BeginPublish(batch);
  if (!call.ok()) return done(call.status());
  StoreDone end = PublishEnd(batch, *call, std::move(done));
  log_->Append(std::move(batch), std::move(end));
}

void Topic::StoreOnce(Ref<Batch> batch, PublishDone done) {
  const ProducerTag tag = *batch->producer();
  if (!producers_.Begin(tag, &done)) return;
  const auto end = [self = shared_from_this(), tag,
                    done = std::move(done)](const absl::StatusOr<Published>& published) {
    // The log knows of it by now: who comes from here on finds it there.
    const std::vector<PublishDone> others = self->producers_.End(tag);
    done(published);
    for (const PublishDone& other : others) other(published);
  };
  auto before = log_->FindProduced(tag);
  if (!before.ok()) return end(before.status());
  if (*before) {
    context_->metrics.engine.repeated_batches.Add();
    return end(Published{(*before)->begin, static_cast<uint32_t>((*before)->size())});
  }
  Store(std::move(batch), end);
}

void Topic::Bury(Ref<Batch> batch, std::shared_ptr<Cursor> source, std::vector<OffsetRange> offsets,
                 PublishDone done) {
  const auto call = BeginPublish(batch);
  if (!call.ok()) return done(call.status());
  StoreDone end = PublishEnd(batch, *call, std::move(done));
  log_->AppendAndAck(std::move(batch), std::move(source), std::move(offsets), std::move(end));
}

absl::StatusOr<CircuitBreaker::Call> Topic::BeginPublish(const Ref<Batch>& batch) {
  if (!context_->gate.Enter()) return DrainingError();
  if (deleted()) {
    context_->gate.Leave();
    const std::string name = config().name.full();
    return Error(Reason::kTopicNotFound, fmt::format("topic: {} does not exist", name),
                 {{"field", "topic"}, {"value", name}});
  }
  const Clock::Times times = context_->clock.Both();
  batch->set_publish_time_us(times.wall_us);
  if (absl::Status status = CheckDelay(*batch); !status.ok()) {
    context_->gate.Leave();
    return status;
  }
  auto call = context_->store_breaker.Admit(times.now);
  if (!call.ok()) context_->gate.Leave();
  return call;
}

absl::Status Topic::CheckDelay(const Batch& batch) const {
  if (batch.latest_delivery_us() == kDeliverAtOnce) return absl::OkStatus();
  const int64_t most_us = max_delay_us_.load(std::memory_order_relaxed);
  const int64_t latest_us = batch.publish_time_us() + most_us;
  if (batch.latest_delivery_us() <= latest_us) return absl::OkStatus();
  const std::string field = fmt::format("messages[{}].deliver_at", batch.latest_delivery_index());
  const auto format = [](int64_t us) {
    return absl::FormatTime(absl::FromUnixMicros(us), absl::UTCTimeZone());
  };
  return Error(Reason::kInvalidTime,
               fmt::format("{}: {}, but this topic allows at most {} ahead", field,
                           format(batch.latest_delivery_us()),
                           absl::FormatDuration(absl::Microseconds(most_us))),
               {{"field", field},
                {"value", format(batch.latest_delivery_us())},
                {"limit", format(latest_us)}});
}

StoreDone Topic::PublishEnd(const Ref<Batch>& batch, const CircuitBreaker::Call& call,
                            PublishDone done) {
  // Not [batch]: it would be const in there, and copied where it could be moved.
  return [self = shared_from_this(), batch = batch, call = call,
          done = std::move(done)](const absl::Status& status) {
    EngineContext& context = *self->context_;
    const Clock::Times times = context.clock.Both();
    context.store_breaker.Record(call, status, times.now);
    if (status.ok()) {
      context.metrics.engine.publish_seconds.Observe(times.now - call.start);
      self->OnAppended(batch, times, done);
    } else {
      done(status);
    }
    context.gate.Leave();
  };
}

void Topic::OnAppended(const Ref<Batch>& batch, const Clock::Times& now, const PublishDone& done) {
  EngineMetrics& metrics = context_->metrics.engine;
  metrics.published_messages.Add(batch->count());
  metrics.published_bytes.Add(batch->record().size());
  metrics.published_batches.Add();
  metrics.batch_messages.Observe(batch->count());
  std::shared_ptr<const SubscriptionList> active;
  bool behind = false;
  bool discarded = false;
  {
    MutexLock lock(mu_);
    published_messages_ += batch->count();
    published_bytes_ += batch->record().size();
    times_.Add(batch->first(), batch->publish_time_us());
    active = members_.active();
    behind = members_.any_idle();
    discarded = members_.size() == 0 && config_.discard_unsubscribed;
    durable_end_.store(batch->end(), std::memory_order_release);
  }
  absl::InlinedVector<Subscription*, 8> wanting;
  for (const auto& subscription : *active) {
    const auto taken = subscription->OnAppended(batch);
    if (taken == Subscription::Appended::kWanted) wanting.push_back(subscription.get());
    behind |= taken == Subscription::Appended::kBehind;
  }
  // The publisher is answered before any subscriber gets the batch, and after every subscription
  // has taken it in. It may publish again from the callback.
  done(Published{batch->first(), batch->count(), now.wall_us});
  for (Subscription* subscription : wanting) behind |= !subscription->DeliverAppended(now);
  if (discarded) FreeAcked();
  if (behind) context_->tail.Insert(id_, batch);
  if (TopicExpiry::Concerns(*batch, message_ttl_us())) expiry().OnAppended(*batch);
  const int64_t limit = retention_bytes_.load(std::memory_order_relaxed);
  if (limit > 0) EnforceRetentionBytes(limit);
}

TopicExpiry& Topic::expiry() {
  return expiry_.GetOr([this] { return std::make_unique<TopicExpiry>(*context_, *this); });
}

void Topic::ScanForExpiry() {
  const LogExtent extent = log_->extent();
  if (extent.first < extent.next) expiry().ScanLog(extent);
}

// What had expired before a subscription came, or sought back, may concern it.
void Topic::RevisitExpired(Offset from) const {
  if (TopicExpiry* expiry = expiry_.get()) expiry->Revisit(from);
}

TopicConfig Topic::config() const {
  MutexLock lock(mu_);
  return config_;
}

TopicStats Topic::stats() const {
  TopicStats stats;
  stats.extent = log_->extent();
  std::shared_ptr<const SubscriptionList> subscriptions;
  Offset unclaimed = stats.extent.next;
  {
    MutexLock lock(mu_);
    stats.published_messages = published_messages_;
    stats.published_bytes = published_bytes_;
    stats.subscriptions = static_cast<int32_t>(members_.size() - members_.snapshots());
    if (members_.durable() == 0 && !config_.discard_unsubscribed) unclaimed = unclaimed_from_;
    subscriptions = members_.all();
  }
  stats.retained = Retained(stats.extent, *subscriptions, unclaimed);
  return stats;
}

// What is stored, cut at the floors: the part of a later reason ends where that of an earlier one
// begins.
RetainedMessages Topic::Retained(const LogExtent& extent, const SubscriptionList& subscriptions,
                                 Offset unclaimed) {
  Offset backlog = extent.next;
  Offset snapshot = extent.next;
  for (const auto& subscription : subscriptions) {
    Offset& lowest = subscription->is_snapshot() ? snapshot : backlog;
    lowest = std::min(lowest, subscription->floor());
  }
  Offset end = extent.next;
  const auto take = [&](Offset from) {
    const Offset begin = std::clamp(from, std::min(extent.first, end), end);
    return std::exchange(end, begin) - begin;
  };
  RetainedMessages retained;
  retained.backlog = take(backlog);
  retained.snapshot = take(snapshot);
  retained.no_subscription = take(unclaimed);
  retained.acked = take(extent.first);
  return retained;
}

std::optional<int64_t> Topic::PublishTimeOf(Offset offset) const {
  MutexLock lock(mu_);
  return times_.TimeOf(offset);
}

void Topic::SeedTimes() {
  const LogExtent extent = log_->extent();
  if (extent.first >= extent.next) return;
  log_->Read(extent.first, 0,
             [self = shared_from_this()](absl::StatusOr<std::vector<Ref<Batch>>> read) {
               if (!read.ok() || read->empty()) return;
               MutexLock lock(self->mu_);
               self->times_.Seed(read->front()->first(), read->front()->publish_time_us());
             });
}

void Topic::SetConfig(TopicConfig config) {
  retention_bytes_.store(config.retention_bytes, std::memory_order_relaxed);
  message_ttl_us_.store(absl::ToInt64Microseconds(config.message_ttl), std::memory_order_relaxed);
  max_delay_us_.store(MaxDelayUs(config), std::memory_order_relaxed);
  {
    MutexLock lock(mu_);
    config_ = std::move(config);
  }
  if (message_ttl_us() > 0) expiry().TtlChanged();
  AckedRetentionChanged();
  FreeAcked();
}

Offset Topic::BacklogFrom() const {
  MutexLock lock(mu_);
  return members_.LowestFloor(durable_end());
}

void Topic::Add(const std::shared_ptr<Subscription>& subscription) {
  {
    MutexLock lock(mu_);
    members_.Add(subscription);
    lowest_floor_.store(members_.LowestFloor(durable_end()), std::memory_order_release);
  }
  RevisitExpired(subscription->floor());
  AckedRetentionChanged();
}

void Topic::Refresh(const Subscription* subscription) {
  {
    MutexLock lock(mu_);
    members_.Refresh(subscription);
  }
  AckedRetentionChanged();
}

absl::Duration Topic::AckedRetention() const {
  return std::max(config_.acked_retention, members_.longest_acked_retention());
}

void Topic::AckedRetentionChanged() {
  {
    MutexLock lock(mu_);
    const bool keeps = AckedRetention() > absl::ZeroDuration();
    if (keeps_acked_.exchange(keeps, std::memory_order_acq_rel) == keeps) return;
  }
  // What was kept for its time only goes now.
  FreeAcked();
}

void Topic::Remove(const Subscription* subscription) {
  {
    MutexLock lock(mu_);
    if (!members_.Remove(subscription)) return;
    if (!subscription->ephemeral() && members_.durable() == 0) unclaimed_from_ = durable_end();
  }
  AckedRetentionChanged();
  FreeAcked();
}

std::shared_ptr<const Topic::SubscriptionList> Topic::subscriptions() const {
  MutexLock lock(mu_);
  return members_.all();
}

void Topic::FloorMoved(Offset old_floor) {
  // Where another subscription holds the log back, there is nothing to do.
  if (old_floor <= lowest_floor_.load(std::memory_order_acquire)) FreeAcked();
}

void Topic::FreeAcked() {
  // What is acknowledged goes when its time is over (TrimAcked).
  if (keeps_acked_.load(std::memory_order_acquire)) return;
  Offset floor;
  {
    MutexLock lock(mu_);
    floor = NeededFrom();
    if (!NoteTrimmed(floor)) return;
  }
  DropTrimmed(floor);
}

Offset Topic::NeededFrom() {
  const Offset end = durable_end();
  Offset floor = members_.LowestFloor(end);
  lowest_floor_.store(floor, std::memory_order_release);
  if (!seeks_.empty()) floor = std::min(floor, *seeks_.begin());
  if (members_.durable() == 0 && !config_.discard_unsubscribed)
    floor = std::min(floor, unclaimed_from_);
  return std::min(floor, end);
}

void Topic::BeginSeek(Offset floor) {
  MutexLock lock(mu_);
  seeks_.insert(floor);
}

void Topic::EndSeek(const Subscription* subscription, Offset floor) {
  {
    MutexLock lock(mu_);
    seeks_.erase(seeks_.find(floor));
    members_.Lower(subscription, subscription->floor());
  }
  RevisitExpired(subscription->floor());
  FreeAcked();
}

void Topic::TrimAcked() {
  absl::Time before;
  {
    MutexLock lock(mu_);
    before = context_->clock.WallNow() - AckedRetention();
    if (NeededFrom() <= log_->extent().first) return;
  }
  Gate::Pass pass(context_->gate);
  if (!pass) return;
  log_->OffsetAt(before, [self = shared_from_this()](absl::StatusOr<Offset> old) {
    if (!old.ok()) return;
    Offset floor;
    {
      // A subscription may have gone back meanwhile.
      MutexLock lock(self->mu_);
      floor = std::min(*old, self->NeededFrom());
      if (!self->NoteTrimmed(floor)) return;
    }
    self->DropTrimmed(floor);
  });
}

void Topic::TrimTo(Offset floor) {
  {
    MutexLock lock(mu_);
    if (!NoteTrimmed(floor)) return;
  }
  DropTrimmed(floor);
}

bool Topic::NoteTrimmed(Offset floor) {
  if (floor <= trimmed_) return false;
  trimmed_ = floor;
  times_.DropBefore(floor);
  return true;
}

void Topic::DropTrimmed(Offset floor) {
  context_->tail.DropBefore(id_, floor);
  if (TopicExpiry* expiry = expiry_.get()) expiry->DropBefore(floor);
  log_->Trim(floor);
}

void Topic::DropBefore(Offset before, Counter& dropped) {
  for (const auto list = subscriptions(); const auto& subscription : *list)
    dropped.Add(subscription->DropBefore(before));
  TrimTo(before);
  // DropBefore raised floors without FloorMoved: look at them again, or later acknowledgements free
  // nothing.
  FreeAcked();
}

void Topic::FindOlder(absl::Duration age, Offset from, std::function<void(Offset)> found) {
  if (from >= durable_end()) return;
  const absl::Time oldest = context_->clock.WallNow() - age;
  const auto first_time = PublishTimeOf(from);
  if (first_time && absl::FromUnixMicros(*first_time) >= oldest) return;
  Gate::Pass pass(context_->gate);
  if (!pass) return;
  log_->OffsetAt(oldest, [found = std::move(found)](absl::StatusOr<Offset> before) {
    if (before.ok()) found(*before);
  });
}

void Topic::EnforceRetention() {
  const TopicConfig config = this->config();
  if (config.retention_bytes > 0) EnforceRetentionBytes(config.retention_bytes);
  EnforceSubscriptionRetention(config.retention);
  if (keeps_acked_.load(std::memory_order_acquire)) TrimAcked();
  FindOlder(config.retention, log_->extent().first, [self = shared_from_this()](Offset before) {
    self->DropBefore(before, self->context_->metrics.engine.dropped_by_retention_time);
  });
}

void Topic::EnforceSubscriptionRetention(absl::Duration longest) {
  for (const auto list = subscriptions(); const auto& subscription : *list) {
    const absl::Duration retention = subscription->config().retention;
    if (retention <= absl::ZeroDuration() || retention >= longest) continue;
    FindOlder(retention, subscription->floor(),
              [self = shared_from_this(), subscription](Offset before) {
                const Offset old_floor = subscription->floor();
                self->context_->metrics.engine.dropped_by_retention_time.Add(
                    subscription->DropBefore(before));
                self->FloorMoved(old_floor);
              });
  }
}

void Topic::EnforceRetentionBytes(int64_t limit) {
  const LogExtent extent = log_->extent();
  const auto bytes = static_cast<double>(extent.bytes);
  if (bytes <= static_cast<double>(limit) || extent.first >= extent.next) return;
  // The share of the offsets that is too much, by the mean size; the next call corrects what this
  // one missed.
  const double share = (bytes - static_cast<double>(limit)) / bytes;
  const auto messages =
      static_cast<uint64_t>(share * static_cast<double>(extent.next - extent.first)) + 1;
  DropBefore(std::min(extent.first + messages, extent.next),
             context_->metrics.engine.dropped_by_retention_bytes);
}

}  // namespace sluice
