// What puts the load of `sluice bench` on a server, one implementation for each API. When to send
// what is decided by the benchmark; a load sends it, and tells the tally what became of it.
//
//   std::unique_ptr<Load> load = GoogleLoad(session, options, &tally);
//   load->SetUp();
//   std::unique_ptr<LoadPublisher> publisher = load->Publish(0);
//   publisher->Send(batch);                                // waits for room
//   publisher->Close();                                    // waits for the answers
//
// Thread rule: Publish may be called from any thread, everything else is for one. Lifetime:
// session, options and tally outlive the load, the load what it made, and subscribers are stopped.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "client/cli/bench/tally.h"
#include "client/cli/session.h"
#include "fmt/format.h"

namespace sluice::cli {

// Names of topics end in as many digits, so that a request can be changed from one topic to another
// in its place.
inline constexpr size_t kTopicDigits = 6;

struct LoadOptions {
  // Full names; where there are several, what all names begin with.
  std::string topic;
  std::string subscription;
  // Topics with a subscription each, or subscriptions of one topic: one of the two is 1. Batches go
  // to the topics in turn.
  size_t topics = 1;
  size_t subscriptions = 1;
  // Otherwise the topic is there already, and stays.
  bool own_topic = true;
  size_t batch = 100;
  // Of a payload; it has room for a stamp.
  size_t size = 100;
  // Requests that a publisher keeps in flight.
  size_t inflight = 16;
  // Message number n of a publisher has its key number n % keys; 0 for none.
  uint64_t keys = 0;
  bool ordered = false;
  bool exactly_once = false;
  // Whether batches are sent at a rate, not as fast as it goes.
  bool paced = false;

  size_t all_subscriptions() const { return topics * subscriptions; }
  // Subscription number n is of topic number n, or of the only one.
  std::string TopicOf(size_t number) const { return topics == 1 ? topic : Numbered(topic, number); }
  std::string SubscriptionOf(size_t number) const {
    return all_subscriptions() == 1 ? subscription : Numbered(subscription, number);
  }

 private:
  static std::string Numbered(const std::string& name, size_t number) {
    return fmt::format("{}-{:0{}}", name, number, kTopicDigits);
  }
};

class LoadPublisher {
 public:
  virtual ~LoadPublisher() = default;
  // REQUIRES: batches come in order, each with LoadOptions::batch messages.
  virtual void Send(const Batch& batch) = 0;
  virtual void Close() = 0;
};

class LoadSubscriber {
 public:
  virtual ~LoadSubscriber() = default;
  // Returns when the server has answered, or the end is known.
  virtual void WaitUntilOpen() {}
  // Returns when what was received is acknowledged.
  virtual void Stop() = 0;
};

class Load {
 public:
  virtual ~Load() = default;
  // Makes the topics and the subscriptions.
  virtual absl::Status SetUp() = 0;
  // Deletes them.
  virtual void CleanUp() = 0;
  // Each with a connection of its own.
  virtual std::unique_ptr<LoadPublisher> Publish(size_t number) = 0;
  // Number n is for the subscription number n % LoadOptions::all_subscriptions().
  virtual std::shared_ptr<LoadSubscriber> Subscribe(size_t number) = 0;
};

// Over sluice.v1: the streams Publish and Subscribe.
std::unique_ptr<Load> NativeLoad(const Session& session, const LoadOptions& options, Tally* tally);
// Over google.pubsub.v1: unary Publish, and StreamingPull with the acknowledgements on the stream.
std::unique_ptr<Load> GoogleLoad(const Session& session, const LoadOptions& options, Tally* tally);

// At most this many messages are out to a subscriber and not acknowledged.
inline int64_t MaxOutstanding(const LoadOptions& options) {
  return static_cast<int64_t>(std::max<size_t>(10'000, 4 * options.batch * options.inflight));
}

}  // namespace sluice::cli
