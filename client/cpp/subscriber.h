// Receives from a subscription and hands messages to a handler on a bounded pool of threads.
//
//   Subscriber subscriber(connection, {.subscription = "projects/shop/subscriptions/billing"});
//   subscriber.Start([](const ReceivedMessage& message) {
//     ...
//     return Verdict::Ack();                    // or Verdict::Nack(absl::Seconds(5))
//   });
//   subscriber.Stop(absl::Seconds(10));
//
// A handler that throws nacks its message; so does one that takes longer than handler_timeout, whatever it returns later.
// Leases are prolonged while messages wait or are handled. When the connection is lost it is opened again, and what was
// not acknowledged comes again. What cannot be repaired (the subscription does not exist) ends the subscriber: `finished`.
//
// Thread rule: every member may be called from any thread, except that Stop must not be called from a handler.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/cpp/connection.h"
#include "client/cpp/received.h"
#include "client/cpp/stream.h"
#include "core/base/timer_queue.h"
#include "sluice/v1/pubsub.pb.h"

namespace sluice::client {

struct SubscriberOptions {
  // Handlers that run at once.
  size_t concurrency = 4;
  // Messages and bytes received and not settled yet.
  int64_t max_outstanding_messages = 1000;
  int64_t max_outstanding_bytes = int64_t{64} << 20;
  absl::Duration handler_timeout = absl::Minutes(10);
  // For the server's statistics.
  std::string client_id = {};
  // Called once when the subscriber ends by itself.
  std::function<void(const absl::Status&)> finished = nullptr;
};

// What to receive: a subscription, or (when that is empty) a topic through a subscription that lives as long as the
// stream and begins at `start`.
struct SubscriberTarget {
  std::string subscription = {};
  std::string topic = {};
  v1::StartPosition start = {};
};

// What becomes of a message.
class Verdict {
 public:
  static Verdict Ack() { return Verdict(true, absl::ZeroDuration()); }
  static Verdict Nack(absl::Duration delay = absl::ZeroDuration()) { return Verdict(false, delay); }

  bool acked() const { return acked_; }
  absl::Duration delay() const { return delay_; }

 private:
  Verdict(bool acked, absl::Duration delay) : acked_(acked), delay_(delay) {}
  bool acked_;
  absl::Duration delay_;
};

class Subscriber {
 public:
  using Handler = std::function<Verdict(const ReceivedMessage&)>;
  // Everything that came in one response at once; one verdict for all of it.
  using BatchHandler = std::function<Verdict(const std::vector<ReceivedMessage>&)>;

  struct Counters {
    uint64_t received = 0;
    uint64_t acked = 0;
    uint64_t nacked = 0;
    // Handlers that threw, and that took too long; their messages are nacked.
    uint64_t threw = 0;
    uint64_t timed_out = 0;
    uint64_t connections = 0;
  };

  Subscriber(std::shared_ptr<Connection> connection, SubscriberTarget target, SubscriberOptions options = {});
  // For tests: other streams, and timers that the test runs (null for the subscriber's own).
  Subscriber(StreamFactory streams, SubscriberTarget target, SubscriberOptions options, const Clock& clock,
             TimerQueue* timers);
  // Stops at once.
  ~Subscriber();

  // One of these, once.
  void Start(Handler handler);
  void StartBatches(BatchHandler handler);

  // Takes no more messages, lets handlers finish, sends their verdicts. DEADLINE_EXCEEDED when some were still running.
  absl::Status Stop(absl::Duration timeout);

  Counters counters() const;

 private:
  class Impl;
  // The subscriber's own; null where a test brought others.
  std::shared_ptr<TimerQueue> own_timers_;
  std::shared_ptr<Impl> impl_;
};

}  // namespace sluice::client
