// Every public call of engine, topic and subscription, and of what embeds them, from eight threads
// at once. What it proves it proves under ThreadSanitizer (preset tsan); elsewhere, that nothing
// hangs, crashes or breaks the order of locks.
#include "tests/support/batches.h"
#include "tests/support/broker_fixture.h"

namespace sluice::embedded {
namespace {

constexpr int kThreads = 8;
constexpr int kRounds = 400;

// A consumer that settles what it gets on the spot, each time in another way.
class FickleConsumer : public Consumer {
 public:
  explicit FickleConsumer(std::weak_ptr<Subscription> subscription)
      : subscription_(std::move(subscription)) {}

  void Deliver(std::vector<Delivery>& deliveries) override {
    const auto subscription = subscription_.lock();
    if (subscription == nullptr) return;
    for (const Delivery& delivery : deliveries) {
      const LeaseRange leases = delivery.leases();
      switch (turn_++ % 5) {
        case 0:
          subscription->Ack(id, {leases});
          break;
        case 1:
          subscription->Nack(id, leases, absl::ZeroDuration());
          break;
        case 2:
          subscription->Extend(id, leases, absl::Seconds(60));
          break;
        case 3:
          subscription->AckConfirmed(id, {leases}, [](const AckOutcome&) {});
          break;
        default:
          break;  // held until the consumer goes
      }
    }
  }
  void Ended(absl::Status) override {}

  // Set before there is credit.
  ConsumerId id;

 private:
  const std::weak_ptr<Subscription> subscription_;
  int turn_ = 0;
};

class RaceConditions : public testing::Test {
 protected:
  // fn(thread, round), on all threads at once.
  template <class Fn>
  static void OnThreads(Fn fn) {
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&fn, t] {
        for (int round = 0; round < kRounds; ++round) fn(t, round);
      });
    }
    for (std::thread& thread : threads) thread.join();
  }

  static TopicName TopicOf(int n) {
    return *TopicName::Parse("projects/test/topics/topic" + std::to_string(n));
  }
  static SubscriptionName SubscriptionOf(int n) {
    return *SubscriptionName::Parse("projects/test/subscriptions/sub" + std::to_string(n));
  }
  static SnapshotName SnapshotOf(int n) {
    return *SnapshotName::Parse("projects/test/snapshots/snap" + std::to_string(n));
  }
  static TopicConfig ConfigOf(const TopicName& name, int round = 0) {
    TopicConfig config;
    config.name = name;
    config.labels["round"] = std::to_string(round);
    config.retention_bytes = round % 2 == 0 ? 0 : kMinRetentionBytes;
    return config;
  }
  static SubscriptionConfig ConfigOf(const SubscriptionName& name, const TopicName& topic,
                                     int round = 0) {
    SubscriptionConfig config;
    config.name = name;
    config.topic = topic;
    config.ack_deadline = absl::Seconds(10 + round % 50);
    config.ordered = name == SubscriptionOf(1);
    config.priority_delivery = name == SubscriptionOf(2);
    return config;
  }

  void CallEngine(int call, int round) {
    Engine& engine = broker_->engine();
    const TopicName topic = TopicOf(round % 3);
    const SubscriptionName subscription = SubscriptionOf(round % 3);
    const auto ignore = [](const auto&) {};
    switch (call % 18) {
      case 0:
        return engine.CreateTopic(ConfigOf(topic), ignore);
      case 1:
        return engine.UpdateTopic(ConfigOf(topic, round), ignore);
      case 2:
        return round % 20 == 0 ? engine.DeleteTopic(topic, ignore)
                               : engine.CreateTopic(ConfigOf(topic), ignore);
      case 3:
        return engine.CreateSubscription(ConfigOf(subscription, topic), Earliest{}, ignore);
      case 4:
        return engine.UpdateSubscription(ConfigOf(subscription, topic, round), ignore);
      case 5:
        if (round % 15 == 0) engine.DeleteSubscription(subscription, ignore);
        return engine.CreateSubscription(ConfigOf(subscription, topic), Latest{}, ignore);
      case 6:
        return ignore(engine.FindTopic(topic));
      case 7:
        return ignore(engine.FindSubscription(subscription));
      case 8:
        return ignore(engine.ListTopics("projects/test", "", 10));
      case 9:
        return ignore(engine.ListSubscriptions("", subscription.full(), 10));
      case 10:
        return engine.OpenEphemeral(ConfigOf(subscription, topic), absl::Now() - absl::Seconds(1),
                                    [](const auto& opened) {
                                      if (opened.ok()) Consume(*opened);
                                    });
      case 11:
        return ignore(engine.backend_stats());
      case 12:
        return ignore(engine.topic_count() + engine.subscription_count() +
                      engine.durability().size());
      case 13:
        return engine.Seek(subscription,
                           round % 2 == 0 ? StartPosition(Earliest{}) : StartPosition(Latest{}),
                           ignore);
      case 14:
        return engine.CreateSnapshot(SnapshotOf(round % 3), subscription, {}, ignore);
      case 15:
        return engine.Seek(subscription, SnapshotOf(round % 3), ignore);
      case 16:
        ignore(engine.FindSnapshot(SnapshotOf(round % 3)));
        ignore(engine.ListSnapshots("projects/test", "", 10));
        return engine.DeleteSnapshot(SnapshotOf(round % 3), ignore);
      default:
        return ignore(engine.timers().NextDue());
    }
  }

  static void CallTopic(Topic& topic, int round) {
    switch (round % 4) {
      case 0:
        return topic.Publish(MakeKeyedBatch(), nullptr_callback);
      case 1: {
        Ref<Batch> batch = MakeBatch({"once"});
        batch->set_producer({"producer", 1, static_cast<uint64_t>(round)});
        return topic.Publish(std::move(batch), nullptr_callback);
      }
      case 2:
        return static_cast<void>(topic.config());
      default:
        return static_cast<void>(topic.stats());
    }
  }

  static Ref<Batch> MakeKeyedBatch() {
    BatchBuilder builder;
    for (const char* key : {"", "a", "a", "b"})
      EXPECT_TRUE(builder.Add({.data = "x", .ordering_key = key}).ok());
    return *builder.Build();
  }

  // Attaches, takes some, settles some, goes.
  static void Consume(const std::shared_ptr<Subscription>& subscription) {
    auto consumer = std::make_shared<FickleConsumer>(subscription);
    const auto id = subscription->Attach(consumer, {.client_id = "fickle"});
    if (!id.ok()) return;
    consumer->id = *id;
    subscription->Grant(*id, 10, Subscription::kNoByteLimit);
    subscription->Grant(*id, 10, 1000);
    static_cast<void>(subscription->stats());
    static_cast<void>(subscription->config());
    subscription->Detach(*id);
  }

  static constexpr auto nullptr_callback = [](const absl::StatusOr<Published>&) {};

  std::unique_ptr<Broker> broker_ = *Broker::Open();
};

TEST_F(RaceConditions, EveryCallOfTheEngineAtOnce) {
  for (int n = 0; n < 3; ++n) CallEngine(0, n);
  for (int n = 0; n < 3; ++n) CallEngine(3, n);
  OnThreads([&](int thread, int round) {
    CallEngine(thread + round, round);
    if (auto topic = broker_->engine().FindTopic(TopicOf(round % 3)); topic.ok())
      CallTopic(**topic, thread + round);
    if (auto subscription = broker_->engine().FindSubscription(SubscriptionOf(round % 3));
        subscription.ok()) {
      Consume(*subscription);
    }
  });
  EXPECT_TRUE(broker_->Close(absl::Minutes(1)).ok());
}

TEST_F(RaceConditions, EveryCallOfPublishersAndSubscribersAtOnce) {
  ASSERT_TRUE(broker_->CreateTopic(TopicOf(0).full()).ok());
  ASSERT_TRUE(broker_->CreateSubscription(SubscriptionOf(0).full(), TopicOf(0).full()).ok());
  auto shared = *broker_->OpenPublisher(
      TopicOf(0).full(), {.batch_messages = 3, .batch_delay = absl::Microseconds(50)});
  std::atomic<uint64_t> answered = 0;
  std::atomic<uint64_t> given = 0;
  const auto count = [&](const auto&) { ++answered; };
  OnThreads([&](int thread, int round) {
    ++given;
    shared->Publish({.data = "x"}, count);
    switch ((thread + round) % 5) {
      case 0: {
        const std::vector<OutgoingMessage> two(2, {.data = "y"});
        ++given;
        return shared->PublishBatch(two, count);
      }
      case 1:
        return shared->Flush();
      case 2: {
        auto subscriber = broker_->Subscribe(
            SubscriptionOf(0).full(),
            [n = std::make_shared<std::atomic<int>>()](const Message& message) -> Verdict {
              if (++*n % 5 == 0) throw 1;
              return message.id() % 3 == 0 ? Verdict::Nack() : Verdict::Ack();
            },
            {.concurrency = 3,
             .max_outstanding_messages = 20,
             .failure_delay = absl::ZeroDuration()});
        ASSERT_TRUE(subscriber.ok());
        static_cast<void>((*subscriber)->counters());
        EXPECT_TRUE((*subscriber)->Close(absl::Minutes(1)).ok());
        return;
      }
      case 3: {
        auto own = broker_->OpenPublisher(TopicOf(0).full());
        EXPECT_TRUE((*own)->Publish({.data = "z"}).get().ok());
        return;
      }
      default:
        return static_cast<void>(broker_->metrics().handlers.threw.value());
    }
  });
  EXPECT_TRUE(shared->Close(absl::Minutes(1)).ok());
  EXPECT_EQ(answered, given);
  EXPECT_TRUE(broker_->Close(absl::Minutes(1)).ok());
}

}  // namespace
}  // namespace sluice::embedded
