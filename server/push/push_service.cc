#include "server/push/push_service.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "server/push/endpoint.h"

namespace sluice::server {
namespace {

constexpr size_t kWorkers = 2;
// How many of those that wait for a slot are told of one that is free: some of them may have as
// many as they may.
constexpr size_t kToldOfASlot = 4;

// Backs off from 100 ms to 60 s, as the service does.
BreakerOptions EndpointBreaker() {
  BreakerOptions options;
  options.failure_ratio = 0.9;
  options.consecutive_failures = 5;
  // The ack deadline says how long an answer may take.
  options.slow_ratio = 0;
  options.stalled_call = absl::ZeroDuration();
  options.open_time = absl::Milliseconds(100);
  options.max_open_time = absl::Seconds(60);
  return options;
}

}  // namespace

PushService::PushService(Engine& engine, PushMetrics& metrics, PushOptions options)
    : engine_(engine),
      metrics_(metrics),
      options_(std::move(options)),
      http_(options_.http),
      workers_({.threads = kWorkers, .max_queued = options_.max_requests}) {}

void PushService::Start() {
  for (const auto& subscription : engine_.ListSubscriptions("", "", SIZE_MAX))
    OnConfigured(subscription);
}

void PushService::OnConfigured(const std::shared_ptr<Subscription>& subscription) {
  const SubscriptionConfig config = subscription->config();
  std::shared_ptr<Pusher> pusher;
  {
    MutexLock lock(mu_);
    if (stopped_) return;
    const auto known = pushers_.find(subscription->id());
    if (known != pushers_.end()) {
      pusher = known->second;
      if (!config.push) pushers_.erase(known);
    } else if (config.push) {
      pusher = std::make_shared<Pusher>(*this, subscription);
      pushers_.emplace(subscription->id(), pusher);
    }
  }
  if (pusher == nullptr) return;
  config.push ? pusher->Configure(config) : pusher->Stop();
}

void PushService::Forget(SubscriptionId id, const Pusher* pusher) {
  std::shared_ptr<Pusher> gone;  // destroyed outside the lock
  MutexLock lock(mu_);
  const auto it = pushers_.find(id);
  if (it == pushers_.end() || it->second.get() != pusher) return;
  gone = std::move(it->second);
  pushers_.erase(it);
}

std::shared_ptr<CircuitBreaker> PushService::BreakerOf(const std::string& endpoint) {
  const auto tell = [this, endpoint](const BreakerChange& change) {
    metrics_.breakers.CountChange(static_cast<size_t>(change.to));
    if (options_.on_breaker)
      options_.on_breaker({BreakerKind::kPush, std::string(WithoutQuery(endpoint)), change});
  };
  MutexLock lock(mu_);
  std::erase_if(breakers_, [](const auto& entry) { return entry.second.expired(); });
  auto& known = breakers_[endpoint];
  auto breaker = known.lock();
  if (breaker == nullptr) {
    breaker = std::make_shared<CircuitBreaker>(endpoint, EndpointBreaker(), engine_.clock(), tell);
    known = breaker;
  }
  return breaker;
}

bool PushService::TakeSlot(const std::shared_ptr<Pusher>& pusher, size_t held, bool wait) {
  MutexLock lock(mu_);
  if (held < options_.max_requests - under_way_) {
    ++under_way_;
    return true;
  }
  if (wait) waiting_.push_back(pusher);
  return false;
}

void PushService::GiveSlot() {
  MutexLock lock(mu_);
  if (--under_way_ == 0) idle_.NotifyAll();
}

void PushService::AdvanceWaiting() {
  std::vector<std::weak_ptr<Pusher>> next;
  {
    MutexLock lock(mu_);
    for (; next.size() < kToldOfASlot && !waiting_.empty(); waiting_.pop_front())
      next.push_back(waiting_.front());
  }
  for (const auto& weak : next) {
    if (auto pusher = weak.lock()) pusher->OnSlot();
  }
}

void PushService::Stop(absl::Duration timeout) {
  absl::flat_hash_map<SubscriptionId, std::shared_ptr<Pusher>> pushers;
  {
    MutexLock lock(mu_);
    stopped_ = true;
    pushers.swap(pushers_);
  }
  for (const auto& [id, pusher] : pushers) pusher->Stop();
  {
    const Clock& clock = engine_.clock();
    const Instant end = clock.Now() + timeout;
    MutexLock lock(mu_);
    while (under_way_ > 0 && clock.Now() < end) idle_.WaitFor(lock, end - clock.Now());
  }
  http_.Stop();
  workers_.Shutdown(absl::InfiniteDuration());
}

}  // namespace sluice::server
