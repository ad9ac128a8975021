// Publishes to one topic: collects messages into batches, keeps many in flight, resends what was not answered when the
// connection was lost.
//
//   Publisher publisher(connection, "projects/shop/topics/orders", {});
//   publisher.Publish({.data = "hello"}, [](absl::StatusOr<uint64_t> id) {...});
//   std::future<absl::StatusOr<uint64_t>> id = publisher.Publish({.data = "world"});
//   publisher.Flush();
//   publisher.Close(absl::Seconds(10));
//
// At least once: a batch that was stored, but whose answer was lost with the connection, is stored again. Batches keep
// their order, also when they are resent.
//
// Thread rule: every member may be called from any thread. Callbacks come from a thread of the library, in the order of
// the messages, with no lock held; they must not block.
#pragma once

#include <functional>
#include <future>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/cpp/connection.h"
#include "client/cpp/stream.h"
#include "core/base/timer_queue.h"

namespace sluice::client {

struct Message {
  std::string data = {};
  std::vector<std::pair<std::string, std::string>> attributes = {};
  std::string ordering_key = {};
  uint32_t priority = 0;
};

struct PublisherOptions {
  // A batch goes when it has this many messages or bytes, or its first message has waited this long.
  size_t batch_messages = 100;
  size_t batch_bytes = size_t{1} << 20;
  absl::Duration batch_delay = absl::Milliseconds(5);
  // Not answered yet; beyond that Publish waits, or refuses with RESOURCE_EXHAUSTED.
  size_t max_messages = 100'000;
  size_t max_bytes = size_t{64} << 20;
  enum class WhenFull { kBlock, kReject } when_full = WhenFull::kBlock;
  // A message that is not stored within this time fails with DEADLINE_EXCEEDED.
  absl::Duration deadline = absl::Seconds(60);
};

class Publisher {
 public:
  // The message's id, or why it is not stored.
  using Done = std::function<void(absl::StatusOr<uint64_t>)>;

  Publisher(std::shared_ptr<Connection> connection, std::string topic, PublisherOptions options = {});
  // For tests: other streams, and timers that the test runs (null for the publisher's own).
  Publisher(StreamFactory streams, std::string topic, PublisherOptions options, const Clock& clock, TimerQueue* timers);
  // Fails what is not answered with CANCELLED; call Close before.
  ~Publisher();

  void Publish(const Message& message, Done done);
  std::future<absl::StatusOr<uint64_t>> Publish(const Message& message);

  // All of `messages` as one batch, at most 1,000; `done` gets the id of the first, the others follow by one.
  void PublishBatch(const std::vector<Message>& messages, Done done);

  // Sends what has been collected without waiting for the batch to fill.
  void Flush();

  // Sends and waits for the answers; DEADLINE_EXCEEDED when there is no time left. Later calls fail.
  absl::Status Close(absl::Duration timeout);

 private:
  class Impl;
  // The publisher's own; null where a test brought others.
  std::shared_ptr<TimerQueue> own_timers_;
  std::shared_ptr<Impl> impl_;
};

}  // namespace sluice::client
