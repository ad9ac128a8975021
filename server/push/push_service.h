// All push subscriptions of a server: a Pusher for each, the HTTP client they share, and the
// circuit breakers of endpoints.
//
//   PushService push(engine, metrics.push, {...});
//   push.Start();                            // those there are
//   push.OnConfigured(subscription);         // as the engine tells of them
//   push.Stop(absl::Seconds(10));            // before the engine shuts down
//
// The requests under way are bounded together. An endpoint may have as many as are free: so those
// that hang leave as much as each of them has for the next, and never take all (Choudhury and
// Hahne, "Dynamic queue length thresholds", 1998).
//
// Thread rule: every member may be called from any thread, Stop from a plain thread.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "core/base/mutex.h"
#include "core/engine/engine.h"
#include "core/flow/circuit_breaker.h"
#include "core/flow/worker_pool.h"
#include "core/metrics/metrics.h"
#include "server/push/http_client.h"
#include "server/push/push_options.h"
#include "server/push/pusher.h"

namespace sluice::server {

class PushService {
 public:
  PushService(Engine& engine, PushMetrics& metrics, PushOptions options);
  ~PushService() { Stop(absl::ZeroDuration()); }

  // REQUIRES: called once, before anyone can change a subscription.
  void Start();
  void OnConfigured(const std::shared_ptr<Subscription>& subscription) EXCLUDES(mu_);
  // No new requests; those under way get so much time.
  void Stop(absl::Duration timeout) EXCLUDES(mu_);

  // The rest is for pushers.

  Engine& engine() { return engine_; }
  PushMetrics& metrics() { return metrics_; }
  HttpClient& http() { return http_; }
  Tracer* tracer() const { return options_.tracer; }
  // Where bodies are made, which may take a while.
  WorkerPool& workers() { return workers_; }
  std::shared_ptr<CircuitBreaker> BreakerOf(const std::string& endpoint) EXCLUDES(mu_);
  // Room for one more request of a pusher that has `held`. Without any, and where it is to `wait`,
  // it is told when to try again.
  bool TakeSlot(const std::shared_ptr<Pusher>& pusher, size_t held, bool wait) EXCLUDES(mu_);
  void GiveSlot() EXCLUDES(mu_);
  // Tells those that wait for a slot that there is one.
  void AdvanceWaiting() EXCLUDES(mu_);
  void Forget(SubscriptionId id, const Pusher* pusher) EXCLUDES(mu_);

 private:
  Engine& engine_;
  PushMetrics& metrics_;
  const PushOptions options_;

  Mutex mu_;
  CondVar idle_;
  absl::flat_hash_map<SubscriptionId, std::shared_ptr<Pusher>> pushers_ GUARDED_BY(mu_);
  std::map<std::string, std::weak_ptr<CircuitBreaker>> breakers_ GUARDED_BY(mu_);
  size_t under_way_ GUARDED_BY(mu_) = 0;
  std::deque<std::weak_ptr<Pusher>> waiting_ GUARDED_BY(mu_);
  bool stopped_ GUARDED_BY(mu_) = false;

  HttpClient http_;
  WorkerPool workers_;
};

}  // namespace sluice::server
