// What a consumer says of itself when it is attached to a subscription.
//
// Thread rule: a plain value.
#pragma once

#include <cstdint>
#include <limits>
#include <string>

#include "absl/time/time.h"

namespace sluice {

struct AttachOptions {
  // For statistics and logs.
  std::string client_id;
  // Of its leases; the subscription's when zero.
  absl::Duration ack_deadline = absl::ZeroDuration();
  // Its leases go on to their deadlines when it detaches, for clients that open another stream and
  // settle them there; and, unless it pushes, when the engine is closed and opened again.
  bool leases_outlive_it = false;
  // Its client knows its leases again when the engine is closed and opened, and takes them up
  // (Subscription::TakeUp): until then they go on to their deadlines.
  bool takes_up_leases = false;
  // It detaches with the first delivery, and its leases are settled afterwards as a rule.
  bool takes_one_delivery = false;
  // The most it may hold unsettled, beside its credit: room comes back as leases end, however they
  // do.
  int64_t max_outstanding_messages = kNoOutstandingLimit;
  int64_t max_outstanding_bytes = kNoOutstandingLimit;
  // Without a topic it gets nothing and stays, until the subscription is deleted too.
  bool waits_without_topic = false;
  // It pushes: the only kind of consumer of a subscription that is set to push, and one that does
  // not count as a use.
  bool pushes = false;

  static constexpr int64_t kNoOutstandingLimit = std::numeric_limits<int64_t>::max();
};

}  // namespace sluice
