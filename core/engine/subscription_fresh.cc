// What becomes of a message that is seen for the first time: it goes out, is passed over for good
// (the filter leaves it out, it expired), or is held back: it is not yet due, it waits behind
// another one of its ordering key, or there may be one of a higher priority. What is held is
// bounded; when there is that much, what is new waits in the log.
#include <algorithm>
#include <utility>

#include "core/engine/subscription.h"

namespace sluice {
namespace {

// What a subscription may spend on the messages it holds back: a few bytes for one behind others of
// its key, or for one that is due later; some hundreds for a key.
constexpr size_t kMaxHeldBytes = size_t{64} << 20;
// Among how many messages the highest priority is looked for.
constexpr uint64_t kPriorityWindow = 10'000;

std::string_view MessageAt(const Batch& batch, Offset offset) {
  return batch.message(static_cast<uint32_t>(offset - batch.first()));
}

}  // namespace

void Subscription::SkipFiltered(const Batch& batch) {
  if (filter_.matches_all() || next_ < batch.first()) return;
  const Offset begin = next_;
  for (; next_ < batch.end(); ++next_) {
    // One that has expired, say, is settled already.
    if (acked_.Contains(next_)) continue;
    if (filter_.Matches(MessageAt(batch, next_))) break;
    PassFiltered({next_, next_ + 1});
  }
  Skip({begin, next_});
}

uint64_t Subscription::Skip(OffsetRange range) {
  if (range.empty()) return 0;
  if (skipped_.empty()) floor_before_skips_ = acked_.floor();
  Append(&skipped_, range);
  return MarkAcked(range);
}

void Subscription::SkipTo(Offset found) {
  if (found <= next_) return;
  Skip({next_, found});
  next_ = found;
  RestartScan();
}

void Subscription::Expire(OffsetRange range, uint32_t attempts) {
  context_->metrics.engine.expired_messages.Add(range.size());
  if (buries_expired()) {
    Condemn(range, attempts, ReleaseCause::kExpired);
  } else {
    Skip(range);
  }
}

bool Subscription::TtlPassed(const Batch& batch, const Moment& now) const {
  const int64_t ttl_us = topic_->message_ttl_us();
  return ttl_us > 0 && batch.publish_time_us() + ttl_us <= now.wall_us;
}

bool Subscription::Expired(const Batch& batch, Offset offset, const Moment& now) const {
  return TtlPassed(batch, now) ||
         (!batch.plain() && MessageView(MessageAt(batch, offset)).expire_at_us() <= now.wall_us);
}

uint32_t Subscription::FailuresBefore(Offset offset) const {
  if (history_.empty()) return 0;
  auto it = history_.find(offset);
  return it == history_.end() ? 0 : it->second;
}

bool Subscription::AllGo(const Batch& batch) const {
  return batch.plain() && filter_.matches_all() && !by_priority() && next_ >= restored_.end() &&
         (history_.empty() || history_.rbegin()->first < next_) && topic_->message_ttl_us() == 0 &&
         acked_.end() <= next_;
}

Arrival Subscription::Judge(const Batch& batch, Offset offset, ConsumerId consumer,
                            const Moment& now) const {
  Arrival arrival;
  const std::string_view bytes = MessageAt(batch, offset);
  if (!filter_.Matches(bytes)) {
    arrival.fate = Fate::kFiltered;
    return arrival;
  }
  arrival.attempts = FailuresBefore(offset);
  bool expired = TtlPassed(batch, now);
  if (!batch.plain()) {
    const MessageView message(bytes);
    if (config_.ordered) arrival.key = message.ordering_key();
    if (by_priority()) arrival.priority = static_cast<uint8_t>(message.priority());
    arrival.deliver_at_us = message.deliver_at_us();
    expired |= message.expire_at_us() <= now.wall_us;
  }
  if (arrival.attempts == kCondemned) {
    arrival.fate = Fate::kCondemned;
  } else if (expired) {
    // One that cannot be copied now must not come out of order, should the clock be set back.
    arrival.fate = buries_expired() && !arrival.key.empty() ? Fate::kBehindItsKey : Fate::kExpired;
  } else if (!arrival.key.empty()) {
    const bool waits = AttemptsUsedUp(arrival.attempts) || arrival.deliver_at_us > now.wall_us;
    if (waits || !keys_.MayGo(arrival.key, consumer)) arrival.fate = Fate::kBehindItsKey;
  } else if (AttemptsUsedUp(arrival.attempts)) {
    arrival.fate = Fate::kUsedUp;
  } else if (arrival.deliver_at_us > now.wall_us) {
    arrival.fate = Fate::kNotYet;
  } else if (by_priority()) {
    arrival.fate = Fate::kByPriority;
  }
  return arrival;
}

bool Subscription::PassOver(const Ref<Batch>& batch, ConsumerId consumer, const Moment& now) {
  next_ = std::max(next_, batch->first());
  if (AllGo(*batch)) return next_ < batch->end();
  while (next_ < batch->end()) {
    if (const Offset unacked = acked_.NextUnacked(next_); unacked > next_) {
      next_ = std::min(unacked, batch->end());
      continue;
    }
    if (HeldUnseen(next_)) {
      SeeLeased(*batch, next_);
      ++next_;
      continue;
    }
    const Arrival arrival = Judge(*batch, next_, consumer, now);
    // What was out at a restart is looked at before anything goes.
    if (arrival.fate == Fate::kGoes && next_ >= restored_.end()) return true;
    const OffsetRange one{next_, next_ + 1};
    switch (arrival.fate) {
      case Fate::kFiltered:
        PassFiltered(one);
        Skip(one);
        break;
      case Fate::kExpired:
        Expire(one, arrival.attempts);
        break;
      case Fate::kCondemned:
        if (!arrival.key.empty()) keys_.Condemned(arrival.key, next_);
        break;
      case Fate::kUsedUp:
        Condemn(one, arrival.attempts, ReleaseCause::kDeadlinePassed);
        break;
      default:
        if (held_is_full()) {
          NoteHeldFull();
          return false;
        }
        Hold(batch, arrival);
    }
    ++next_;
  }
  return false;
}

bool Subscription::held_is_full() const {
  if (by_priority()) return held() >= kPriorityWindow;
  return held_bytes() >= kMaxHeldBytes;
}

// A window of priorities is full as a rule.
void Subscription::NoteHeldFull() {
  if (by_priority() || held_full_) return;
  held_full_ = true;
  context_->metrics.engine.held_full.Add();
  if (!context_->on_held_full) return;
  // Not from here: the lock is held.
  context_->timers.At(context_->clock.Now(), [context = context_, name = config_.name.full()] {
    context->on_held_full(name);
  });
}

// next_ is held back.
void Subscription::Hold(const Ref<Batch>& batch, const Arrival& arrival) {
  // Well below the limit, so that a subscription that stays at it is told of once.
  if (held_full_ && held_bytes() < kMaxHeldBytes / 2) held_full_ = false;
  const OffsetRange one{next_, next_ + 1};
  if (!arrival.key.empty()) {
    // When it is due is looked at once it is the first of its key.
    keys_.Wait(arrival.key, {.offset = next_, .attempts = arrival.attempts, .not_before = {}});
  } else if (arrival.fate == Fate::kNotYet) {
    return ready_.AddScheduled(
        {one, arrival.attempts, Precedence(arrival.attempts, arrival.priority)},
        arrival.deliver_at_us);
  } else {
    ready_.Add({one, arrival.attempts, Precedence(arrival.attempts, arrival.priority)});
  }
  held_.Put(batch);
}

uint64_t Subscription::FreshRun(const Batch& batch, ConsumerId consumer, int64_t most,
                                const Moment& now, Arrival* first) {
  fresh_keys_.clear();
  if (AllGo(batch)) return batch.end() - next_;
  *first = Judge(batch, next_, consumer, now);
  if (!first->key.empty()) fresh_keys_.push_back(first->key);
  const Offset limit =
      std::min(acked_.UnackedEnd(next_, batch.end()), next_ + static_cast<uint64_t>(most));
  Offset end = next_ + 1;
  for (; end < limit; ++end) {
    const Arrival arrival = Judge(batch, end, consumer, now);
    if (arrival.fate != Fate::kGoes || arrival.attempts != first->attempts ||
        arrival.key.empty() != first->key.empty()) {
      break;
    }
    if (!arrival.key.empty()) fresh_keys_.push_back(arrival.key);
  }
  return end - next_;
}

void Subscription::LookAhead(const Moment& now) {
  while (next_ < end_ && held() < kPriorityWindow) {
    const Ref<Batch>* batch = FreshBatch();
    if (batch == nullptr) return;
    PassOver(*batch, ConsumerId(0), now);
    if (next_ < (*batch)->end()) return;
  }
}

}  // namespace sluice
