// Receives from a subscription and hands messages to a handler on a bounded pool of threads.
//
//   Subscriber subscriber(connection, {.subscription = "projects/shop/subscriptions/billing"});
//   subscriber.Start([](const ReceivedMessage& message) {
//     ...
//     return Verdict::Ack();                    // or Verdict::Nack(absl::Seconds(5))
//   });
//   subscriber.Stop(absl::Seconds(10));
//
// A handler that throws nacks its message; so does one that takes longer than handler_timeout,
// whatever it returns later. Leases are prolonged while messages wait here or are handled. When the
// connection is lost it is made again, and what was not acknowledged comes again: at least once.
// What waiting cannot repair (no such subscription) ends the subscriber.
//
// For many messages a second use StartBatches: one call of the handler and one range of acks for
// all that came together.
//
// Thread rule: every member may be called from any thread; Stop and the destructor not from a
// handler, from `finished` or `confirmed`. Lifetime: the destructor waits for handlers that are
// running; after it none runs.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/cpp/connection.h"
#include "client/cpp/received.h"
#include "client/cpp/stream.h"
#include "core/flow/verdict.h"
#include "sluice/v1/pubsub.pb.h"

namespace sluice::client {

struct SubscriberOptions {
  // Handlers that run at once; one at a time where the subscription keeps the order of keys.
  size_t concurrency = 4;
  // Messages and bytes on their way to handlers or in them: the server is granted no more.
  int64_t max_outstanding_messages = 1000;
  int64_t max_outstanding_bytes = int64_t{64} << 20;
  absl::Duration handler_timeout = absl::Minutes(10);
  // How long a message waits after its handler threw or took too long.
  absl::Duration failure_delay = absl::Seconds(1);
  // For the server's statistics.
  std::string client_id = {};
  // For subscriptions with exactly-once delivery: told of each acknowledged message whether it is
  // done with for good (OK), or why it may be delivered again: LEASE_OVER when the lease was over,
  // UNAVAILABLE when the stream ended before the answer, and the next one did not find the lease
  // again. Must not block.
  std::function<void(uint64_t message_id, const absl::Status& status)> confirmed = nullptr;
  // Called once when the subscriber ends by itself; must not block.
  std::function<void(const absl::Status&)> finished = nullptr;
};

// What to receive: a subscription, or (when that is empty) a topic through a subscription of the
// stream's own, which begins at `start`, gets what matches `filter`, and leaves no trace. Such a
// one goes on behind what it had received when its connection was lost.
struct SubscriberTarget {
  std::string subscription = {};
  std::string topic = {};
  v1::StartPosition start = {};
  std::string filter = {};
};

using sluice::Verdict;

// Counted in messages, except for the connections.
struct SubscriberCounters {
  uint64_t received = 0;
  uint64_t acked = 0;
  // Those below included.
  uint64_t nacked = 0;
  uint64_t threw = 0;
  uint64_t timed_out = 0;
  uint64_t connections = 0;
};

class SubscriberCore;

class Subscriber {
 public:
  using Handler = std::function<Verdict(const ReceivedMessage&)>;
  // Everything that came in one response; one verdict for all of it.
  using BatchHandler = std::function<Verdict(std::span<const ReceivedMessage>)>;

  Subscriber(std::shared_ptr<Connection> connection, SubscriberTarget target,
             SubscriberOptions options = {});
  // For tests: on streams and timers of their own, which must outlive it.
  Subscriber(StreamFactory streams, const Clock& clock, TimerQueue& timers, SubscriberTarget target,
             SubscriberOptions options);
  // Takes no more messages, waits for handlers that are running.
  ~Subscriber();

  // One of these, once.
  void Start(Handler handler);
  void StartBatches(BatchHandler handler);

  // Takes no more messages, waits for the handlers that are running, tells the server their
  // verdicts. DEADLINE_EXCEEDED when that was not done in time.
  absl::Status Stop(absl::Duration timeout);

  SubscriberCounters counters() const;

 private:
  const std::shared_ptr<Connection> connection_;
  const std::shared_ptr<SubscriberCore> core_;
};

}  // namespace sluice::client
