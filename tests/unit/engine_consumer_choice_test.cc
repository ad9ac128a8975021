// Which of several consumers gets a message: fair turns, and what one of them failed goes to
// another.
#include "gmock/gmock.h"
#include "tests/support/engine_fixture.h"
#include "tests/support/messages.h"

namespace sluice {
namespace {

using testing::Each;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

class EngineConsumerChoiceTest : public EngineFixture {
 protected:
  void Create(bool ordered = false) {
    ASSERT_TRUE(CreateTopic("orders").ok());
    SubscriptionConfig config;
    config.name = SubscriptionNamed("billing");
    config.topic = TopicNamed("orders");
    config.ordered = ordered;
    ASSERT_TRUE(CreateSubscription(config).ok());
  }
  // Ten messages, each of a key of its own.
  void PublishTen() {
    std::vector<OutgoingMessage> messages;
    for (std::string& key : keys_) messages.push_back({.data = key, .ordering_key = key});
    FindTopic("orders")->Publish(MakeBatch(messages),
                                 [](const auto& published) { ASSERT_TRUE(published.ok()); });
  }
  static std::vector<std::string> TakeAndAck(const Wired& wired) {
    const std::vector<Delivery> got = wired.consumer->Take();
    wired.subscription->Ack(wired.id, Leases(got));
    std::vector<std::string> data;
    for (const Received& one : Flatten(got)) data.push_back(one.data);
    return data;
  }
  // One takes ten messages and never settles any, the other settles what it gets: what the other
  // got until all was settled.
  std::vector<std::string> TenThatOneNeverSettles(bool ordered) {
    Create(ordered);
    const Wired never = Connect("billing");
    PublishTen();
    EXPECT_EQ(Flatten(never.consumer->Take()).size(), 10u);
    const Wired other = Connect("billing");
    std::vector<std::string> got;
    for (int i = 0; i < 50; ++i) {
      Advance(absl::Seconds(1));
      // As calls that move nothing do.
      never.subscription->Grant(never.id, 0, 0);
      for (std::string& data : TakeAndAck(other)) got.push_back(std::move(data));
    }
    EXPECT_THAT(never.consumer->Take(), IsEmpty());
    EXPECT_EQ(never.subscription->stats().backlog_messages, 0);
    return got;
  }

  std::vector<std::string> keys_ = {"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"};
};

TEST_F(EngineConsumerChoiceTest, WhatOneNeverSettlesGoesToTheOther) {
  EXPECT_EQ(TenThatOneNeverSettles(/*ordered=*/false), keys_);
}

TEST_F(EngineConsumerChoiceTest, WhatOneNeverSettlesGoesToTheOtherWithOrderingKeysToo) {
  EXPECT_EQ(TenThatOneNeverSettles(/*ordered=*/true), keys_);
}

TEST_F(EngineConsumerChoiceTest, ALaterMessageOfAKeyComesAgainWhereTheEarlierOneIs) {
  Create(/*ordered=*/true);
  const Wired one = Connect("billing");
  for (const std::string_view data : {"a1", "a2"}) {
    FindTopic("orders")->Publish(
        MakeBatch(std::vector<OutgoingMessage>{{.data = data, .ordering_key = "a"}}),
        [](const auto& published) { ASSERT_TRUE(published.ok()); });
  }
  const std::vector<Received> got = Flatten(one.consumer->Take());
  const Wired other = Connect("billing");
  one.subscription->Nack(one.id, {got[1].lease, got[1].lease}, absl::ZeroDuration());
  EXPECT_EQ(Told(Flatten(one.consumer->Take())), "a22");
  EXPECT_THAT(other.consumer->Take(), IsEmpty());
}

TEST_F(EngineConsumerChoiceTest, WhatOneRefusesGoesToTheOther) {
  Create();
  const Wired bad = Connect("billing");
  const Wired good = Connect("billing");
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(Publish("orders", {std::to_string(i)}).ok());
    for (const Delivery& delivery : bad.consumer->Take()) {
      bad.subscription->Nack(bad.id, delivery.leases(), absl::ZeroDuration());
      EXPECT_THAT(bad.consumer->Take(), IsEmpty());
    }
    EXPECT_THAT(TakeAndAck(good), ElementsAre(std::to_string(i)));
  }
}

TEST_F(EngineConsumerChoiceTest, TheOnlyOneGetsWhatItFailedAgain) {
  Create();
  const Wired only = Connect("billing");
  PublishTen();
  only.subscription->Nack(only.id, Leases(only.consumer->Take())[0], absl::ZeroDuration());
  EXPECT_THAT(TakeAndAck(only), SizeIs(10));
}

TEST_F(EngineConsumerChoiceTest, OneThatIsOnlyBusyIsWaitedForAShortTime) {
  Create();
  const Wired bad = Connect("billing");
  PublishTen();
  const std::vector<Delivery> held = bad.consumer->Take();
  const Wired busy = Connect("billing", 1);
  bad.subscription->Nack(bad.id, held[0].leases(), absl::ZeroDuration());
  EXPECT_THAT(TakeAndAck(busy), ElementsAre("a"));
  EXPECT_THAT(bad.consumer->Take(), IsEmpty());
  busy.subscription->Grant(busy.id, 1, Subscription::kNoByteLimit);
  EXPECT_THAT(TakeAndAck(busy), ElementsAre("b"));
  // It takes no more.
  Advance(absl::Milliseconds(999));
  EXPECT_THAT(bad.consumer->Take(), IsEmpty());
  Advance(absl::Milliseconds(1));
  EXPECT_THAT(TakeAndAck(bad), SizeIs(8));
}

TEST_F(EngineConsumerChoiceTest, AMessageThatExpiredDoesNotKeepTheNextFromTheOthers) {
  ASSERT_TRUE(CreateTopic("orders").ok());
  SubscriptionConfig config;
  config.name = SubscriptionNamed("billing");
  config.topic = TopicNamed("orders");
  config.retry = RetryPolicy{absl::Seconds(20), absl::Seconds(20)};
  ASSERT_TRUE(CreateSubscription(config).ok());
  const Wired first = Connect("billing");
  const Wired second = Connect("billing");
  const OutgoingMessage expires{.data = "a", .expire_at = clock_.WallNow() + absl::Seconds(15)};
  FindTopic("orders")->Publish(MakeBatch(std::vector<OutgoingMessage>{expires}),
                               [](const auto& published) { ASSERT_TRUE(published.ok()); });
  ASSERT_TRUE(Publish("orders", {"b"}).ok());
  for (const Wired& one : {first, second}) {
    const std::vector<Delivery> got = one.consumer->Take();
    ASSERT_EQ(got.size(), 1u);
    one.subscription->Nack(one.id, got[0].leases(), absl::ZeroDuration());
  }
  Advance(absl::Seconds(20));
  EXPECT_THAT(first.consumer->TakeData(), ElementsAre("b"));
  EXPECT_THAT(second.consumer->TakeData(), IsEmpty());
}

TEST_F(EngineConsumerChoiceTest, NewMessagesDoNotWaitForWhatIsKeptForAnother) {
  Create();
  const Wired bad = Connect("billing");
  PublishTen();
  const std::vector<Delivery> held = bad.consumer->Take();
  const Wired busy = Connect("billing", 1);
  bad.subscription->Nack(bad.id, held[0].leases(), absl::ZeroDuration());
  ASSERT_TRUE(Publish("orders", {"new"}).ok());
  EXPECT_THAT(bad.consumer->TakeData(), ElementsAre("new"));
}

TEST_F(EngineConsumerChoiceTest, TurnsAreFairWhateverElseHappensBetween) {
  for (const size_t count : {2u, 3u, 5u}) {
    store_ = std::make_shared<MemoryStore>();
    Reopen();
    Create();
    std::vector<Wired> consumers;
    for (size_t i = 0; i < count; ++i) consumers.push_back(Connect("billing"));
    std::vector<size_t> got(count);
    for (int i = 0; i < 60; ++i) {
      ASSERT_TRUE(Publish("orders", {"x"}).ok());
      for (size_t c = 0; c < count; ++c) {
        const std::vector<Delivery> taken = consumers[c].consumer->Take();
        got[c] += taken.size();
        // Comes again later: what waits is looked at with each of these calls.
        for (const Delivery& delivery : taken) {
          consumers[c].subscription->Nack(consumers[c].id, delivery.leases(), absl::Hours(1));
        }
        consumers[0].subscription->Grant(consumers[0].id, 0, 0);
      }
    }
    EXPECT_THAT(got, Each(60 / count)) << count << " streams";
  }
}

TEST_F(EngineConsumerChoiceTest, TurnsGoOnWhenOneLeaves) {
  Create();
  const Wired first = Connect("billing");
  const Wired second = Connect("billing");
  const Wired third = Connect("billing");
  ASSERT_TRUE(Publish("orders", {"a"}).ok());
  ASSERT_TRUE(Publish("orders", {"b"}).ok());
  EXPECT_THAT(TakeAndAck(first), ElementsAre("a"));
  EXPECT_THAT(TakeAndAck(second), ElementsAre("b"));
  first.subscription->Detach(first.id);
  ASSERT_TRUE(Publish("orders", {"c"}).ok());
  EXPECT_THAT(TakeAndAck(third), ElementsAre("c"));
}

}  // namespace
}  // namespace sluice
