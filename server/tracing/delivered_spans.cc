#include "server/tracing/delivered_spans.h"

#include <algorithm>

namespace sluice::server {

void DeliveredSpans::Add(SubscriptionId subscription, LeaseRange leases, const SpanContext& span) {
  Shard& shard = ShardOf(subscription);
  MutexLock lock(shard.mu);
  shard.ring[shard.added++ % kKept] = {subscription, leases, span};
}

FoundContexts DeliveredSpans::Find(SubscriptionId subscription,
                                   const std::vector<LeaseRange>& leases) {
  FoundContexts found;
  Shard& shard = ShardOf(subscription);
  MutexLock lock(shard.mu);
  for (uint64_t i = 1; i <= std::min<uint64_t>(shard.added, kKept); ++i) {
    const Delivered& delivered = shard.ring[(shard.added - i) % kKept];
    if (delivered.subscription != subscription) continue;
    const bool settled = std::any_of(leases.begin(), leases.end(), [&](const LeaseRange& range) {
      return range.first <= delivered.leases.last && delivered.leases.first <= range.last;
    });
    if (settled) found.Add(delivered.span);
  }
  return found;
}

}  // namespace sluice::server
