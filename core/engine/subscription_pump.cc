// How messages leave a subscription: choose a consumer with credit, find the next batch at hand, lease a run of it,
// deliver outside the lock; read from the log what is not at hand.
#include <algorithm>
#include <utility>

#include "core/base/error.h"
#include "core/engine/subscription.h"

namespace sluice {
namespace {

// A lone consumer gets this many runs in one call; several take turns run by run.
constexpr size_t kRunsPerTurn = 64;
// What a subscription keeps at hand of what it has not delivered yet.
constexpr size_t kWindowBytes = 256 << 10;
constexpr absl::Duration kReadRetryDelay = absl::Milliseconds(100);

}  // namespace

bool Subscription::OnAppended(const Ref<Batch>& batch) {
  bool wanted = false;
  {
    MutexLock lock(mu_);
    if (!ended_.ok()) return true;
    const bool contiguous = (window_.empty() ? next_ : window_.back()->end()) == batch->first();
    end_ = std::max(end_, batch->end());
    // What the filter leaves out does not wait for a consumer.
    if (contiguous && window_.empty()) SkipFiltered(batch);
    // Without credit nobody waits for it, and it would only take memory.
    wanted = std::any_of(consumers_.begin(), consumers_.end(), [](const auto& c) { return c.has_credit(); });
    if (wanted && contiguous && window_bytes_ < kWindowBytes) {
      window_.push_back(batch);
      window_bytes_ += batch->memory_bytes();
    }
  }
  wanted ? Pump() : TellSkipped();
  MutexLock lock(mu_);
  return next_ >= batch->end();
}

void Subscription::SkipFiltered(const Ref<Batch>& batch) {
  if (filter_.matches_all() || next_ < batch->first()) return;
  const Offset begin = next_;
  while (next_ < batch->end() && !filter_.Matches(batch->message(static_cast<uint32_t>(next_ - batch->first())))) ++next_;
  if (next_ == begin) return;
  if (skipped_.empty()) floor_before_skips_ = acked_.floor();
  context_->metrics.engine.filtered_messages.Add(MarkAcked({begin, next_}));
  if (!skipped_.empty() && skipped_.back().end == begin) {
    skipped_.back().end = next_;
  } else {
    skipped_.push_back({begin, next_});
  }
}

uint64_t Subscription::MatchingRun(const Ref<Batch>& batch, Offset from, int64_t most) const {
  if (filter_.matches_all()) return batch->end() - from;
  const Offset limit = from + std::min<uint64_t>(batch->end() - from, static_cast<uint64_t>(most));
  Offset end = from + 1;
  while (end < limit && filter_.Matches(batch->message(static_cast<uint32_t>(end - batch->first())))) ++end;
  return end - from;
}

// Before Delivered moves past them: after a crash they would count as delivered.
void Subscription::TellSkipped() {
  absl::InlinedVector<OffsetRange, 4> skipped;
  Offset old_floor;
  std::shared_ptr<Topic> topic;
  {
    MutexLock lock(mu_);
    if (skipped_.empty()) return;
    skipped.swap(skipped_);
    old_floor = floor_before_skips_;
    topic = topic_;
  }
  TellAcked(skipped, old_floor, topic);
}

void Subscription::Pump() {
  MutexLock lock(mu_);
  if (pumping_) {
    pump_again_ = true;
    return;
  }
  pumping_ = true;
  do {
    pump_again_ = false;
    while (std::shared_ptr<Consumer> consumer = Collect()) {
      const Offset delivered_end = next_;
      lock.Unlock();
      TellSkipped();
      NoteDelivery(delivered_end);
      consumer->Deliver(outgoing_);
      outgoing_.clear();
      lock.Lock();
    }
    if (!skipped_.empty()) {
      lock.Unlock();
      TellSkipped();
      lock.Lock();
    }
    if (wanted_ && !reading_ && topic_ != nullptr) {
      const Offset from = *std::exchange(wanted_, std::nullopt);
      reading_ = true;
      lock.Unlock();
      StartRead(from);
      lock.Lock();
    }
  } while (pump_again_);
  pumping_ = false;
  ScheduleBurial();
}

// Before the consumer knows of the messages, so that the cursor never sees an ack of what was not delivered.
void Subscription::NoteDelivery(Offset delivered_end) const {
  if (cursor_ == nullptr) return;
  cursor_->Delivered(delivered_end);
  for (const Delivery& delivery : outgoing_) {
    if (delivery.attempt > 1) cursor_->Redelivered(delivery.offsets(), delivery.attempt);
  }
}

Subscription::ConsumerState* Subscription::NextConsumer() {
  for (size_t tried = 0; tried < consumers_.size(); ++tried) {
    if (++turn_ >= consumers_.size()) turn_ = 0;
    if (consumers_[turn_].has_credit()) return &consumers_[turn_];
  }
  return nullptr;
}

// Fills outgoing_ with leased runs for one consumer; null when there is nothing to deliver, or nobody to deliver to.
std::shared_ptr<Consumer> Subscription::Collect() {
  if (topic_ == nullptr || (next_ >= end_ && ready_.empty())) return nullptr;
  ConsumerState* consumer = NextConsumer();
  if (consumer == nullptr) return nullptr;
  const Instant now = context_->clock.Now();
  const size_t runs = consumers_.size() == 1 ? kRunsPerTurn : 1;
  while (outgoing_.size() < runs && consumer->has_credit() &&
         (LeaseReady(consumer, now) || LeaseFresh(consumer, now))) {
  }
  if (outgoing_.empty()) return nullptr;
  ArmTimer();
  return consumer->consumer;
}

bool Subscription::LeaseReady(ConsumerState* consumer, Instant now) {
  const auto front = ready_.Front();
  if (!front) return false;
  const Ref<Batch> batch = ReadyBatch(front->offsets.begin);
  if (!batch) return false;
  const uint32_t count =
      LeaseRun(consumer, batch, front->offsets.begin, front->offsets.size(), front->attempts + 1, now);
  ready_.PopFront(count);
  redelivered_ += count;
  context_->metrics.engine.redelivered_messages.Add(count);
  return true;
}

bool Subscription::LeaseFresh(ConsumerState* consumer, Instant now) {
  // What comes again goes first, also when it must be read first: later messages do not overtake it.
  if (next_ >= end_ || ready_.Front()) return false;
  Ref<Batch> batch;
  do {
    batch = FreshBatch();
    if (!batch) return false;
    SkipFiltered(batch);
  } while (next_ >= batch->end());
  const uint32_t count = LeaseRun(consumer, batch, next_, MatchingRun(batch, next_, consumer->message_credit), 1, now);
  next_ += count;
  if (next_ >= batch->end()) {
    window_bytes_ -= batch->memory_bytes();
    window_.pop_front();
  }
  const absl::Duration age = context_->clock.WallNow() - batch->publish_time();
  context_->metrics.engine.delivery_seconds.Observe(std::max(age, absl::ZeroDuration()), count);
  return true;
}

// Leases as much of the batch from `from` on as the consumer has credit for, `most` at the most and one at least.
uint32_t Subscription::LeaseRun(ConsumerState* consumer, const Ref<Batch>& batch, Offset from, uint64_t most,
                                uint32_t attempt, Instant now) {
  const auto begin = static_cast<uint32_t>(from - batch->first());
  auto count = static_cast<uint32_t>(
      std::min({most, static_cast<uint64_t>(batch->count() - begin), static_cast<uint64_t>(consumer->message_credit)}));
  if (consumer->counts_bytes) {
    const auto fits = [&](uint32_t n) {
      return static_cast<int64_t>(batch->body_bytes(begin, begin + n)) <= consumer->byte_credit;
    };
    while (count > 1 && !fits(count)) --count;
    consumer->byte_credit -= static_cast<int64_t>(batch->body_bytes(begin, begin + count));
  }
  consumer->message_credit -= count;
  const LeaseId first = leases_.Add({.first = {},
                                     .offset = from,
                                     .count = count,
                                     .consumer = consumer->id,
                                     .deadline = now + config_.ack_deadline,
                                     .attempt = attempt});
  outgoing_.push_back({batch, begin, begin + count, first, attempt});
  delivered_ += count;
  context_->metrics.engine.delivered_messages.Add(count);
  context_->metrics.engine.delivered_bytes.Add(batch->body_bytes(begin, begin + count));
  return count;
}

// The batch that holds next_, when it is at hand; else it is asked for.
Ref<Batch> Subscription::FreshBatch() {
  while (!window_.empty() && window_.front()->end() <= next_) {
    window_bytes_ -= window_.front()->memory_bytes();
    window_.pop_front();
  }
  if (window_.empty()) {
    for (Ref<Batch>& batch : context_->tail.Find(topic_->id(), next_, kWindowBytes)) {
      window_bytes_ += batch->memory_bytes();
      window_.push_back(std::move(batch));
    }
  }
  if (window_.empty()) {
    wanted_ = next_;
    return nullptr;
  }
  next_ = std::max(next_, window_.front()->first());
  return window_.front();
}

Ref<Batch> Subscription::ReadyBatch(Offset offset) {
  const auto holds = [offset](const Ref<Batch>& batch) {
    return batch && batch->first() <= offset && offset < batch->end();
  };
  if (holds(held_)) return held_;
  if (!window_.empty() && holds(window_.front())) return window_.front();
  if (auto cached = context_->tail.Find(topic_->id(), offset, 0); !cached.empty()) {
    held_ = cached.front();
    return held_;
  }
  wanted_ = offset;
  return nullptr;
}

void Subscription::StartRead(Offset from) {
  std::shared_ptr<Topic> topic;
  {
    MutexLock lock(mu_);
    topic = topic_;
    if (topic == nullptr) reading_ = false;
  }
  if (topic == nullptr || !context_->gate.Enter()) return;
  topic->log().Read(from, kWindowBytes,
                    [self = shared_from_this(), from](absl::StatusOr<std::vector<Ref<Batch>>> read) {
                      self->OnRead(from, std::move(read));
                      self->context_->gate.Leave();
                    });
}

void Subscription::OnRead(Offset from, absl::StatusOr<std::vector<Ref<Batch>>> read) {
  // The topic is fenced: better an end with a reason than a stream that stands still.
  if (absl::IsDataLoss(read.status())) return End(read.status());
  {
    MutexLock lock(mu_);
    reading_ = false;
    if (!read.ok()) {
      // Too many reads at once, say.
      wanted_.reset();
      context_->timers.At(context_->clock.Now() + kReadRetryDelay, [weak = weak_from_this()] {
        if (auto self = weak.lock()) self->Pump();
      });
      return;
    }
    const Offset found = read->empty() ? end_ : read->front()->first();
    if (from < next_) {
      // For a redelivery. What is no longer in the log cannot be delivered again.
      if (found > from) {
        ready_.DropBefore(std::min(found, next_));
        MarkAcked({from, std::min(found, next_)});
      }
      if (!read->empty()) held_ = read->front();
    } else if (from == next_ && window_.empty()) {
      next_ = std::max(next_, found);
      for (Ref<Batch>& batch : *read) {
        window_bytes_ += batch->memory_bytes();
        window_.push_back(std::move(batch));
      }
    }
  }
  Pump();
}

void Subscription::ArmTimer() {
  const Instant due = std::min(leases_.next_deadline(), ready_.next_due());
  if (due >= armed_) return;
  armed_ = due;
  context_->timers.At(due, [weak = weak_from_this()] {
    if (auto self = weak.lock()) self->OnTimer();
  });
}

void Subscription::OnTimer() {
  {
    MutexLock lock(mu_);
    armed_ = Instant::Never();
    const Instant now = context_->clock.Now();
    const uint64_t expired = leases_.TakeExpired(now, Releasing(ReleaseCause::kDeadlinePassed));
    expired_ += expired;
    context_->metrics.engine.expired_leases.Add(expired);
    ready_.Promote(now);
    ArmTimer();
  }
  Pump();
}

}  // namespace sluice
