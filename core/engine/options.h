// How an engine is opened.
//
// Thread rule: a plain struct.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

#include "core/engine/breaker_event.h"
#include "core/engine/damage_event.h"
#include "core/flow/circuit_breaker.h"
#include "core/flow/lease_quota.h"

namespace sluice {

class Subscription;

// Called without a lock, by the thread that made the change, before the next change of the same
// subscription; must not block.
using SubscriptionListener = std::function<void(const std::shared_ptr<Subscription>&)>;

struct EngineOptions {
  // Memory for recent batches, shared by all topics.
  size_t tail_cache_bytes = size_t{64} << 20;
  // When publishes are refused because the store fails or stalls.
  BreakerOptions store_breaker = {};
  // Told of every change of a circuit breaker; may be null.
  BreakerListener on_breaker = nullptr;
  // Told of every subscription that is made, or set to something else; may be null.
  SubscriptionListener on_configured = nullptr;
  // Told when a subscription comes upon damaged messages, once for each stretch; may be null.
  DamageListener on_damage = nullptr;
  // Told, by its full name, of a subscription that holds back as much as it may: what is newer
  // waits. May be null.
  std::function<void(const std::string& subscription)> on_held_full = nullptr;
  // For all of core/flow/memory_ledger.h; 0 for no bound.
  size_t memory_budget_bytes = 0;
  // The most there may be; what a store holds already is opened all the same.
  size_t max_topics = SIZE_MAX;
  size_t max_subscriptions = SIZE_MAX;
  // Messages leased at once.
  LeaseLimits leases = {};
  // False where a test runs timers() by hand.
  bool run_timers = true;
};

}  // namespace sluice
