#include "core/embedded/broker.h"

#include <algorithm>
#include <utility>

#include "core/embedded/foundation.h"
#include "core/embedded/publisher_core.h"
#include "core/embedded/subscriber_core.h"

namespace sluice::embedded {
namespace {

// Of the time to close, kept for publishers and the store.
constexpr double kFlushShare = 0.2;

// Calls `start` with a callback and waits for its result.
template <class T, class Fn>
T Await(Fn start) {
  auto promise = std::make_shared<std::promise<T>>();
  std::future<T> result = promise->get_future();
  start([promise](T value) { promise->set_value(std::move(value)); });
  return result.get();
}

absl::StatusOr<std::unique_ptr<Backend>> OpenStore(const BrokerOptions& options,
                                                   Foundation& foundation) {
  if (options.folder.empty()) {
    return std::make_unique<MemoryBackend>(
        options.memory != nullptr ? options.memory : std::make_shared<MemoryStore>());
  }
  return LocalBackend::Open({.data_dir = options.folder, .durability = options.durability},
                            foundation.clock, foundation.metrics.store);
}

// Adds to a list that does not keep what it lists.
template <class T>
void Remember(std::vector<std::weak_ptr<T>>* list, const std::shared_ptr<T>& entry) {
  std::erase_if(*list, [](const auto& other) { return other.expired(); });
  list->push_back(entry);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Broker>> Broker::Open(const BrokerOptions& options) {
  auto foundation = std::make_shared<Foundation>(options.clock);
  auto broker = std::unique_ptr<Broker>(new Broker(foundation));
  auto store = OpenStore(options, *foundation);
  if (!store.ok()) return store.status();
  auto engine = Engine::Open(
      *std::move(store), foundation->clock, foundation->metrics,
      {.tail_cache_bytes = options.tail_cache_bytes, .run_timers = options.clock == nullptr});
  if (!engine.ok()) return engine.status();
  broker->engine_ = *std::move(engine);
  return broker;
}

Broker::~Broker() {
  if (engine_ != nullptr) Close(absl::Seconds(10)).IgnoreError();
}

const Metrics& Broker::metrics() const { return foundation_->metrics; }

absl::Status Broker::CreateTopic(std::string_view name) {
  auto parsed = TopicName::Parse(name);
  if (!parsed.ok()) return parsed.status();
  TopicConfig config;
  config.name = *std::move(parsed);
  return CreateTopic(std::move(config));
}

absl::Status Broker::CreateTopic(TopicConfig config) {
  return Await<absl::StatusOr<TopicConfig>>(
             [&](auto done) { engine_->CreateTopic(std::move(config), done); })
      .status();
}

absl::Status Broker::DeleteTopic(std::string_view name) {
  auto parsed = TopicName::Parse(name);
  if (!parsed.ok()) return parsed.status();
  return Await<absl::Status>([&](auto done) { engine_->DeleteTopic(*parsed, done); });
}

absl::Status Broker::CreateSubscription(std::string_view name, std::string_view topic,
                                        StartPosition start) {
  auto parsed = SubscriptionName::Parse(name);
  if (!parsed.ok()) return parsed.status();
  auto parsed_topic = TopicName::Parse(topic);
  if (!parsed_topic.ok()) return parsed_topic.status();
  SubscriptionConfig config;
  config.name = *std::move(parsed);
  config.topic = *std::move(parsed_topic);
  return CreateSubscription(std::move(config), start);
}

absl::Status Broker::CreateSubscription(SubscriptionConfig config, StartPosition start) {
  return Await<absl::StatusOr<SubscriptionConfig>>(
             [&](auto done) { engine_->CreateSubscription(std::move(config), start, done); })
      .status();
}

absl::Status Broker::DeleteSubscription(std::string_view name) {
  auto parsed = SubscriptionName::Parse(name);
  if (!parsed.ok()) return parsed.status();
  return Await<absl::Status>([&](auto done) { engine_->DeleteSubscription(*parsed, done); });
}

absl::StatusOr<std::unique_ptr<Publisher>> Broker::OpenPublisher(std::string_view topic,
                                                                 PublisherOptions options) {
  auto name = TopicName::Parse(topic);
  if (!name.ok()) return name.status();
  auto found = engine_->FindTopic(*name);
  if (!found.ok()) return found.status();
  auto core =
      std::make_shared<PublisherCore>(foundation_, engine_->timers(), *std::move(found), options);
  MutexLock lock(mu_);
  if (state_ != State::kOpen) return DrainingError();
  Remember(&publishers_, core);
  return std::make_unique<Publisher>(std::move(core));
}

absl::StatusOr<std::unique_ptr<Subscriber>> Broker::Subscribe(std::string_view subscription,
                                                              Subscriber::Handler handler,
                                                              SubscriberOptions options) {
  return StartSubscriber(
      subscription, 1,
      [handler = std::move(handler)](std::span<const Message> messages) {
        return handler(messages.front());
      },
      std::move(options));
}

absl::StatusOr<std::unique_ptr<Subscriber>> Broker::SubscribeBatches(
    std::string_view subscription, Subscriber::BatchHandler handler, SubscriberOptions options) {
  return StartSubscriber(subscription, SIZE_MAX, std::move(handler), std::move(options));
}

absl::StatusOr<std::unique_ptr<Subscriber>> Broker::StartSubscriber(
    std::string_view name, size_t messages_per_call, Subscriber::BatchHandler handler,
    SubscriberOptions options) {
  auto parsed = SubscriptionName::Parse(name);
  if (!parsed.ok()) return parsed.status();
  auto found = engine_->FindSubscription(*parsed);
  if (!found.ok()) return found.status();
  auto core = std::make_shared<SubscriberCore>(foundation_, engine_->timers(), *std::move(found),
                                               std::move(options));
  auto subscriber = std::make_unique<Subscriber>(core);
  // Known before it starts, so that Close misses none.
  {
    MutexLock lock(mu_);
    if (state_ != State::kOpen) return DrainingError();
    Remember(&subscribers_, core);
  }
  if (absl::Status status = core->Start(messages_per_call, std::move(handler)); !status.ok())
    return status;
  return subscriber;
}

absl::Status Broker::Close(absl::Duration timeout) {
  const SystemClock clock;
  const Instant end = clock.Now() + timeout;
  const Instant handlers_end = clock.Now() + timeout * (1 - kFlushShare);
  std::vector<std::weak_ptr<PublisherCore>> publishers;
  std::vector<std::weak_ptr<SubscriberCore>> subscribers;
  {
    MutexLock lock(mu_);
    // Two may close at once; one does.
    while (state_ == State::kClosing && clock.Now() < end) closed_.WaitFor(lock, end - clock.Now());
    if (state_ != State::kOpen) return result_;
    state_ = State::kClosing;
    publishers.swap(publishers_);
    subscribers.swap(subscribers_);
  }
  absl::Status result;
  std::vector<std::pair<std::shared_ptr<SubscriberCore>, bool>> stopped;
  for (const auto& weak : subscribers) {
    if (auto core = weak.lock()) stopped.emplace_back(core, core->Stop());
  }
  for (const auto& [core, by_us] : stopped) {
    const absl::Status finished = core->Finish(handlers_end - clock.Now());
    // The others have said to those who closed them how that went.
    if (by_us) result.Update(finished);
  }
  for (const auto& weak : publishers) {
    if (auto core = weak.lock()) result.Update(core->Close(end - clock.Now()));
  }
  result.Update(engine_->Shutdown(std::max(end - clock.Now(), absl::ZeroDuration())));
  MutexLock lock(mu_);
  state_ = State::kClosed;
  result_ = result;
  closed_.NotifyAll();
  return result;
}

}  // namespace sluice::embedded
