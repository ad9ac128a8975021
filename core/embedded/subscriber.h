// Calls a handler for the messages of a subscription, on a bounded number of threads.
//
//   auto subscriber = broker->Subscribe("projects/shop/subscriptions/billing", [](const Message& message) {
//     ...
//     return Verdict::Ack();                    // or Verdict::Nack(absl::Seconds(5))
//   });
//   (*subscriber)->Close(absl::Seconds(10));
//
// A handler that throws nacks its message; so does one that takes longer than handler_timeout,
// whatever it returns later. Each is counted, and neither ends anything. While messages wait here
// or are handled their leases are prolonged, up to max_lease from their delivery; one whose lease
// was lost meanwhile is not handled here any more. At least once, as with the server.
//
// The threads are the subscription's own: a handler that hangs takes a thread from it and from no
// other subscription. With the last thread hung, what waits here is nacked and nothing is taken
// until one returns. A handler that never returns cannot be ended; Close leaves it behind,
// detached, with the message it was given and the handler itself kept alive, and counts it. (What
// the handler refers to is the program's to keep.)
//
// Thread rule: every member may be called from any thread; Close and the destructor not from a
// handler, nor from `ended`. Lifetime: the destructor closes, with 10 seconds.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "core/embedded/message.h"
#include "core/flow/handler_pool.h"
#include "core/flow/verdict.h"

namespace sluice::embedded {

struct SubscriberOptions {
  // Handlers that run at once; one at a time where the subscription keeps the order of keys.
  size_t concurrency = 4;
  // Messages and bytes that wait for handlers or are in them: no more are leased.
  int64_t max_outstanding_messages = 1000;
  int64_t max_outstanding_bytes = int64_t{64} << 20;
  absl::Duration handler_timeout = absl::Minutes(10);
  // How long a message waits after its handler threw or took too long.
  absl::Duration failure_delay = absl::Seconds(1);
  absl::Duration max_lease = absl::Hours(1);
  // Called once when the broker has nothing more for it (subscription deleted, say); must not
  // block.
  std::function<void(const absl::Status&)> ended = nullptr;
};

// Counted in messages, except for the threads.
struct SubscriberCounters : HandlerCounters {
  uint64_t received = 0;
  // Leases that were lost before a handler had time for them.
  uint64_t lost = 0;
  // Nacked before a handler had begun with them: at the end, or because every thread was in one
  // that had timed out.
  uint64_t not_started = 0;
  uint64_t threads_left_behind = 0;
};

class SubscriberCore;

class Subscriber {
 public:
  using Handler = std::function<Verdict(const Message&)>;
  // What came together; one verdict for all of it.
  using BatchHandler = std::function<Verdict(std::span<const Message>)>;

  explicit Subscriber(std::shared_ptr<SubscriberCore> core) : core_(std::move(core)) {}
  ~Subscriber();

  // Takes no more messages, gives back what no handler has begun with (it counts no attempt), gives
  // running handlers so much time. What they had then is nacked, and the result is
  // DEADLINE_EXCEEDED.
  absl::Status Close(absl::Duration timeout);

  SubscriberCounters counters() const;

 private:
  const std::shared_ptr<SubscriberCore> core_;
};

}  // namespace sluice::embedded
