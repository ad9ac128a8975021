// Publishes to one topic of a broker: collects messages into batches, answers when they are
// durable.
//
//   publisher->Publish({.data = "hello"}, [](absl::StatusOr<uint64_t> id) {...});
//   absl::StatusOr<uint64_t> id = publisher->Publish({.data = "world"}).get();
//   publisher->PublishBatch(messages).get();
//
// Messages are checked one by one, so that a bad one does not take those beside it along. They are
// stored in the order in which they were given. A topic that was deleted stays so for its
// publishers: NOT_FOUND.
//
// Thread rule: every member may be called from any thread, but from a callback only Publish, with
// room to spare. Callbacks come on any thread, possibly before Publish returns, in the order of the
// messages, with no lock held; they must not block. One that throws is counted, and that is all.
// Lifetime: the destructor publishes what has been collected and waits for the answers (Close, 10
// seconds).
#pragma once

#include <functional>
#include <future>
#include <memory>
#include <span>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/message/batch.h"

namespace sluice::embedded {

struct PublisherOptions {
  // A batch goes when it has this many messages (1,000 at the most) or bytes, or when its first
  // message has waited this long. With a delay of 0 messages wait only while those before theirs
  // are being handed to the store.
  size_t batch_messages = 100;
  size_t batch_bytes = size_t{1} << 20;
  absl::Duration batch_delay = absl::ZeroDuration();
  // Given to Publish and not answered yet. Beyond that Publish waits for room, or refuses with
  // TOO_MUCH_IN_FLIGHT. One that is larger than the limit passes when nothing else is under way.
  size_t max_messages = 100'000;
  size_t max_bytes = size_t{64} << 20;
  enum class WhenFull { kBlock, kReject } when_full = WhenFull::kBlock;
};

class PublisherCore;

class Publisher {
 public:
  // The message's id, or why it is not stored.
  using Done = std::function<void(absl::StatusOr<uint64_t>)>;
  using Result = std::future<absl::StatusOr<uint64_t>>;

  explicit Publisher(std::shared_ptr<PublisherCore> core) : core_(std::move(core)) {}
  ~Publisher();

  void Publish(const OutgoingMessage& message, Done done);
  Result Publish(const OutgoingMessage& message);

  // All of `messages` as one batch, 1 to 1,000, stored together or not at all. The id is that of
  // the first, the others follow by one.
  void PublishBatch(std::span<const OutgoingMessage> messages, Done done);
  Result PublishBatch(std::span<const OutgoingMessage> messages);

  // Publishes what has been collected without waiting for the batch to fill.
  void Flush();

  // Publishes everything and waits for the answers; later calls of Publish fail with DRAINING.
  // DEADLINE_EXCEEDED when some did not come in time.
  absl::Status Close(absl::Duration timeout);

 private:
  const std::shared_ptr<PublisherCore> core_;
};

}  // namespace sluice::embedded
