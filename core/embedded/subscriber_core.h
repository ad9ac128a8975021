// The state behind a Subscriber: a consumer of the engine in front of a pool of handlers.
//
//   kIdle --Start--> kReceiving --Stop--> kStopping --> kStopped --Finish--> kFinishing --> kEnded
//
// Thread rule: every member may be called from any thread; one mutex guards all, and is never held
// while the engine or a handler is called. Once kEnded, nothing of the engine is touched: it may be
// gone.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "core/base/alarm.h"
#include "core/base/mutex.h"
#include "core/embedded/foundation.h"
#include "core/embedded/subscriber.h"
#include "core/engine/subscription.h"
#include "core/flow/credit_window.h"
#include "core/flow/handler_pool.h"

namespace sluice::embedded {

// Messages [begin, end) of a batch under consecutive leases.
struct Run {
  Delivery delivery;
  // Until when the leases hold, and how far they are prolonged.
  Instant leased_until;
  Instant lease_limit;

  size_t count() const { return delivery.count(); }
  Run TakeFront(size_t n) {
    Run front = *this;
    front.delivery.end = delivery.begin = delivery.begin + static_cast<uint32_t>(n);
    delivery.first_lease += n;
    return front;
  }
  LeaseRange leases() const { return {delivery.first_lease, delivery.first_lease + (count() - 1)}; }
  Credit credit() const {
    return {static_cast<int64_t>(count()),
            static_cast<int64_t>(delivery.batch->body_bytes(delivery.begin, delivery.end))};
  }
};

class SubscriberCore final : public Consumer,
                             public HandlerPool<Run>::Owner,
                             public std::enable_shared_from_this<SubscriberCore> {
 public:
  SubscriberCore(std::shared_ptr<Foundation> foundation, TimerQueue& timers,
                 std::shared_ptr<Subscription> subscription, SubscriberOptions options);

  // The handler gets at most `messages_per_call` at once.
  absl::Status Start(size_t messages_per_call, Subscriber::BatchHandler handler) EXCLUDES(mu_);
  // Takes no more, gives back what waits. False when that was done before.
  bool Stop() EXCLUDES(mu_);
  // After Stop: waits for the handlers, ends.
  absl::Status Finish(absl::Duration timeout) EXCLUDES(mu_);
  SubscriberCounters counters() const EXCLUDES(mu_);

  void Deliver(std::vector<Delivery>& deliveries) override;
  void Ended(absl::Status why) override;
  void OnHandled(const Run& run, HandlerEvent event,
                 const std::optional<Verdict>& verdict) override;
  // From `alarm_`.
  void OnAlarm() EXCLUDES(mu_);

 private:
  enum class State { kIdle, kReceiving, kStopping, kStopped, kFinishing, kEnded };

  std::optional<Verdict> Call(const Run& run, const Subscriber::BatchHandler& handler)
      EXCLUDES(mu_);
  // The credit that is not used, and what no handler has begun with.
  void GiveBack(Subscription& subscription, ConsumerId id) EXCLUDES(mu_);
  void Count(const Run& run, HandlerEvent event);

  const std::shared_ptr<Foundation> foundation_;
  const SubscriberOptions options_;
  const std::shared_ptr<HandlerPool<Run>> pool_;

  mutable Mutex mu_{LockRank::kSession};
  // Somebody's Stop or Finish is done.
  CondVar ended_;
  State state_ GUARDED_BY(mu_) = State::kIdle;
  absl::Status result_ GUARDED_BY(mu_);
  // Null once kEnded.
  std::shared_ptr<Subscription> subscription_ GUARDED_BY(mu_);
  ConsumerId id_ GUARDED_BY(mu_);
  absl::Duration ack_deadline_ GUARDED_BY(mu_);
  Alarm alarm_ GUARDED_BY(mu_);
  CreditWindow window_ GUARDED_BY(mu_);
  SubscriberCounters counters_ GUARDED_BY(mu_);
};

}  // namespace sluice::embedded
