// What a subscription counts.
//
// Thread rule: a plain value.
#pragma once

#include <cstdint>
#include <optional>

#include "core/flow/breaker_machine.h"

namespace sluice {

struct SubscriptionStats {
  int64_t backlog_messages = 0;
  // Estimated from the topic's mean size.
  int64_t backlog_bytes = 0;
  int64_t leased_messages = 0;
  // Microseconds since 1970, to about a second; absent without a backlog.
  std::optional<int64_t> oldest_unacked_publish_time_us;
  int32_t consumers = 0;
  // Since the engine was opened.
  uint64_t delivered_messages = 0;
  uint64_t acked_messages = 0;
  uint64_t nacked_messages = 0;
  uint64_t expired_leases = 0;
  uint64_t redelivered_messages = 0;
  // Passed over for now: not yet due, behind others of their ordering key, or of a lower priority.
  uint64_t held_messages = 0;
  // Open while consumers fail nearly everything.
  BreakerState breaker = BreakerState::kClosed;
};

}  // namespace sluice
