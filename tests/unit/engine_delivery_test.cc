// How messages reach consumers: credit, leases, acknowledgements, redelivery.
#include <thread>

#include "gmock/gmock.h"
#include "tests/support/engine_fixture.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

using EngineDeliveryTest = EngineFixture;

TEST_F(EngineDeliveryTest, DeliversInPublishOrder) {
  auto wired = Wire();
  ASSERT_TRUE(Publish("orders", {"a", "b"}).ok());
  ASSERT_TRUE(Publish("orders", {"c"}).ok());
  EXPECT_THAT(wired.consumer->TakeData(), ElementsAre("a", "b", "c"));
}

TEST_F(EngineDeliveryTest, DeliversNothingWithoutCredit) {
  auto wired = Wire(0);
  ASSERT_TRUE(Publish("orders", {"a"}).ok());
  EXPECT_THAT(wired.consumer->TakeData(), IsEmpty());
  wired.subscription->Grant(wired.id, 1, Subscription::kNoByteLimit);
  EXPECT_THAT(wired.consumer->TakeData(), ElementsAre("a"));
}

TEST_F(EngineDeliveryTest, MessageCreditSplitsABatch) {
  auto wired = Wire(2);
  ASSERT_TRUE(Publish("orders", {"a", "b", "c"}).ok());
  EXPECT_THAT(wired.consumer->TakeData(), ElementsAre("a", "b"));
  wired.subscription->Grant(wired.id, 5, Subscription::kNoByteLimit);
  EXPECT_THAT(wired.consumer->TakeData(), ElementsAre("c"));
}

TEST_F(EngineDeliveryTest, ByteCreditStopsDeliveryButALargeMessageStillPasses) {
  auto wired = Wire(0);
  const std::string large(1000, 'x');
  ASSERT_TRUE(Publish("orders", {large, "b", "c"}).ok());
  wired.subscription->Grant(wired.id, 100, 10);
  EXPECT_THAT(wired.consumer->TakeData(), ElementsAre(large));
  wired.subscription->Grant(wired.id, 1, 10);  // still in debt
  EXPECT_THAT(wired.consumer->TakeData(), IsEmpty());
  wired.subscription->Grant(wired.id, 1, 2000);
  EXPECT_THAT(wired.consumer->TakeData(), ElementsAre("b", "c"));
}

TEST_F(EngineDeliveryTest, RedeliversAfterTheAckDeadlineWithTheNextAttempt) {
  auto wired = Wire();
  ASSERT_TRUE(Publish("orders", {"a", "b"}).ok());
  wired.consumer->Take();
  Advance(absl::Seconds(9));
  EXPECT_THAT(wired.consumer->Take(), IsEmpty());
  Advance(absl::Seconds(1));
  auto again = wired.consumer->Take();
  ASSERT_EQ(again.size(), 1);
  EXPECT_EQ(again[0].count(), 2);
  EXPECT_EQ(again[0].attempt, 2);
  EXPECT_EQ(wired.subscription->stats().expired_leases, 2);
  EXPECT_EQ(metrics_.engine.redelivered_messages.value(), 2);
}

TEST_F(EngineDeliveryTest, AcknowledgedMessagesAreNotDeliveredAgain) {
  auto wired = Wire();
  ASSERT_TRUE(Publish("orders", {"a", "b", "c"}).ok());
  const auto delivered = wired.consumer->Take();
  const LeaseId first = delivered[0].first_lease;
  EXPECT_EQ(wired.subscription->Ack(wired.id, {{first + 1, first + 1}}), 1);
  Advance(absl::Seconds(10));
  EXPECT_THAT(wired.consumer->TakeData(), ElementsAre("a", "c"));
}

TEST_F(EngineDeliveryTest, AckOfWhatWasNeverDeliveredDoesNothing) {
  auto wired = Wire();
  ASSERT_TRUE(Publish("orders", {"a"}).ok());
  EXPECT_EQ(wired.subscription->Ack(wired.id, {{LeaseId(77), LeaseId(99)}}), 0);
  EXPECT_EQ(wired.subscription->Ack(wired.id, {{LeaseId(9), LeaseId(3)}}), 0);
  EXPECT_EQ(wired.subscription->stats().leased_messages, 1);
}

TEST_F(EngineDeliveryTest, AckAfterTheLeaseEndedDoesNothing) {
  auto wired = Wire(1);
  ASSERT_TRUE(Publish("orders", {"a"}).ok());
  const auto delivered = wired.consumer->Take();
  Advance(absl::Seconds(10));
  EXPECT_EQ(wired.subscription->Ack(wired.id, Leases(delivered)), 0);
  EXPECT_EQ(wired.subscription->stats().backlog_messages, 1);
}

TEST_F(EngineDeliveryTest, ConsumersCannotSettleEachOthersLeases) {
  auto one = Wire(1);
  ASSERT_TRUE(Publish("orders", {"a", "b"}).ok());
  auto two = Connect("billing", 1);
  const auto of_one = one.consumer->Take();
  EXPECT_EQ(two.subscription->Ack(two.id, Leases(of_one)), 0);
  EXPECT_EQ(two.subscription->Nack(two.id, Leases(of_one)[0], absl::ZeroDuration()), 0);
  EXPECT_EQ(two.subscription->Ack(two.id, {{LeaseId(0), LeaseId(1000)}}), 1);
}

TEST_F(EngineDeliveryTest, NackRedeliversAtOnceOrAfterItsDelay) {
  auto wired = Wire();
  ASSERT_TRUE(Publish("orders", {"a", "b"}).ok());
  const LeaseId first = wired.consumer->Take()[0].first_lease;
  EXPECT_EQ(wired.subscription->Nack(wired.id, {first, first}, absl::ZeroDuration()), 1);
  EXPECT_THAT(wired.consumer->TakeData(), ElementsAre("a"));
  EXPECT_EQ(wired.subscription->Nack(wired.id, {first + 1, first + 1}, absl::Seconds(5)), 1);
  Advance(absl::Seconds(4));
  EXPECT_THAT(wired.consumer->TakeData(), IsEmpty());
  Advance(absl::Seconds(1));
  EXPECT_THAT(wired.consumer->TakeData(), ElementsAre("b"));
}

TEST_F(EngineDeliveryTest, AnExtensionKeepsTheLease) {
  auto wired = Wire();
  ASSERT_TRUE(Publish("orders", {"a", "b"}).ok());
  const LeaseId first = wired.consumer->Take()[0].first_lease;
  Advance(absl::Seconds(8));
  EXPECT_EQ(wired.subscription->Extend(wired.id, {first, first}, absl::Seconds(60)), 1);
  Advance(absl::Seconds(2));
  EXPECT_THAT(wired.consumer->TakeData(), ElementsAre("b"));
  Advance(absl::Seconds(57));
  wired.consumer->Take();
  EXPECT_EQ(wired.subscription->Ack(wired.id, {{first, first}}), 1);
}

TEST_F(EngineDeliveryTest, WhatAConsumerHeldIsAvailableWhenItLeaves) {
  auto one = Wire();
  ASSERT_TRUE(Publish("orders", {"a", "b"}).ok());
  auto two = Connect("billing");
  one.subscription->Detach(one.id);
  EXPECT_THAT(two.consumer->TakeData(), ElementsAre("a", "b"));
}

TEST_F(EngineDeliveryTest, ConsumersShareASubscription) {
  auto one = Wire();
  auto two = Connect("billing");
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(Publish("orders", {std::to_string(i)}).ok());
  EXPECT_EQ(one.consumer->TakeData().size(), 5);
  EXPECT_EQ(two.consumer->TakeData().size(), 5);
}

TEST_F(EngineDeliveryTest, EverySubscriptionGetsEveryMessage) {
  auto one = Wire();
  ASSERT_TRUE(CreateSubscription("audit", "orders").ok());
  auto two = Connect("audit");
  ASSERT_TRUE(Publish("orders", {"a", "b"}).ok());
  EXPECT_THAT(one.consumer->TakeData(), ElementsAre("a", "b"));
  EXPECT_THAT(two.consumer->TakeData(), ElementsAre("a", "b"));
}

TEST_F(EngineDeliveryTest, OneThatWasAwayGetsEverythingLater) {
  auto wired = Wire();
  wired.subscription->Detach(wired.id);
  std::vector<std::string> sent;
  for (int i = 0; i < 3000; ++i) {
    sent.push_back(std::to_string(i) + std::string(500, '.'));
    ASSERT_TRUE(Publish("orders", {sent.back()}).ok());
  }
  auto back = Connect("billing");
  EXPECT_EQ(back.consumer->TakeData(), sent);
}

TEST_F(EngineDeliveryTest, AttemptsAndAcksSurviveAReopenedStore) {
  auto wired = Wire();
  ASSERT_TRUE(Publish("orders", {"a", "b", "c"}).ok());
  const LeaseId first = wired.consumer->Take()[0].first_lease;
  wired.subscription->Ack(wired.id, {{first + 1, first + 1}});
  wired.subscription->Nack(wired.id, {first + 2, first + 2}, absl::ZeroDuration());
  Reopen();
  auto again = Connect("billing");
  ASSERT_TRUE(Publish("orders", {"d"}).ok());
  const auto delivered = again.consumer->deliveries();
  ASSERT_EQ(delivered.size(), 3);
  EXPECT_EQ(delivered[0].attempt, 1);  // a, which was merely out
  EXPECT_EQ(delivered[1].attempt, 2);  // c, nacked once
  EXPECT_EQ(delivered[2].attempt, 1);  // d
  EXPECT_THAT(again.consumer->TakeData(), ElementsAre("a", "c", "d"));
}

TEST_F(EngineDeliveryTest, AConsumerMayAcknowledgeFromWithinDeliver) {
  struct Acker : Consumer {
    void Deliver(std::vector<Delivery>& deliveries) override {
      for (const Delivery& d : deliveries) {
        seen += d.count();
        subscription->Ack(id, {d.leases()});
        subscription->Grant(id, d.count(), Subscription::kNoByteLimit);
      }
    }
    void Ended(absl::Status) override {}
    Subscription* subscription = nullptr;
    ConsumerId id;
    uint64_t seen = 0;
  };
  ASSERT_TRUE(CreateTopic("orders").ok());
  ASSERT_TRUE(CreateSubscription("billing", "orders").ok());
  auto acker = std::make_shared<Acker>();
  auto subscription = FindSubscription("billing");
  acker->subscription = subscription.get();
  acker->id = *subscription->Attach(acker, {});
  subscription->Grant(acker->id, 1, Subscription::kNoByteLimit);
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(Publish("orders", {"x", "y"}).ok());
  EXPECT_EQ(acker->seen, 200);
  EXPECT_EQ(subscription->stats().backlog_messages, 0);
  EXPECT_EQ(store_->bytes(), 0);
}

TEST_F(EngineDeliveryTest, ManyThreadsPublishAndNothingIsLostOrReordered) {
  auto wired = Wire();
  constexpr int kThreads = 8;
  constexpr int kEach = 500;
  std::vector<std::thread> threads;
  auto topic = FindTopic("orders");
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&topic, t] {
      for (int i = 0; i < kEach; ++i) {
        topic->Publish(MakeBatch({std::to_string(t) + ":" + std::to_string(i)}),
                       [](const auto& published) { EXPECT_TRUE(published.ok()); });
      }
    });
  }
  for (auto& thread : threads) thread.join();
  std::vector<int> next(kThreads, 0);
  for (const std::string& data : wired.consumer->TakeData()) {
    const size_t colon = data.find(':');
    int& expected = next[std::stoul(data.substr(0, colon))];
    EXPECT_EQ(std::stoi(data.substr(colon + 1)), expected);
    ++expected;
  }
  EXPECT_THAT(next, testing::Each(kEach));
}

// Writes down when it is delivered to.
class NotingConsumer : public FakeConsumer {
 public:
  explicit NotingConsumer(std::vector<std::string>* notes) : notes_(notes) {}
  void Deliver(std::vector<Delivery>& deliveries) override {
    notes_->push_back("delivered");
    FakeConsumer::Deliver(deliveries);
  }

 private:
  std::vector<std::string>* const notes_;
};

TEST_F(EngineDeliveryTest, APublisherIsAnsweredBeforeASubscriberHasTheMessage) {
  Wire(/*credit=*/0);
  std::vector<std::string> notes;
  const auto subscription = FindSubscription("billing");
  const auto consumer = std::make_shared<NotingConsumer>(&notes);
  subscription->Grant(*subscription->Attach(consumer, {}), 10, Subscription::kNoByteLimit);
  const auto topic = FindTopic("orders");
  topic->Publish(MakeBatch({"a"}), [&](const auto& published) {
    ASSERT_TRUE(published.ok());
    notes.emplace_back("answered");
    EXPECT_EQ(subscription->stats().backlog_messages, 1) << "what was answered for is there";
    EXPECT_EQ(topic->durable_end(), Offset(2));
    if (published->first == Offset(1)) {
      topic->Publish(MakeBatch({"b"}),
                     [&](const auto& again) { EXPECT_EQ(again->first, Offset(2)); });
    }
  });
  EXPECT_EQ(notes.front(), "answered");
  EXPECT_THAT(consumer->TakeData(), ElementsAre("a", "b"));
}

}  // namespace
}  // namespace sluice
