// How a subscription lives with messages that are damaged on the disk. What can be delivered is:
// those before them, those that come again, and what else goes in front of them. A consumer that
// has credit, holds nothing and is left with nothing but damaged messages ends with DATA_LOSS, one
// that comes later too, and the subscription stays: the damaged messages are its backlog until a
// seek passes them, their retention ends, or it skips them, which it does when it is set to.
//
// What was found is taken as true for a while, so that consumers that come again and again do not
// make the disk read a damaged place again and again. Then it is read once more: it may have been
// the cable.
#include <algorithm>
#include <utility>

#include "core/engine/subscription.h"
#include "core/storage/damage.h"

namespace sluice {
namespace {

constexpr absl::Duration kReadAgainAfter = absl::Seconds(10);
// What comes again within this time is waited for: the usual delays of what failed. Well below the
// time above, for which redeliveries that are damaged themselves are put aside.
constexpr absl::Duration kComesSoon = absl::Seconds(1);

}  // namespace

std::optional<DamageEvent> Subscription::OnDamage(Offset from, const absl::Status& error) {
  const std::optional<OffsetRange> lost = DamagedMessages(error);
  const OffsetRange messages = lost.value_or(OffsetRange{from, std::max(end_, from + 1)});
  const bool told = damage_ && damage_->messages == messages;
  damage_ = std::make_unique<FoundDamage>(
      FoundDamage{messages, lost.has_value(), error, context_->clock.Now() + kReadAgainAfter});
  if (from < next_) {
    DropGone(from, messages.begin);
  } else if (from == next_ && window_.empty()) {
    SkipTo(messages.begin);
    if (SkipsDamage()) {
      SkipDamaged({next_, messages.end});
      next_ = messages.end;
      end_ = std::max(end_, next_);
      RestartScan();
    }
  }
  if (told) return std::nullopt;
  return DamageEvent{config_.name.full(), SkipsDamage(), error};
}

bool Subscription::Damaged(Offset offset, Instant now) const {
  return damage_ && damage_->messages.begin <= offset && offset < damage_->messages.end &&
         now < damage_->until;
}

void Subscription::SkipDamaged(OffsetRange range) {
  context_->metrics.engine.skipped_damaged_messages.Add(Skip(range));
}

bool Subscription::PutReadyAside(const ReadySet::Range& front, Instant now) {
  if (!Damaged(front.offsets.begin, now)) return false;
  ReadySet::Range part = front;
  part.offsets.end = std::min(front.offsets.end, damage_->messages.end);
  ready_.PopFront(part.offsets.size());
  SkipsDamage() ? SkipDamaged(part.offsets) : ready_.AddDelayed(part, damage_->until);
  return true;
}

bool Subscription::PutNextOfKeyAside(ConsumerId consumer, Offset offset, const Moment& now) {
  if (!Damaged(offset, now.now)) return false;
  if (SkipsDamage()) {
    keys_.DropNext(consumer);
    SkipDamaged({offset, offset + 1});
  } else {
    keys_.DelayNext(consumer, now.wall_us + absl::ToInt64Microseconds(kReadAgainAfter));
  }
  return true;
}

std::vector<ConsumerState> Subscription::TakeStarved() {
  // What may go, or may turn out to, is waited for.
  if (!damage_ || SkipsDamage() || wanted_ || reading_ || ready_.Front() || keys_.has_ready())
    return {};
  // Sought past them, say, or they went with their retention.
  if (acked_.NextUnacked(damage_->messages.begin) >= damage_->messages.end) {
    damage_.reset();
    return {};
  }
  const Instant now = context_->clock.RoughNow();
  if (now >= damage_->until || std::min(ready_.next_due(), keys_.next_due()) <= now + kComesSoon)
    return {};
  return TakeConsumers([this](const ConsumerState& consumer) {
    mu_.AssertHeld();
    return consumer.has_credit() && !leases_.AnyOf(consumer.id);
  });
}

void Subscription::EndStarved(const std::vector<ConsumerState>& starved, const absl::Status& why) {
  TellEnded(starved, why);
  if (cursor_ != nullptr) return ConsumersChanged();
  // An ephemeral subscription ends with its consumer.
  LeaveTopic();
  End(why);
}

}  // namespace sluice
