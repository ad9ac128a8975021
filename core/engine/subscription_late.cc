// Acknowledgements that come when their lease is over: after its deadline, from a stream that was
// opened again, or after a restart. They are not refused to clients that do not ask for
// exactly-once delivery, and save a delivery.
#include <utility>

#include "core/engine/subscription.h"

namespace sluice {

// What waits to be delivered again is looked at when its turn comes (LeaseReady). Who waits behind
// others of its key is not let go out of turn.
bool Subscription::LateAckCounts(Offset offset) const {
  if (offset >= end() || acked_.Contains(offset)) return false;
  // Of what was not looked at since the restart the first has nothing in front of it.
  return !config_.ordered || keys_.IsOut(offset) || (offset >= next_ && offset == acked_.floor());
}

bool Subscription::LateConfirmCounts(Offset offset) const {
  if (config_.ordered || epoch_ > 0 || offset < next_ || offset >= end() ||
      acked_.Contains(offset) || HeldUnseen(offset)) {
    return false;
  }
  return FailuresBefore(offset) != kCondemned;
}

void Subscription::SettleLate(Offset offset, Acked* acked) {
  Append(&acked->offsets, {offset, offset + 1});
  acked->settled += MarkAcked({offset, offset + 1});
}

template <class Fn>
Subscription::Acked Subscription::TakeLate(Fn&& settle) {
  Acked acked;
  MutexLock lock(mu_);
  acked.old_floor = acked_.floor();
  acked.topic = topic_;
  last_used_ = context_->clock.RoughNow();
  settle(&acked);
  settled_ += acked.settled;
  context_->metrics.engine.acked_messages.Add(acked.settled);
  if (!acked.offsets.empty()) ++telling_;
  return acked;
}

void Subscription::AckLate(const std::vector<LateAck>& late, bool before_restart) {
  const Acked acked = TakeLate([&](Acked* taken) {
    mu_.AssertHeld();
    if (before_restart && epoch_ > 0) return;  // sought since
    const auto settle = [&](Offset offset) {
      mu_.AssertHeld();
      SettleLate(offset, taken);
    };
    for (const LateAck& ack : late) {
      if (!before_restart && ack.leases.first < first_since_seek_) continue;
      const Offset end = ack.offset + (ack.leases.last - ack.leases.first) + 1;
      for (Offset offset = ack.offset; offset < end; ++offset) {
        if (!LateAckCounts(offset)) continue;
        config_.ordered&& keys_.IsOut(offset) ? keys_.Ack(offset, settle) : settle(offset);
      }
    }
  });
  if (acked.offsets.empty()) return;
  TellAcked(acked.offsets, acked.old_floor, acked.topic);
  Pump();
}

void Subscription::AckLateConfirmed(const std::vector<LateAck>& late, AckDone done) {
  AckOutcome outcome;
  const Acked acked = TakeLate([&](Acked* taken) {
    mu_.AssertHeld();
    for (const LateAck& ack : late) {
      for (LeaseId lease = ack.leases.first; lease <= ack.leases.last; ++lease) {
        const Offset offset = ack.offset + (lease - ack.leases.first);
        const bool counts = LateConfirmCounts(offset);
        (counts ? outcome.confirmed : outcome.refused).push_back({lease, lease});
        if (counts) SettleLate(offset, taken);
      }
    }
  });
  Confirm(acked, std::move(outcome), std::move(done));
}

}  // namespace sluice
