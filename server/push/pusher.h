// The consumer of one push subscription: each message it gets is one request to the endpoint, and
// the answer settles it.
//
// How many requests may be under way is a window: it begins small, grows by one with each success
// (so doubles with each round of answers) and is halved by each failure. A message that an endpoint
// refuses again while it acknowledges others says nothing about the endpoint: it counts neither
// there nor for the breaker. While the endpoint's circuit breaker is open nothing is taken from the
// engine, and what was taken is given back: messages wait in the log.
//
//   engine --(credit)--> waiting_ --(key free, breaker, slot)--> under way --(answer)--> acknowledged or refused
//
// Messages with an ordering key go one at a time for each key.
//
// A lease is renewed when its request begins; a message whose lease was lost while it waited is not
// sent.
//
// Thread rule: every member may be called from any thread; the engine and the HTTP client call
// back.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "core/base/mutex.h"
#include "core/engine/engine.h"
#include "core/flow/circuit_breaker.h"
#include "server/push/push_request.h"

namespace sluice::server {

class ActiveSpan;
class PushService;

class Pusher final : public Consumer, public std::enable_shared_from_this<Pusher> {
 public:
  static constexpr uint32_t kFirstWindow = 4;
  static constexpr uint32_t kMaxWindow = 256;
  // Of messages taken from the engine; one message may be larger.
  static constexpr int64_t kMaxBytes = int64_t{16} << 20;

  Pusher(PushService& service, std::shared_ptr<Subscription> subscription)
      : service_(service), subscription_(std::move(subscription)) {}

  // What the subscription is set to now; begins the first time. REQUIRES: config.push.
  void Configure(const SubscriptionConfig& config) EXCLUDES(mu_);
  // Takes no more and gives back what was not sent; requests under way go on.
  void Stop() EXCLUDES(mu_);
  // There may be room for a request of one that waited for it.
  void OnSlot() EXCLUDES(mu_);

  void Deliver(std::vector<Delivery>& deliveries) override EXCLUDES(mu_);
  void Ended(absl::Status why) override EXCLUDES(mu_);

 private:
  // What requests are made from, as it was when they began.
  struct Target {
    SubscriptionConfig config;
    std::shared_ptr<CircuitBreaker> breaker;
  };
  struct Job {
    PushedMessage message;
    LeaseId lease;
    // Empty where order does not count.
    std::string key;
    int64_t bytes = 0;

    LeaseRange leases() const { return {lease, lease}; }
    Delivery delivery() const {
      return {message.batch, message.index, message.index + 1, lease, message.attempt};
    }
  };
  struct Request {
    Job job;
    std::shared_ptr<const Target> target;
    CircuitBreaker::Call call;
    // From when it is sent; null where it is not traced.
    std::shared_ptr<ActiveSpan> span = nullptr;
  };

  // Credit and messages that the engine is to have again.
  struct GivenBack {
    ConsumerId consumer;
    int64_t credit = 0;
    std::vector<Delivery> unused;
  };

  // Unless it is attached already.
  void Attach() EXCLUDES(mu_);
  // When there is nothing for it but damaged messages; they may have been sought past by then.
  void AttachLater() REQUIRES(mu_);
  // Sends what may go, and asks the engine for more.
  void Advance() EXCLUDES(mu_);
  // The next one that may go; `back` when the breaker is open.
  std::optional<Request> Next(GivenBack* back) EXCLUDES(mu_);
  // Until the breaker may let one through.
  void Pause(absl::Duration delay, GivenBack* back) REQUIRES(mu_);
  void GiveBack(const GivenBack& back);
  std::vector<Delivery> TakeWaiting() REQUIRES(mu_);
  void Resume() EXCLUDES(mu_);
  void Send(Request request) EXCLUDES(mu_);
  // nullopt where nothing was sent.
  void Answered(const Request& request, Instant began, const std::optional<HttpOutcome>& outcome)
      EXCLUDES(mu_);
  // Whether the endpoint refuses a message that it had refused before, and has acknowledged another
  // one lately.
  bool RefusesAgain(const Job& job, const HttpOutcome& outcome, Instant now) const REQUIRES(mu_);
  // Asks the engine for as much as the window has room for; while memory is tight, for no more than
  // one at a time.
  void Grant() EXCLUDES(mu_);

  PushService& service_;
  const std::shared_ptr<Subscription> subscription_;

  Mutex mu_{LockRank::kSession};
  std::optional<ConsumerId> consumer_ GUARDED_BY(mu_);
  std::shared_ptr<const Target> target_ GUARDED_BY(mu_);
  std::deque<Job> waiting_ GUARDED_BY(mu_);
  absl::flat_hash_set<std::string> busy_keys_ GUARDED_BY(mu_);
  uint32_t window_ GUARDED_BY(mu_) = kFirstWindow;
  uint32_t under_way_ GUARDED_BY(mu_) = 0;
  // When the endpoint acknowledged a message last.
  Instant acked_at_ GUARDED_BY(mu_);
  // Granted to the engine and not delivered yet; below 0 for what came when it had just been taken
  // back.
  int64_t granted_ GUARDED_BY(mu_) = 0;
  // To be granted.
  int64_t bytes_left_ GUARDED_BY(mu_) = kMaxBytes;
  bool paused_ GUARDED_BY(mu_) = false;
  bool waits_for_slot_ GUARDED_BY(mu_) = false;
  bool stopped_ GUARDED_BY(mu_) = false;
  bool attaching_ GUARDED_BY(mu_) = false;
};

}  // namespace sluice::server
