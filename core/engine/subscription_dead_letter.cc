// How messages whose attempts are used up leave a subscription: one run after the other is copied to the dead-letter topic
// and acknowledged here in one step of the store, so that a crash leaves exactly one of the two. While a run is on its way
// it is neither available nor leased. What cannot be copied now (no such topic, a full disk) is delivered again after a
// while, and then condemned again: nothing is stuck, nothing is lost.
#include <algorithm>
#include <utility>

#include "core/engine/subscription.h"

namespace sluice {
namespace {

constexpr absl::Duration kRetryDelay = absl::Seconds(10);

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

void Subscription::BuryNext() {
  Condemned condemned;
  uint64_t epoch = 0;
  std::shared_ptr<Topic> topic;
  if (!context_->gate.Enter()) return;
  {
    MutexLock lock(mu_);
    burying_ = topic_ != nullptr && config_.dead_letter && !condemned_.empty();
    if (burying_) {
      topic = topic_;
      epoch = epoch_;
      condemned = condemned_.front();
      condemned_.pop_front();
    }
  }
  if (topic == nullptr) return context_->gate.Leave();
  const auto bury = [self = shared_from_this(), condemned,
                     epoch](const absl::StatusOr<std::vector<Ref<Batch>>>& read) {
    self->Bury(condemned, epoch, read);
    self->context_->gate.Leave();
  };
  auto cached = context_->tail.Find(topic->id(), condemned.offsets.begin, 0);
  cached.empty() ? topic->log().Read(condemned.offsets.begin, 0, bury) : bury(std::move(cached));
}

void Subscription::Bury(Condemned condemned, uint64_t epoch,
                        const absl::StatusOr<std::vector<Ref<Batch>>>& read) {
  if (!read.ok()) return Buried(condemned, epoch, read.status());
  const Ref<Batch> batch = read->empty() ? nullptr : read->front();
  const bool gone = !batch || batch->first() > condemned.offsets.begin;
  SubscriptionConfig config;
  bool over = false;
  {
    MutexLock lock(mu_);
    config = config_;
    // Retention was faster, or a seek.
    over = gone || epoch != epoch_;
    // The copy acknowledges its original: the cursor has to hear of it before it hears of a seek.
    if (!over) ++telling_;
    // The rest lies in another batch, or what is gone ends here.
    const Offset cut = !batch ? condemned.offsets.end : gone ? batch->first() : batch->end();
    if (cut < condemned.offsets.end && epoch == epoch_) {
      condemned_.push_front(condemned);
      condemned_.front().offsets.begin = cut;
    }
    condemned.offsets.end = std::min(condemned.offsets.end, cut);
  }
  if (over) return Buried(condemned, epoch, absl::OkStatus());
  const std::shared_ptr<Topic> target =
      config.topic && config.dead_letter ? context_->find_topic(config.dead_letter->topic) : nullptr;
  const auto buried = [self = shared_from_this(), condemned, epoch](const absl::StatusOr<Published>& stored) {
    if (stored.ok()) self->context_->metrics.engine.dead_lettered_messages.Add(condemned.offsets.size());
    self->Buried(condemned, epoch, stored.status());
  };
  if (target == nullptr) {
    buried(Error(Reason::kTopicNotFound, "the dead-letter topic is gone"));
  } else {
    target->Bury(DeadLetterCopy(*batch, condemned, config, context_->clock.WallNow()), cursor_, condemned.offsets,
                 buried);
  }
  Told();
}

void Subscription::Buried(const Condemned& condemned, uint64_t epoch, const absl::Status& status) {
  std::shared_ptr<Topic> topic;
  Offset old_floor;
  {
    MutexLock lock(mu_);
    old_floor = acked_.floor();
    topic = topic_;
    // After a seek what was condemned before it means nothing here: it is delivered again, or was passed over.
    if (epoch == epoch_) status.ok() ? Settle(condemned) : TryAgain(condemned);
    burying_ = false;
    ScheduleBurial();
    // The next of the key may have to wait.
    ArmTimer(Look());
  }
  if (!status.ok()) context_->metrics.engine.dead_letter_failures.Add(condemned.offsets.size());
  if (status.ok() && topic != nullptr && floor() != old_floor) topic->FloorMoved(old_floor);
  // The next message of a key may go now.
  Pump();
}

void Subscription::Settle(const Condemned& condemned) {
  MarkAcked(condemned.offsets);
  for (Offset at = condemned.offsets.begin; at < condemned.offsets.end; ++at) {
    ForgetCondemned(at);
    if (config_.ordered) keys_.Settle(at);
  }
}

void Subscription::TryAgain(const Condemned& condemned) {
  const Moment now = Look();
  const Instant when = now.now + kRetryDelay;
  OffsetRanges available;
  for (Offset at = condemned.offsets.begin; at < condemned.offsets.end; ++at) {
    ForgetCondemned(at);
    if (config_.ordered && keys_.IsOut(at)) {
      history_.erase(at);  // it goes out once more
      keys_.Return({at, condemned.attempts, when});
    } else if (at < next_) {
      Append(&available, {at, at + 1});
    }
  }
  for (const OffsetRange& range : available) MakeAvailable(range, condemned.attempts, 0, when);
  // It may be that nobody asks for it until then.
  if (condemned.cause == ReleaseCause::kExpired && topic_ != nullptr) {
    topic_->expiry().Add(condemned.offsets, now.wall_us + absl::ToInt64Microseconds(kRetryDelay));
  }
}

}  // namespace sluice
