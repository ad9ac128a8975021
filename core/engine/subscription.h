// One subscription: who has leased what, what waits to be delivered again, how far everyone got.
//
//   auto id = subscription->Attach(consumer, {.client_id = "billing"});
//   subscription->Grant(*id, 1000, 0);         // consumer->Deliver(...) begins
//   subscription->Ack(*id, {{first, last}});
//   subscription->Detach(*id);                 // what it held becomes available at once
//
// A message goes through: available -> leased -> acknowledged, or -> released (nack, deadline, consumer gone) ->
// available again. At most one lease per message lives at a time.
//
// Leases are kept as runs, not one by one: a batch delivered whole is one entry, and acknowledging it whole is one
// erase. New messages are taken in offset order at `next_`; released ones first. One thread at a time moves messages
// out ("pumps"), so that a consumer sees them in the order in which they were leased.
//
// Thread rule: every public member may be called from any thread. Lock order: docs/adr/0005.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/status/statusor.h"
#include "core/base/mutex.h"
#include "core/base/timer_queue.h"
#include "core/engine/config.h"
#include "core/engine/consumer.h"
#include "core/engine/topic.h"
#include "core/metrics/metrics.h"
#include "core/storage/backend.h"

namespace sluice {

using ConsumerId = Named<uint64_t, struct ConsumerIdTag>;

struct AttachOptions {
  // For statistics and logs.
  std::string client_id;
};

struct SubscriptionStats {
  int64_t backlog_messages = 0;
  int64_t backlog_bytes = 0;
  int64_t leased_messages = 0;
  // Microseconds since 1970; absent without a backlog.
  std::optional<int64_t> oldest_unacked_publish_time_us;
  int32_t consumers = 0;
  uint64_t delivered_messages = 0;
  uint64_t acked_messages = 0;
  uint64_t nacked_messages = 0;
  uint64_t expired_leases = 0;
  uint64_t redelivered_messages = 0;
};

class Subscription : public std::enable_shared_from_this<Subscription> {
 public:
  // Credit without a limit in bytes.
  static constexpr int64_t kNoByteLimit = -1;

  // Fails with NOT_FOUND, FAILED_PRECONDITION (TOPIC_DELETED), RESOURCE_EXHAUSTED (TOO_MANY_CONSUMERS), UNAVAILABLE.
  // Nothing is delivered before the first Grant. `byte_credit` is kNoByteLimit or what is granted at first.
  absl::StatusOr<ConsumerId> Attach(std::shared_ptr<Consumer> consumer, AttachOptions options);

  // More credit. With kNoByteLimit in the first grant bytes are not counted for this consumer. The calls below do
  // nothing for a consumer that is not attached.
  void Grant(ConsumerId consumer, int64_t messages, int64_t bytes);

  // Ids that this consumer does not hold are passed over. Returns how many leases were settled.
  uint64_t Ack(ConsumerId consumer, const std::vector<LeaseRange>& ranges);
  uint64_t Nack(ConsumerId consumer, LeaseRange range, absl::Duration delay);
  uint64_t Extend(ConsumerId consumer, LeaseRange range, absl::Duration deadline);

  // After this no Deliver begins; one that is running may still end.
  void Detach(ConsumerId consumer);

  SubscriptionConfig config() const;
  SubscriptionStats stats() const;
};

}  // namespace sluice
