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
  std::shared_ptr<Topic> topic;
  if (!context_->gate.Enter()) return;
  {
    MutexLock lock(mu_);
    burying_ = topic_ != nullptr && config_.dead_letter && !condemned_.empty();
    if (burying_) {
      topic = topic_;
      condemned = condemned_.front();
      condemned_.pop_front();
    }
  }
  if (topic == nullptr) return context_->gate.Leave();
  const auto bury = [self = shared_from_this(), condemned](const absl::StatusOr<std::vector<Ref<Batch>>>& read) {
    self->Bury(condemned, read);
    self->context_->gate.Leave();
  };
  auto cached = context_->tail.Find(topic->id(), condemned.offsets.begin, 0);
  cached.empty() ? topic->log().Read(condemned.offsets.begin, 0, bury) : bury(std::move(cached));
}

void Subscription::Bury(Condemned condemned, const absl::StatusOr<std::vector<Ref<Batch>>>& read) {
  if (!read.ok()) return Buried(condemned, read.status());
  const Ref<Batch> batch = read->empty() ? nullptr : read->front();
  const bool gone = !batch || batch->first() > condemned.offsets.begin;
  SubscriptionConfig config;
  {
    MutexLock lock(mu_);
    config = config_;
    // The rest lies in another batch, or what is gone ends here.
    const Offset cut = !batch ? condemned.offsets.end : gone ? batch->first() : batch->end();
    if (cut < condemned.offsets.end) {
      condemned_.push_front(condemned);
      condemned_.front().offsets.begin = cut;
      condemned.offsets.end = cut;
    }
  }
  // Retention was faster.
  if (gone) return Buried(condemned, absl::OkStatus());
  const std::shared_ptr<Topic> target =
      config.topic && config.dead_letter ? context_->find_topic(config.dead_letter->topic) : nullptr;
  if (target == nullptr) return Buried(condemned, Error(Reason::kTopicNotFound, "the dead-letter topic is gone"));
  target->Bury(DeadLetterCopy(*batch, condemned, config, context_->clock.WallNow()), cursor_, condemned.offsets,
               [self = shared_from_this(), condemned](const absl::StatusOr<Published>& stored) {
                 if (stored.ok()) {
                   self->context_->metrics.engine.dead_lettered_messages.Add(condemned.offsets.size());
                 }
                 self->Buried(condemned, stored.status());
               });
}

void Subscription::Buried(const Condemned& condemned, const absl::Status& status) {
  std::shared_ptr<Topic> topic;
  Offset old_floor;
  {
    MutexLock lock(mu_);
    old_floor = acked_.floor();
    topic = topic_;
    if (status.ok()) {
      MarkAcked(condemned.offsets);
    } else {
      MakeAvailable(condemned.offsets, condemned.attempts, context_->clock.Now() + kRetryDelay);
      ArmTimer();
    }
    burying_ = false;
    ScheduleBurial();
  }
  if (!status.ok()) context_->metrics.engine.dead_letter_failures.Add(condemned.offsets.size());
  if (status.ok() && topic != nullptr && floor() != old_floor) topic->FloorMoved(old_floor);
}

}  // namespace sluice
