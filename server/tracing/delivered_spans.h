// Which deliveries of late were traced: an acknowledgement names leases, and finds the deliver span
// of those here, whichever connection it comes on. Nothing is kept for each lease: of each part of
// the subscriptions the last 64 traced deliveries are known, and the acknowledgement of an older
// one is not traced.
//
// Thread rule: any thread.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "core/base/mutex.h"
#include "core/base/named_type.h"
#include "core/engine/consumer.h"
#include "server/tracing/context.h"

namespace sluice::server {

class DeliveredSpans {
 public:
  // Leases of a delivery with traced messages.
  void Add(SubscriptionId subscription, LeaseRange leases, const SpanContext& span);

  // The spans in which one of these leases was delivered, the last one first; each once.
  FoundContexts Find(SubscriptionId subscription, const std::vector<LeaseRange>& leases);

 private:
  static constexpr size_t kShards = 32;
  static constexpr size_t kKept = 64;

  struct Delivered {
    SubscriptionId subscription;
    LeaseRange leases;
    SpanContext span;
  };
  struct Shard {
    Mutex mu;
    // A ring; `added` counts all that ever were.
    std::array<Delivered, kKept> ring GUARDED_BY(mu);
    uint64_t added GUARDED_BY(mu) = 0;
  };

  Shard& ShardOf(SubscriptionId subscription) { return shards_[subscription.value() % kShards]; }

  std::array<Shard, kShards> shards_;
};

}  // namespace sluice::server
