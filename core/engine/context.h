// What every part of one engine shares. Topics and subscriptions hold it by shared_ptr, since
// callers may keep them longer than the engine.
//
// Thread rule: constant after construction; the parts guard themselves. Clock and metrics outlive
// all of it.
#pragma once

#include <functional>
#include <memory>
#include <utility>

#include "core/base/clock.h"
#include "core/base/error.h"
#include "core/base/gate.h"
#include "core/base/timer_queue.h"
#include "core/engine/options.h"
#include "core/engine/store_breaker.h"
#include "core/engine/tail_cache.h"
#include "core/flow/lease_quota.h"
#include "core/flow/memory_ledger.h"
#include "core/message/names.h"
#include "core/metrics/metrics.h"
#include "core/storage/backend.h"

namespace sluice {

class Topic;

struct EngineContext {
  EngineContext(std::unique_ptr<Backend> the_backend, const Clock& the_clock, Metrics& the_metrics,
                const EngineOptions& options)
      : clock(the_clock),
        metrics(the_metrics),
        timers(the_clock),
        memory(options.memory_budget_bytes),
        tail(options.tail_cache_bytes, memory),
        leases(options.leases, timers, the_clock),
        on_breaker(options.on_breaker),
        on_configured(options.on_configured),
        on_damage(options.on_damage),
        on_held_full(options.on_held_full),
        store_breaker(options.store_breaker, the_clock, timers, the_metrics.engine.store_breaker,
                      on_breaker),
        backend(std::move(the_backend)) {
    memory.SetReclaim([this](size_t bytes) { tail.Shrink(bytes); });
  }

  const Clock& clock;
  // Tells what was given out by this engine from what an earlier one gave out over the same store.
  const uint32_t incarnation = static_cast<uint32_t>(absl::ToUnixMicros(absl::Now()));
  Metrics& metrics;
  TimerQueue timers;
  MemoryLedger memory;
  TailCache tail;
  LeaseQuota leases;
  // These may be null.
  const BreakerListener on_breaker;
  const SubscriptionListener on_configured;
  const DamageListener on_damage;
  const std::function<void(const std::string& subscription)> on_held_full;
  // Every append goes through it.
  StoreBreaker store_breaker;
  // Inside: whatever needs the store. Closed when the engine shuts down.
  Gate gate;
  const std::unique_ptr<Backend> backend;
  // Null when there is none. Set before anything else happens; for those who are inside the gate.
  std::function<std::shared_ptr<Topic>(const TopicName&)> find_topic;
};

inline absl::Status DrainingError() {
  return RetryableError(Reason::kDraining,
                        "the server is shutting down; try again, another one may answer",
                        absl::Seconds(1));
}

}  // namespace sluice
