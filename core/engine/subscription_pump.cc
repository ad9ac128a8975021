// How messages leave a subscription: choose a consumer with credit, find the next batch at hand,
// lease a run of it, deliver outside the lock; read from the log what is not at hand.
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
// How far what failed before may get ahead of what is new, in messages: what is new catches up with
// that before any of it goes.
constexpr uint64_t kMostAhead = 100;
constexpr absl::Duration kReadRetryDelay = absl::Milliseconds(100);
// How long what one consumer failed waits for another that had credit and has just used it up.
constexpr absl::Duration kWaitForOthers = absl::Seconds(1);

}  // namespace

Subscription::Appended Subscription::OnAppended(const Ref<Batch>& batch) {
  // A snapshot stands still.
  if (snapshot_) return Appended::kNothingLeft;
  MutexLock lock(mu_);
  if (!ended_.ok()) return Appended::kNothingLeft;
  if (TakeIn(batch)) return Appended::kWanted;
  const bool nothing_left = NothingLeft();
  Scan(*batch);
  ScheduleScan();
  lock.Unlock();
  TellSkipped();
  return nothing_left ? Appended::kNothingLeft : Appended::kBehind;
}

bool Subscription::TakeIn(const Ref<Batch>& batch) {
  const bool contiguous = (window_.empty() ? next_ : window_.back()->end()) == batch->first();
  end_ = std::max(end_, batch->end());
  // What the filter leaves out does not wait for a consumer.
  if (contiguous && window_.empty()) SkipFiltered(*batch);
  // Without credit nobody waits for it, and it would only take memory.
  const bool wanted = std::any_of(consumers_.begin(), consumers_.end(),
                                  [](const auto& c) { return c.has_credit(); });
  if (wanted && contiguous && window_bytes_ < kWindowBytes) {
    window_.push_back(batch);
    window_bytes_ += batch->memory_bytes();
  }
  return wanted;
}

void Subscription::TellFailed() {
  std::vector<FailedRange> failed;
  {
    MutexLock lock(mu_);
    if (failed_.empty()) return;
    failed.swap(failed_);
    ++telling_;
  }
  for (const FailedRange& range : failed) cursor_->Failed(range.offsets, range.failures);
  Told();
}

void Subscription::TellSkipped() {
  std::vector<OffsetRange> skipped;
  Offset old_floor;
  std::shared_ptr<Topic> topic;
  {
    MutexLock lock(mu_);
    if (skipped_.empty()) return;
    skipped.swap(skipped_);
    old_floor = floor_before_skips_;
    topic = topic_;
    ++telling_;
  }
  TellAcked(skipped, old_floor, topic);
}

bool Subscription::Pump(const Moment* known) {
  MutexLock lock(mu_);
  if (pumping_) {
    pump_again_ = true;
    return false;
  }
  pumping_ = true;
  do {
    pump_again_ = false;
    for (;;) {
      if (seek_ && telling_ == 0) {
        PendingSeek sought = ApplySeek();
        lock.Unlock();
        TellSought(std::move(sought));
        lock.Lock();
      }
      // What was known is old once something was delivered.
      const std::shared_ptr<Consumer> consumer =
          SeeRestored() ? Collect(std::exchange(known, nullptr)) : nullptr;
      if (consumer == nullptr) break;
      const bool tell = something_to_tell();
      lock.Unlock();
      if (tell) TellFailuresAndSkips();
      consumer->Deliver(outgoing_);
      outgoing_.clear();
      if (tell) TellLeases();
      lock.Lock();
    }
    ScanWindow();
    if (something_to_tell()) {
      lock.Unlock();
      TellFailuresAndSkips();
      TellLeases();
      lock.Lock();
    }
    if (wanted_ && !reading_ && topic_ != nullptr) {
      const Offset from = *std::exchange(wanted_, std::nullopt);
      reading_ = true;
      lock.Unlock();
      StartRead(from);
      lock.Lock();
    }
    if (const auto starved = TakeStarved(); !starved.empty()) {
      const absl::Status why = damage_->error;
      lock.Unlock();
      EndStarved(starved, why);
      lock.Lock();
    }
  } while (pump_again_);
  pumping_ = false;
  ScheduleScan();
  ScheduleBurial();
  const bool nothing_left = NothingLeft();
  const auto change = breaker_ ? breaker_->TakeChange() : std::nullopt;
  if (!change || !context_->on_breaker) return nothing_left;
  const std::string name = config_.name.full();
  lock.Unlock();
  context_->on_breaker({BreakerKind::kDelivery, name, *change});
  return nothing_left;
}

bool Subscription::KeptForOthers(ConsumerId failed_by, ConsumerId consumer, Instant now) {
  if (failed_by != consumer || consumers_.size() == 1) return false;
  Instant until;
  for (const ConsumerState& other : consumers_) {
    if (other.id == consumer) continue;
    if (other.has_credit()) return kept_for_others_ = true;
    if (other.had_credit != Instant()) until = std::max(until, other.had_credit + kWaitForOthers);
  }
  // By priority what is new would wait too.
  if (until <= now || by_priority()) return false;
  others_until_ = until;
  return kept_for_others_ = true;
}

bool Subscription::AtRest() const {
  MutexLock lock(mu_);
  return !pumping_ && !reading_ && !wanted_;
}

// Fills outgoing_ with leased runs for one consumer; null when there is nothing to deliver, or
// nobody to deliver to.
std::shared_ptr<Consumer> Subscription::Collect(const Moment* known) {
  if (topic_ == nullptr || (next_ >= end_ && ready_.empty() && !keys_.has_ready())) return nullptr;
  const size_t runs = consumers_.size() == 1 ? kRunsPerTurn : 1;
  size_t left = consumers_.size();
  for (size_t at = turn_; left > 0; --left, ++at) {
    if (at >= consumers_.size()) at = 0;
    ConsumerState& consumer = consumers_[at];
    if (!consumer.has_credit()) continue;
    const Moment now = known != nullptr ? *known : Look();
    kept_for_others_ = false;
    while (outgoing_.size() < runs && consumer.has_credit() && breaker_->Allowance(now.now) > 0 &&
           LeaseRoom(1) > 0 && LeaseSomething(&consumer, now)) {
      // What went without a delivery, since it expired, say, changes what the others may have: all
      // are asked once more.
      left = consumers_.size() + 1;
    }
    LeasesEnded();
    ArmTimer(now);
    if (!outgoing_.empty()) {
      turn_ = at + 1;
      return consumer.consumer;
    }
    // What one consumer cannot have, since others hold its keys, or since it has just failed it,
    // another may.
    if (!config_.ordered && !kept_for_others_) break;
  }
  return nullptr;
}

bool Subscription::LeaseSomething(ConsumerState* consumer, const Moment& now) {
  if (by_priority()) LookAhead(now);
  if (new_goes_first() && LeaseFresh(consumer, now)) return true;
  // What is new may have turned out to be the next of its key.
  return LeaseReady(consumer, now) || LeaseNextOfKey(consumer, now) || LeaseFresh(consumer, now) ||
         LeaseNextOfKey(consumer, now);
}

// What is new is never ahead: it does not wait for what fails.
void Subscription::CountShare(bool again, uint32_t count) {
  if (again) {
    again_ahead_ = std::min(again_ahead_ + count, kMostAhead);
  } else {
    again_ahead_ -= std::min<uint64_t>(again_ahead_, count);
  }
}

bool Subscription::LeaseReady(ConsumerState* consumer, const Moment& now) {
  const auto front = ready_.Front();
  if (!front) return false;
  if (PutReadyAside(*front, now.now)) return true;
  if (KeptForOthers(front->failed_by, consumer->id, now.now)) return false;
  const Offset begin = front->offsets.begin;
  // Acknowledged late, while it waited here.
  if (acked_.Contains(begin)) {
    ready_.PopFront(1);
    return true;
  }
  const Ref<Batch> batch = ReadyBatch(begin);
  if (!batch) return false;
  if (Expired(*batch, begin, now)) {
    ready_.PopFront(1);
    Expire({begin, begin + 1}, front->attempts);
    return true;
  }
  Offset end = std::min(acked_.UnackedEnd(begin, front->offsets.end), batch->end());
  // Probes are taken from what is new too.
  if (breaker_->state() != BreakerState::kClosed) end = std::min(end, begin + 1);
  uint64_t most = 1;
  while (begin + most < end && !Expired(*batch, begin + most, now)) ++most;
  const Arrival kind = {.attempts = front->attempts,
                        .priority = front->priority,
                        .again = front->failed_by != kAnyone};
  ready_.PopFront(LeaseRun(consumer, batch, begin, most, kind, now.now));
  return true;
}

bool Subscription::LeaseNextOfKey(ConsumerState* consumer, const Moment& now) {
  if (!keys_.has_ready()) return false;
  const auto next = keys_.Next(consumer->id);
  if (!next || (next->free && KeptForOthers(next->failed_by, consumer->id, now.now))) return false;
  if (PutNextOfKeyAside(consumer->id, next->offset, now)) return true;
  const Ref<Batch> batch = ReadyBatch(next->offset);
  if (!batch) return false;
  if (Expired(*batch, next->offset, now)) {
    buries_expired() ? keys_.CondemnNext(consumer->id) : keys_.DropNext(consumer->id);
    Expire({next->offset, next->offset + 1}, next->attempts);
    return true;
  }
  const MessageView message(batch->message(static_cast<uint32_t>(next->offset - batch->first())));
  if (next->attempts == 0 && message.deliver_at_us() > now.wall_us) {
    keys_.DelayNext(consumer->id, message.deliver_at_us());
    return true;
  }
  // It has not failed since the restart, else it would be condemned already.
  if (AttemptsUsedUp(next->attempts) && FailuresBefore(next->offset) == next->attempts) {
    Condemn({next->offset, next->offset + 1}, next->attempts, ReleaseCause::kDeadlinePassed);
    keys_.CondemnNext(consumer->id);
    return true;
  }
  const Arrival kind = {.attempts = next->attempts,
                        .key = message.ordering_key(),
                        .again = next->failed_by != kAnyone};
  const LeaseId lease = leases_.next();
  LeaseRun(consumer, batch, next->offset, 1, kind, now.now);
  keys_.TakeNext(consumer->id, lease);
  return true;
}

bool Subscription::LeaseFresh(ConsumerState* consumer, const Moment& now) {
  if (by_priority()) return false;
  // In its turn what comes again goes first, also when it must be read first.
  if (ready_.Front() && !kept_for_others_ && !new_goes_first()) return false;
  const Ref<Batch>* fresh = nullptr;
  do {
    if (next_ >= end_) return false;
    fresh = FreshBatch();
    if (fresh == nullptr) return false;
    if (!PassOver(*fresh, consumer->id, now) && next_ < (*fresh)->end()) return false;
  } while (next_ >= (*fresh)->end());
  const Ref<Batch>& batch = *fresh;
  Arrival first;
  const uint64_t most = FreshRun(*batch, consumer->id, consumer->message_credit, now, &first);
  const LeaseId lease = leases_.next();
  const Offset from = next_;
  const uint32_t count = LeaseRun(consumer, batch, from, most, first, now.now);
  next_ += count;
  if (!first.key.empty()) {
    for (uint32_t i = 0; i < count; ++i) {
      keys_.Out(fresh_keys_[i], consumer->id, from + i, lease + i, first.attempts + 1);
    }
  }
  const int64_t age_us = std::max<int64_t>(now.wall_us - batch->publish_time_us(), 0);
  context_->metrics.engine.delivery_seconds.Observe(absl::Microseconds(age_us), count);
  if (next_ >= batch->end()) {
    window_bytes_ -= batch->memory_bytes();
    window_.pop_front();
  }
  return true;
}

// Leases as much of the batch from `from` on as the consumer has credit for and the limits have
// room for, `most` at the most and one at least.
uint32_t Subscription::LeaseRun(ConsumerState* consumer, const Ref<Batch>& batch, Offset from,
                                uint64_t most, const Arrival& kind, Instant now) {
  const auto begin = static_cast<uint32_t>(from - batch->first());
  auto count = static_cast<uint32_t>(
      std::min({most, static_cast<uint64_t>(batch->count() - begin),
                static_cast<uint64_t>(consumer->message_room()), breaker_->Allowance(now)}));
  count = static_cast<uint32_t>(LeaseRoom(count));
  while (count > 1 &&
         static_cast<int64_t>(batch->body_bytes(begin, begin + count)) > consumer->byte_room())
    --count;
  const auto bytes = static_cast<uint32_t>(batch->body_bytes(begin, begin + count));
  consumer->Use(count, bytes);
  consumer->had_credit = now;
  const uint32_t attempt = kind.attempts + 1;
  const LeaseId first = leases_.Add({.first = {},
                                     .offset = from,
                                     .count = count,
                                     .bytes = bytes,
                                     .consumer = consumer->id,
                                     .deadline = now + AckDeadlineOf(*consumer),
                                     .attempt = attempt,
                                     .keyed = !kind.key.empty(),
                                     .priority = kind.priority,
                                     .again = kind.again,
                                     .survives = consumer->leases_survive(),
                                     .expires_us = ExpiryOf(*batch, begin, begin + count)});
  if (consumer->leases_survive()) ScheduleSave();
  breaker_->OnLeased(first, count, now);
  CountShare(kind.again, count);
  // Neighbours leased one by one are one delivery.
  if (!outgoing_.empty() && outgoing_.back().batch.get() == batch.get() &&
      outgoing_.back().end == begin && outgoing_.back().attempt == attempt &&
      outgoing_.back().first_lease + outgoing_.back().count() == first) {
    outgoing_.back().end = begin + count;
  } else {
    outgoing_.push_back({batch, begin, begin + count, first, attempt});
  }
  if (attempt > 1) {
    redelivered_ += count;
    context_->metrics.engine.redelivered_messages.Add(count);
  }
  delivered_ += count;
  context_->metrics.engine.delivered_messages.Add(count);
  context_->metrics.engine.delivered_bytes.Add(bytes);
  return count;
}

// The batch that holds next_, when it is at hand: the front of the window; else it is asked for.
const Ref<Batch>* Subscription::FreshBatch() {
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
    if (!wanted_ && !Damaged(next_, context_->clock.RoughNow())) wanted_ = next_;
    return nullptr;
  }
  SkipTo(window_.front()->first());
  return &window_.front();
}

Ref<Batch> Subscription::ReadyBatch(Offset offset) {
  if (!window_.empty() && window_.front()->first() <= offset && offset < window_.front()->end())
    return window_.front();
  if (Ref<Batch> held = held_.Find(offset)) return held;
  if (auto cached = context_->tail.Find(topic_->id(), offset, 0); !cached.empty()) {
    held_.Put(cached.front());
    return cached.front();
  }
  // What is new can wait, unless it is its turn.
  if (!wanted_ || !new_goes_first()) wanted_ = offset;
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
  topic->log().Read(
      from, kWindowBytes,
      [self = shared_from_this(), from](absl::StatusOr<std::vector<Ref<Batch>>> read) {
        self->OnRead(from, std::move(read));
        self->context_->gate.Leave();
      });
}

void Subscription::OnRead(Offset from, absl::StatusOr<std::vector<Ref<Batch>>> read) {
  std::optional<DamageEvent> damage;
  {
    MutexLock lock(mu_);
    reading_ = false;
    if (absl::IsDataLoss(read.status())) {
      damage = OnDamage(from, read.status());
    } else if (!read.ok()) {
      // Too many reads at once, say.
      wanted_.reset();
      context_->timers.At(context_->clock.Now() + kReadRetryDelay, [weak = weak_from_this()] {
        if (auto self = weak.lock()) self->Pump();
      });
      return;
    } else if (from < next_) {
      DropGone(from, read->empty() ? end_ : read->front()->first());
      if (!read->empty()) held_.Put(read->front());
    } else if (from == next_ && window_.empty()) {
      DropGone(from, read->empty() ? end_ : read->front()->first());
      for (Ref<Batch>& batch : *read) {
        window_bytes_ += batch->memory_bytes();
        window_.push_back(std::move(batch));
      }
    }
  }
  if (damage && context_->on_damage) context_->on_damage(*damage);
  Pump();
}

void Subscription::DropGone(Offset from, Offset found) {
  if (from >= next_) return SkipTo(found);
  if (found <= from) return;
  // For a redelivery. What is no longer in the log cannot be delivered again.
  std::vector<Offset> settled;
  const Offset end = std::min(found, next_);
  ready_.DropBefore(end);
  keys_.DropBefore(end, &settled);
  for (Offset offset : settled) Skip({offset, offset + 1});
  Skip({from, end});
}

void Subscription::ArmTimer(const Moment& now) {
  // An open time that is over waits for a consumer with credit, not for the clock.
  Instant look = breaker_ ? breaker_->next_look() : Instant::Never();
  if (look <= now.now) look = Instant::Never();
  if (others_until_ > now.now) look = std::min(look, others_until_);
  const Instant due =
      std::min({leases_.next_deadline(), ready_.next_due(), keys_.next_due(), look});
  if (due < armed_) {
    armed_ = due;
    context_->timers.At(due, [weak = weak_from_this()] {
      if (auto self = weak.lock()) self->OnTimer(/*wall=*/false);
    });
  }
  const int64_t wall_due_us = std::min(ready_.next_scheduled_us(), keys_.next_due_us());
  if (wall_due_us < armed_wall_us_) {
    armed_wall_us_ = wall_due_us;
    context_->timers.AtWall(wall_due_us, [weak = weak_from_this()] {
      if (auto self = weak.lock()) self->OnTimer(/*wall=*/true);
    });
  }
}

void Subscription::EndLeases(Instant now) {
  if (leases_.next_deadline() > now) return;
  const uint64_t expired = leases_.TakeExpired(now, Releasing(ReleaseCause::kDeadlinePassed));
  LeasesEnded();
  expired_ += expired;
  context_->metrics.engine.expired_leases.Add(expired);
}

void Subscription::OnTimer(bool wall) {
  {
    MutexLock lock(mu_);
    if (wall) {
      armed_wall_us_ = ScheduledSet::kNever;
    } else {
      armed_ = Instant::Never();
    }
    const Moment now = Look();
    EndLeases(now.now);
    ready_.Promote(now.now, now.wall_us);
    keys_.Promote(now.now, now.wall_us);
    ArmTimer(now);
  }
  Pump();
}

}  // namespace sluice
