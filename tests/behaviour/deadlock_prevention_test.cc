// The end in the middle of everything: it comes, and in time. Debug builds check the order of locks
// on the way (core/base/lock_order.h, with its own tests in unit/base_lock_order_test.cc).
#include "tests/support/broker_fixture.h"
#include "tests/support/temp_folder.h"

namespace sluice::embedded {
namespace {

class DeadlockPrevention : public testing::TestWithParam<bool> {
 protected:
  static constexpr std::string_view kTopic = "projects/test/topics/orders";
  static constexpr std::string_view kSubscription = "projects/test/subscriptions/billing";

  std::unique_ptr<Broker> Open() {
    return *Broker::Open(
        {.folder = GetParam() ? folder_.path() : "", .durability = Durability::kOs});
  }

  // Publishes, subscribes, acknowledges, creates, changes and deletes, until the broker takes no
  // more.
  static void DoEverything(Broker& broker, Latch& busy, int thread) {
    auto publisher = broker.OpenPublisher(kTopic);
    bool open = publisher.ok();
    for (int round = 0; open; ++round) {
      switch ((thread + round) % 4) {
        case 0:
          open = (*publisher)->Publish({.data = "x"}).get().ok();
          break;
        case 1: {
          auto subscriber = broker.Subscribe(kSubscription, [](const Message& message) {
            return message.id() % 5 == 0 ? Verdict::Nack() : Verdict::Ack();
          });
          if (subscriber.ok() && round % 3 == 0)
            static_cast<void>((*subscriber)->Close(absl::Seconds(30)));
          break;
        }
        case 2: {
          const std::string name = "projects/test/topics/other" + std::to_string(thread);
          const std::string subscription =
              "projects/test/subscriptions/other" + std::to_string(thread);
          static_cast<void>(broker.CreateTopic(name));
          static_cast<void>(broker.CreateSubscription(subscription, name));
          if (round % 2 == 0) static_cast<void>(broker.DeleteSubscription(subscription));
          static_cast<void>(broker.DeleteTopic(name));
          break;
        }
        default: {
          auto subscription =
              broker.engine().FindSubscription(*SubscriptionName::Parse(kSubscription));
          if (!subscription.ok()) break;
          SubscriptionConfig config = (*subscription)->config();
          config.ack_deadline = absl::Seconds(10 + round % 20);
          broker.engine().UpdateSubscription(config, [](const auto&) {});
          static_cast<void>((*subscription)->stats());
          break;
        }
      }
      if (round == 10) busy.CountDown();
    }
  }

  TempFolder folder_;
};
INSTANTIATE_TEST_SUITE_P(Stores, DeadlockPrevention, testing::Bool(),
                         [](const auto& info) { return info.param ? "Local" : "Memory"; });

TEST_P(DeadlockPrevention, CloseDuringEverythingComesToAnEnd) {
  constexpr int kThreads = 6;
  for (int round = 0; round < 5; ++round) {
    auto broker = Open();
    static_cast<void>(broker->CreateTopic(kTopic));
    static_cast<void>(broker->CreateSubscription(kSubscription, kTopic));
    Latch busy(kThreads);
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t)
      threads.emplace_back([&, t] { DoEverything(*broker, busy, t); });
    busy.Wait();
    EXPECT_TRUE(broker->Close(absl::Minutes(1)).ok());
    for (std::thread& thread : threads) thread.join();
  }
}

TEST_P(DeadlockPrevention, ASubscriptionIsDeletedUnderItsHandlers) {
  auto broker = Open();
  ASSERT_TRUE(broker->CreateTopic(kTopic).ok());
  for (int round = 0; round < 50; ++round) {
    ASSERT_TRUE(broker->CreateSubscription(kSubscription, kTopic).ok());
    Latch began(1);
    auto subscriber = broker->Subscribe(kSubscription, [&](const Message&) {
      began.CountDown();
      return Verdict::Ack();
    });
    auto publisher = *broker->OpenPublisher(kTopic);
    for (int i = 0; i < 20; ++i) publisher->Publish({.data = "x"}, nullptr);
    began.Wait();
    std::thread deletes([&] { EXPECT_TRUE(broker->DeleteSubscription(kSubscription).ok()); });
    EXPECT_TRUE((*subscriber)->Close(absl::Minutes(1)).ok());
    deletes.join();
  }
}

TEST_P(DeadlockPrevention, AHandlerThatPublishesToItsOwnTopicComesToAnEnd) {
  auto broker = Open();
  ASSERT_TRUE(broker->CreateTopic(kTopic).ok());
  ASSERT_TRUE(broker->CreateSubscription(kSubscription, kTopic).ok());
  auto publisher = *broker->OpenPublisher(kTopic, {.max_messages = 100});
  Latch handled(500);
  auto subscriber = broker->Subscribe(kSubscription, [&](const Message&) {
    handled.CountDown();
    return publisher->Publish({.data = "again"}).get().ok() ? Verdict::Ack() : Verdict::Nack();
  });
  for (int i = 0; i < 8; ++i) publisher->Publish({.data = "first"}, nullptr);
  handled.Wait();
  EXPECT_TRUE(broker->Close(absl::Minutes(1)).ok());
}

TEST_P(DeadlockPrevention, TwoMayCloseAtOnceAndNeitherWaitsInVain) {
  const SystemClock clock;
  const Instant start = clock.Now();
  for (int round = 0; round < 20; ++round) {
    auto broker = Open();
    static_cast<void>(broker->CreateTopic(kTopic));
    static_cast<void>(broker->CreateSubscription(kSubscription, kTopic));
    auto subscriber =
        broker->Subscribe(kSubscription, [](const Message&) { return Verdict::Ack(); });
    auto publisher = *broker->OpenPublisher(kTopic);
    for (int i = 0; i < 20; ++i) publisher->Publish({.data = "x"}, nullptr);
    std::thread closes([&] { EXPECT_TRUE((*subscriber)->Close(absl::Minutes(5)).ok()); });
    std::thread closes_all([&] { EXPECT_TRUE(broker->Close(absl::Minutes(5)).ok()); });
    EXPECT_TRUE(broker->Close(absl::Minutes(5)).ok());
    closes.join();
    closes_all.join();
  }
  EXPECT_LT(clock.Now() - start, absl::Minutes(4)) << "somebody waited until the time was up";
}

}  // namespace
}  // namespace sluice::embedded
