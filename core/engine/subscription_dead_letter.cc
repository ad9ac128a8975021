// How messages whose attempts are used up leave a subscription: up to a batch of them at a time is
// copied to the dead-letter topic and acknowledged here in one step of the store, so that a crash
// leaves exactly one of the two. While they are on their way they are neither available nor leased.
// What cannot be copied now (no such topic, a full disk) is delivered again after a while, and then
// condemned again: nothing is stuck, nothing is lost. What is damaged cannot be delivered either:
// from then on it is as in subscription_damage.cc.
#include <algorithm>
#include <utility>

#include "core/engine/subscription.h"
#include "core/storage/damage.h"

namespace sluice {
namespace {

constexpr absl::Duration kRetryDelay = absl::Seconds(10);
// Messages of one record, beside one that is larger.
constexpr size_t kMaxBurialBytes = size_t{1} << 20;

}  // namespace

void Subscription::Condemn(OffsetRange offsets, uint32_t attempts, ReleaseCause cause) {
  if (!condemned_.empty()) {
    Condemned& last = condemned_.back();
    if (last.offsets.end == offsets.begin && last.attempts == attempts && last.cause == cause) {
      last.offsets.end = offsets.end;
      return;
    }
  }
  condemned_.push_back({offsets, attempts, cause});
}

void Subscription::ScheduleBurial() {
  if (burying_ || condemned_.empty()) return;
  burying_ = true;
  // Not from here: the caller may hold locks that finding a topic takes.
  context_->timers.At(context_->clock.Now(), [weak = weak_from_this()] {
    if (auto self = weak.lock()) self->BuryNext();
  });
}

// One read of the log, and what of the line is found in it: as much as one record may take.
void Subscription::BuryNext() {
  Burial burial;
  std::shared_ptr<Topic> topic;
  if (!context_->gate.Enter()) return;
  {
    MutexLock lock(mu_);
    burying_ = topic_ != nullptr && config_.dead_letter && !condemned_.empty();
    if (burying_) {
      topic = topic_;
      burial.epoch = epoch_;
      burial.from = condemned_.front().offsets.begin;
    }
  }
  if (topic == nullptr) return context_->gate.Leave();
  const auto bury = [self = shared_from_this(),
                     burial](const absl::StatusOr<std::vector<Ref<Batch>>>& read) {
    self->Bury(burial, read);
    self->context_->gate.Leave();
  };
  auto cached = context_->tail.Find(topic->id(), burial.from, kMaxBurialBytes);
  cached.empty() ? topic->log().Read(burial.from, kMaxBurialBytes, bury) : bury(std::move(cached));
}

void Subscription::TakeCondemned(const std::vector<Ref<Batch>>& batches, absl::Time now,
                                 Burial* burial, std::vector<std::string>* copies) {
  const Offset found = batches.empty() ? Offset(UINT64_MAX) : batches.front()->first();
  const Offset end = batches.empty() ? found : batches.back()->end();
  size_t bytes = 0;
  while (!condemned_.empty() && copies->size() < kMaxMessagesPerBatch && bytes < kMaxBurialBytes) {
    Condemned& next = condemned_.front();
    // Retention was faster.
    if (next.offsets.begin >= burial->from && next.offsets.begin < found) {
      Condemned gone = next;
      gone.offsets.end = next.offsets.begin = std::min(found, next.offsets.end);
      if (next.offsets.empty()) condemned_.pop_front();
      Settle(gone);
      continue;
    }
    if (next.offsets.begin < found || next.offsets.begin >= end) return;
    const auto in = std::partition_point(
        batches.begin(), batches.end(),
        [&](const Ref<Batch>& batch) { return batch->end() <= next.offsets.begin; });
    Condemned part = next;
    part.offsets.end = std::min({next.offsets.end, (*in)->end(),
                                 next.offsets.begin + (kMaxMessagesPerBatch - copies->size())});
    // Whole messages, one at least.
    const auto index = [&](Offset at) { return static_cast<uint32_t>(at - (*in)->first()); };
    while (part.offsets.size() > 1 &&
           bytes + (*in)->body_bytes(index(part.offsets.begin), index(part.offsets.end)) >
               kMaxBurialBytes) {
      part.offsets.end = part.offsets.begin + (part.offsets.size() + 1) / 2;
    }
    bytes += (*in)->body_bytes(index(part.offsets.begin), index(part.offsets.end));
    AppendDeadLetterCopies(**in, part, config_, now, copies);
    burial->taken.push_back(part);
    next.offsets.begin = part.offsets.end;
    if (next.offsets.empty()) condemned_.pop_front();
  }
}

void Subscription::TakeUnreadable(const absl::Status& why, Burial* burial) {
  Condemned& next = condemned_.front();
  Condemned part = next;
  // What lies behind damaged messages can be copied.
  const std::optional<OffsetRange> lost = DamagedMessages(why);
  const bool gone = lost && part.offsets.begin < lost->begin;
  if (lost)
    part.offsets.end = std::min(part.offsets.end,
                                std::max(gone ? lost->begin : lost->end, part.offsets.begin + 1));
  next.offsets.begin = part.offsets.end;
  if (next.offsets.empty()) condemned_.pop_front();
  if (gone) {
    Settle(part);
  } else if (lost && config_.skip_damaged) {
    SkipDamaged(part.offsets);
    Settle(part);
  } else {
    burial->taken.push_back(part);
  }
}

void Subscription::Bury(Burial burial, const absl::StatusOr<std::vector<Ref<Batch>>>& read) {
  std::shared_ptr<Topic> topic;
  std::optional<TopicName> target_name;
  std::vector<std::string> copies;
  {
    MutexLock lock(mu_);
    // After a seek what was condemned before it means nothing here: it is delivered again, or was
    // passed over.
    if (burial.epoch == epoch_ && topic_ != nullptr && !condemned_.empty()) {
      if (!read.ok()) {
        TakeUnreadable(read.status(), &burial);
      } else if (config_.dead_letter) {
        TakeCondemned(*read, context_->clock.WallNow(), &burial, &copies);
        target_name = config_.dead_letter->topic;
      }
    }
    // The copies acknowledge their originals: the cursor must be told before it is told of a seek.
    if (!copies.empty()) ++telling_;
  }
  if (copies.empty()) return Buried(burial, read.status());
  const std::shared_ptr<Topic> target = context_->find_topic(*target_name);
  const auto buried = [self = shared_from_this(), burial](const absl::StatusOr<Published>& stored) {
    if (stored.ok()) self->context_->metrics.engine.dead_lettered_messages.Add(burial.count());
    self->Buried(burial, stored.status());
  };
  if (target == nullptr) {
    buried(Error(Reason::kTopicNotFound, "the dead-letter topic is gone"));
  } else {
    std::vector<OffsetRange> offsets;
    for (const Condemned& part : burial.taken) Append(&offsets, part.offsets);
    target->Bury(Batch::Compose({copies.begin(), copies.end()}, false), cursor_, std::move(offsets),
                 buried);
  }
  Told();
}

void Subscription::Buried(const Burial& burial, const absl::Status& status) {
  std::shared_ptr<Topic> topic;
  Offset old_floor;
  {
    MutexLock lock(mu_);
    old_floor = acked_.floor();
    topic = topic_;
    if (burial.epoch == epoch_) {
      for (const Condemned& part : burial.taken) status.ok() ? Settle(part) : TryAgain(part);
    }
    burying_ = false;
    ScheduleBurial();
    // The next of the key may have to wait.
    ArmTimer(Look());
  }
  if (!status.ok()) context_->metrics.engine.dead_letter_failures.Add(burial.count());
  if (status.ok() && topic != nullptr && floor() != old_floor) topic->FloorMoved(old_floor);
  // The next message of a key may go now.
  Pump();
}

void Subscription::Settle(const Condemned& condemned) {
  MarkAcked(condemned.offsets);
  for (Offset at = condemned.offsets.begin; at < condemned.offsets.end; ++at) {
    if (condemned.cause == ReleaseCause::kExpired) ForgetCondemned(at);
    if (config_.ordered) keys_.Settle(at);
  }
}

void Subscription::TryAgain(const Condemned& condemned) {
  const Moment now = Look();
  const Instant when = now.now + kRetryDelay;
  OffsetRanges available;
  for (Offset at = condemned.offsets.begin; at < condemned.offsets.end; ++at) {
    const bool expired = condemned.cause == ReleaseCause::kExpired;
    if (expired) ForgetCondemned(at);
    if (config_.ordered && keys_.IsOut(at)) {
      history_.erase(at);  // it goes out once more
      keys_.Return({.offset = at, .attempts = condemned.attempts, .not_before = when});
    } else if (expired && at >= next_) {
      // Not looked at yet: it expires again, with the failures that it had.
      if (condemned.attempts > 0) history_[at] = condemned.attempts;
    } else {
      Append(&available, {at, at + 1});
    }
  }
  for (const OffsetRange& range : available) MakeAvailable({range, condemned.attempts}, when);
  // It may be that nobody asks for it until then.
  if (condemned.cause == ReleaseCause::kExpired && topic_ != nullptr) {
    topic_->expiry().Add(condemned.offsets, now.wall_us + absl::ToInt64Microseconds(kRetryDelay));
  }
}

}  // namespace sluice
