// Publishes to one topic: collects messages into batches, keeps many batches in flight, sends again
// what was not answered when the connection was lost.
//
//   Publisher publisher(connection, "projects/shop/topics/orders");
//   publisher.Publish({.data = "hello"}, [](absl::StatusOr<uint64_t> id) {...});
//   std::future<absl::StatusOr<uint64_t>> id = publisher.Publish({.data = "world"});
//   publisher.Close(absl::Seconds(10));
//
// At least once: a batch that was stored, but whose answer was lost with the connection, is stored
// again, unless the publisher has a producer_id. Batches keep their order, also when they are sent
// again; one that the server refuses for the moment may be stored after later ones.
//
// Thread rule: every member may be called from any thread, but only Publish, with room to spare,
// from a callback. Callbacks come from threads of the library, in the order of the messages, with
// no lock held; they must not block. Lifetime: after ~Publisher no callback runs.
#pragma once

#include <future>
#include <memory>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/cpp/connection.h"
#include "client/cpp/message.h"
#include "client/cpp/publish_batch.h"
#include "client/cpp/stream.h"

namespace sluice::client {

struct PublisherOptions {
  // A batch goes when it has this many messages (1,000 at the most) or bytes, or when its first
  // message has waited this long. With a delay of 0 messages wait only while the write before
  // theirs is under way.
  size_t batch_messages = 100;
  size_t batch_bytes = size_t{1} << 20;
  absl::Duration batch_delay = absl::Milliseconds(1);
  // Given to Publish and not answered yet. Beyond that Publish waits for room, or refuses with
  // TOO_MUCH_IN_FLIGHT. One that is larger than the limit passes when nothing else is under way.
  size_t max_messages = 100'000;
  size_t max_bytes = size_t{64} << 20;
  enum class WhenFull { kBlock, kReject } when_full = WhenFull::kBlock;
  // A message that is not stored within this time fails with DEADLINE_EXCEEDED; it may be stored
  // all the same.
  absl::Duration deadline = absl::Seconds(60);
  // Names this producer, so that the server recognises a batch that comes again and stores it once.
  // One publisher at a time goes by a name: a later one fences those before, whose messages then
  // fail with PRODUCER_FENCED. At most 255 bytes; off when empty.
  std::string producer_id = {};
};

class PublisherCore;

class Publisher {
 public:
  // The message's id, or why it is not stored.
  using Done = PublishDone;

  Publisher(std::shared_ptr<Connection> connection, std::string topic,
            PublisherOptions options = {});
  // For tests: on streams and timers of their own, which must outlive it.
  Publisher(StreamFactory streams, const Clock& clock, TimerQueue& timers, std::string topic,
            PublisherOptions options);
  // Fails what is not answered with CANCELLED; call Close before.
  ~Publisher();

  void Publish(const Message& message, Done done);
  std::future<absl::StatusOr<uint64_t>> Publish(const Message& message);

  // All of `messages` as one batch, 1 to 1,000; `done` gets the id of the first, the others follow
  // by one.
  void PublishBatch(std::span<const Message> messages, Done done);

  // Sends what has been collected without waiting for the batch to fill.
  void Flush();

  // Sends everything and waits for the answers; later calls of Publish fail. What is not answered
  // in time fails with DEADLINE_EXCEEDED, which Close then returns.
  absl::Status Close(absl::Duration timeout);

 private:
  const std::shared_ptr<Connection> connection_;
  const std::shared_ptr<PublisherCore> core_;
};

}  // namespace sluice::client
