// The engine as a part of a program: topics and subscriptions in memory or in a folder, with the
// guarantees of the server and without its sockets.
//
//   auto broker = Broker::Open({.folder = "/var/lib/shop"});
//   (*broker)->CreateTopic("projects/shop/topics/orders");
//   (*broker)->CreateSubscription("projects/shop/subscriptions/billing", "projects/shop/topics/orders");
//   auto subscriber = (*broker)->Subscribe("projects/shop/subscriptions/billing", [](const Message& message) {
//     ...
//     return Verdict::Ack();
//   });
//   auto publisher = (*broker)->OpenPublisher("projects/shop/topics/orders");
//   (*publisher)->Publish({.data = "hello"}).get();
//   (*broker)->Close(absl::Seconds(10));
//
// Names, limits and errors are those of docs/api.md. What is not here (updates, statistics, lists)
// the engine itself has: `engine()`.
//
// Thread rule: every member may be called from any thread. Those that return a result of the store
// wait for it, so they are not for callbacks of publishers; Close and the destructor are not for
// handlers either. Lifetime: publishers and subscribers may outlive the broker; they are closed
// with it.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/embedded/publisher.h"
#include "core/embedded/subscriber.h"
#include "core/engine/engine.h"
#include "core/storage/local/local_backend.h"
#include "core/storage/memory/memory_backend.h"

namespace sluice::embedded {

struct BrokerOptions {
  // Where messages are kept. In memory when empty: then in `memory`, where one is given, which may
  // be opened again.
  std::string folder = {};
  Durability durability = Durability::kFsync;
  std::shared_ptr<MemoryStore> memory = nullptr;
  // Memory for recent batches, shared by all topics.
  size_t tail_cache_bytes = size_t{64} << 20;
  // For tests: a clock of their own, which outlives everything here. engine().timers().RunDue() is
  // theirs to call then.
  const Clock* clock = nullptr;
};

// What all of a broker's parts refer to, and keep alive.
struct Foundation;

class Broker {
 public:
  // Fails as LocalBackend::Open does: DATA_FOLDER_IN_USE and others.
  static absl::StatusOr<std::unique_ptr<Broker>> Open(const BrokerOptions& options = {});
  // Closes, with 10 seconds.
  ~Broker();

  absl::Status CreateTopic(std::string_view name);
  absl::Status CreateTopic(TopicConfig config);
  absl::Status DeleteTopic(std::string_view name);
  absl::Status CreateSubscription(std::string_view name, std::string_view topic,
                                  StartPosition start = Latest{});
  absl::Status CreateSubscription(SubscriptionConfig config, StartPosition start = Latest{});
  absl::Status DeleteSubscription(std::string_view name);

  absl::StatusOr<std::unique_ptr<Publisher>> OpenPublisher(std::string_view topic,
                                                           PublisherOptions options = {});

  // The handler is called from now on, until the subscriber is closed.
  absl::StatusOr<std::unique_ptr<Subscriber>> Subscribe(std::string_view subscription,
                                                        Subscriber::Handler handler,
                                                        SubscriberOptions options = {});
  // For many messages a second: one call, and one verdict, for all that come together.
  absl::StatusOr<std::unique_ptr<Subscriber>> SubscribeBatches(std::string_view subscription,
                                                               Subscriber::BatchHandler handler,
                                                               SubscriberOptions options = {});

  // Subscribers first, so that handlers may still publish; then publishers; then the store. Within
  // `timeout`: what was not done by then is nacked (messages), answered with an error (publishes)
  // or left behind (threads of handlers that do not return), and the result is DEADLINE_EXCEEDED.
  // Messages are not lost by it: they come again.
  absl::Status Close(absl::Duration timeout);

  Engine& engine() { return *engine_; }
  const Metrics& metrics() const;

 private:
  explicit Broker(std::shared_ptr<Foundation> foundation) : foundation_(std::move(foundation)) {}

  absl::StatusOr<std::unique_ptr<Subscriber>> StartSubscriber(std::string_view name,
                                                              size_t messages_per_call,
                                                              Subscriber::BatchHandler handler,
                                                              SubscriberOptions options)
      EXCLUDES(mu_);

  const std::shared_ptr<Foundation> foundation_;
  std::unique_ptr<Engine> engine_;

  Mutex mu_;
  CondVar closed_;
  enum class State { kOpen, kClosing, kClosed } state_ GUARDED_BY(mu_) = State::kOpen;
  absl::Status result_ GUARDED_BY(mu_);
  std::vector<std::weak_ptr<PublisherCore>> publishers_ GUARDED_BY(mu_);
  std::vector<std::weak_ptr<SubscriberCore>> subscribers_ GUARDED_BY(mu_);
};

}  // namespace sluice::embedded
