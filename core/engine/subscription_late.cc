// Acknowledgements that come when their lease is over: after its deadline, from a stream that was opened again, or after a
// restart. They are not refused to clients that do not ask for exactly-once delivery, and save a delivery.
#include "core/engine/subscription.h"

namespace sluice {

// What waits to be delivered again is looked at when its turn comes (LeaseReady). Who waits behind others of its key is not
// let go out of turn.
bool Subscription::LateAckCounts(Offset offset) const {
  if (offset >= std::max(history_.end, next_) || acked_.Contains(offset)) return false;
  return !config_.ordered || keys_.IsOut(offset);
}

bool Subscription::LateConfirmCounts(Offset offset) const {
  if (config_.ordered || offset < next_ || offset >= history_.end || acked_.Contains(offset)) return false;
  return AttemptsBefore(offset) != kCondemned;
}

void Subscription::AckLate(const std::vector<LateAck>& late, bool before_restart) {
  Acked acked;
  {
    MutexLock lock(mu_);
    acked.old_floor = acked_.floor();
    acked.topic = topic_;
    last_used_ = context_->clock.RoughNow();
    for (const LateAck& ack : late) {
      if (!before_restart && ack.leases.first < first_since_seek_) continue;
      const Offset end = ack.offset + (ack.leases.last - ack.leases.first) + 1;
      for (Offset offset = ack.offset; offset < end; ++offset) {
        if (!LateAckCounts(offset)) continue;
        const auto settle = [&acked](Offset settled) { Append(&acked.offsets, {settled, settled + 1}); };
        config_.ordered ? keys_.Ack(offset, settle) : settle(offset);
      }
    }
    for (const OffsetRange& range : acked.offsets) acked.settled += MarkAcked(range);
    settled_ += acked.settled;
    if (!acked.offsets.empty()) ++telling_;
  }
  if (acked.offsets.empty()) return;
  context_->metrics.engine.acked_messages.Add(acked.settled);
  TellAcked(acked.offsets, acked.old_floor, acked.topic);
  Pump();
}

void Subscription::AckLateConfirmed(const std::vector<LateAck>& late, AckDone done) {
  AckOutcome outcome;
  Acked acked;
  {
    MutexLock lock(mu_);
    acked.old_floor = acked_.floor();
    acked.topic = topic_;
    last_used_ = context_->clock.RoughNow();
    for (const LateAck& ack : late) {
      for (LeaseId lease = ack.leases.first; lease <= ack.leases.last; ++lease) {
        const Offset offset = ack.offset + (lease - ack.leases.first);
        if (LateConfirmCounts(offset)) {
          outcome.confirmed.push_back({lease, lease});
          Append(&acked.offsets, {offset, offset + 1});
          acked.settled += MarkAcked({offset, offset + 1});
        } else {
          outcome.refused.push_back({lease, lease});
        }
      }
    }
    settled_ += acked.settled;
    if (!acked.offsets.empty()) ++telling_;
  }
  context_->metrics.engine.acked_messages.Add(acked.settled);
  if (acked.offsets.empty()) return done(std::move(outcome));
  TellAcked(acked.offsets, acked.old_floor, acked.topic,
            [outcome = std::move(outcome), done = std::move(done)](const absl::Status& status) mutable {
              outcome.status = status;
              done(std::move(outcome));
            });
}

}  // namespace sluice
