// What exactly-once clients are told of deliveries whose leases are over.
#include "core/engine/subscription.h"

namespace sluice {

std::vector<LeaseRange> Subscription::NackConfirmed(ConsumerId consumer,
                                                    const std::vector<LeaseRange>& ranges,
                                                    absl::Duration delay) {
  std::vector<LeaseRange> confirmed;
  uint64_t nacked = 0;
  {
    MutexLock lock(mu_);
    for (const LeaseRange& range : ranges) {
      nacked += leases_.Take(consumer, range, [&](const Lease& lease) {
        mu_.AssertHeld();
        confirmed.push_back({lease.first, lease.first + (lease.count - 1)});
        Release(lease, ReleaseCause::kNacked, delay);
      });
      // Those whose leases ended with that of an earlier message of their key, now or before, and
      // that wait to be delivered again: just what a nack asks for.
      ended_leases_.ForEachIn(range, [&](LeaseId lease, const EndedLeases::Ended& ended) {
        mu_.AssertHeld();
        const bool comes_again = ended.why == EndedLeases::Why::kBehindItsKey &&
                                 !acked_.Contains(ended.offset) && !keys_.IsOut(ended.offset);
        if (comes_again && (consumer == kAnyone || consumer == ended.consumer))
          confirmed.push_back({lease, lease});
      });
    }
    LeasesEnded();
    nacked_ += nacked;
    if (nacked > 0) ArmTimer(Look());
  }
  if (nacked == 0) return confirmed;
  context_->metrics.engine.nacked_messages.Add(nacked);
  Pump();
  return confirmed;
}

std::string_view Subscription::WhyOver(LeaseId lease, Offset offset) const {
  MutexLock lock(mu_);
  if (acked_.Contains(offset)) return "acknowledged already";
  if (lease >= leases_.next()) return "never leased";
  if (lease < first_since_seek_) return "sought since";
  const auto ended = ended_leases_.Find(lease);
  if (!ended) return "over for long";
  switch (ended->why) {
    case EndedLeases::Why::kNacked:
      return "nacked";
    case EndedLeases::Why::kDeadlinePassed:
      return "ack deadline passed";
    case EndedLeases::Why::kReturned:
      return "consumer gone";
    case EndedLeases::Why::kBehindItsKey:
      return "an earlier message of its key failed";
  }
  return "over for long";
}

}  // namespace sluice
