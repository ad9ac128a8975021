// Priorities, and messages that are not to be delivered before or after a time.
#include "core/base/error.h"
#include "gmock/gmock.h"
#include "tests/support/engine_fixture.h"
#include "tests/support/messages.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class EngineTimeTest : public EngineFixture {
 protected:
  void WireWith(SubscriptionConfig config = {}, TopicConfig topic = {}) {
    topic.name = TopicNamed("orders");
    engine_->CreateTopic(topic, [](const auto& made) { ASSERT_TRUE(made.ok()) << made.status(); });
    ASSERT_EQ(CreateTopic("graveyard"), absl::OkStatus());
    config.name = SubscriptionNamed("billing");
    config.topic = TopicNamed("orders");
    ASSERT_EQ(CreateSubscription(config), absl::OkStatus());
  }
  absl::Status Send(const std::vector<OutgoingMessage>& messages) {
    absl::Status stored;
    FindTopic("orders")->Publish(MakeBatch(messages),
                                 [&](const auto& published) { stored = published.status(); });
    return stored;
  }
  OutgoingMessage After(std::string_view data, absl::Duration delay) {
    return {.data = data, .deliver_at = clock_.WallNow() + delay};
  }
  OutgoingMessage Until(std::string_view data, absl::Duration ttl) {
    return {.data = data, .expire_at = clock_.WallNow() + ttl};
  }
  static OutgoingMessage Of(std::string_view data, uint32_t priority) {
    return {.data = data, .priority = priority};
  }
};

TEST_F(EngineTimeTest, WhatWasOutByPriorityComesAgainAfterARestartAsTheSameAttempt) {
  SubscriptionConfig config;
  config.priority_delivery = true;
  WireWith(config);
  {
    const Wired wired = Connect("billing");
    ASSERT_EQ(Send({Of("low", 1), Of("high", 9)}), absl::OkStatus());
    ASSERT_EQ(Told(Flatten(wired.consumer->Take())), "high1 low1");
  }
  Reopen();
  EXPECT_EQ(Told(Flatten(Connect("billing").consumer->Take())), "high1 low1");
}

TEST_F(EngineTimeTest, AMessageThatExpiredBeforeItsFirstDeliveryHasNoAttempts) {
  SubscriptionConfig config;
  config.dead_letter = DeadLetterPolicy{.topic = TopicNamed("graveyard"), .expired_too = true};
  WireWith(config);
  ASSERT_EQ(CreateSubscription("undertaker", "graveyard"), absl::OkStatus());
  ASSERT_EQ(Send({Until("short", absl::Seconds(5)), {.data = "now"}}), absl::OkStatus());
  Advance(absl::Seconds(5));
  Connect("billing");
  // Before the copy is made.
  Reopen();
  Connect("billing");
  Advance(absl::ZeroDuration());
  const auto buried = Connect("undertaker").consumer->Take();
  ASSERT_EQ(buried.size(), 1);
  const MessageView copy(buried[0].batch->message(0));
  EXPECT_EQ(copy.FindAttribute(dead_letter_attribute::kAttempts), "0");
}

TEST_F(EngineTimeTest, AMessageComesWhenItsTimeHasCome) {
  WireWith();
  const Wired wired = Connect("billing");
  ASSERT_EQ(
      Send({After("late", absl::Seconds(90)), {.data = "now"}, After("soon", absl::Seconds(5))}),
      absl::OkStatus());
  const auto now = wired.consumer->Take();
  EXPECT_EQ(Told(Flatten(now)), "now1");
  wired.subscription->Ack(wired.id, Leases(now));
  Advance(absl::Seconds(4));
  EXPECT_THAT(wired.consumer->TakeData(), IsEmpty());
  Advance(absl::Seconds(1));
  const auto soon = wired.consumer->Take();
  EXPECT_EQ(Told(Flatten(soon)), "soon1");
  wired.subscription->Ack(wired.id, Leases(soon));
  Advance(absl::Seconds(60));
  EXPECT_THAT(wired.consumer->TakeData(), IsEmpty());
  Advance(absl::Seconds(25));
  EXPECT_THAT(wired.consumer->TakeData(), ElementsAre("late"));
}

TEST_F(EngineTimeTest, ADelaySurvivesARestartAndHasNoAttempts) {
  WireWith();
  ASSERT_EQ(Send({After("late", absl::Seconds(90)), {.data = "now"}}), absl::OkStatus());
  Wired wired = Connect("billing");
  EXPECT_THAT(wired.consumer->TakeData(), ElementsAre("now"));
  Reopen();
  wired = Connect("billing");
  const auto again = wired.consumer->Take();
  EXPECT_EQ(Told(Flatten(again)), "now1");
  wired.subscription->Ack(wired.id, Leases(again));
  Advance(absl::Seconds(90));
  EXPECT_EQ(Told(Flatten(wired.consumer->Take())), "late1");
}

TEST_F(EngineTimeTest, AClockSetForwardAnHourDeliversWithinAMinute) {
  WireWith();
  const Wired wired = Connect("billing");
  ASSERT_EQ(Send({After("later", absl::Hours(1))}), absl::OkStatus());
  clock_.JumpWall(absl::Hours(1));
  Advance(absl::Minutes(1));
  EXPECT_THAT(wired.consumer->TakeData(), ElementsAre("later"));
}

TEST_F(EngineTimeTest, AClockSetBackAnHourDelaysByThatHour) {
  WireWith();
  const Wired wired = Connect("billing");
  ASSERT_EQ(Send({After("later", absl::Minutes(10))}), absl::OkStatus());
  clock_.JumpWall(-absl::Hours(1));
  for (int i = 0; i < 69; ++i) Advance(absl::Minutes(1));
  EXPECT_THAT(wired.consumer->TakeData(), IsEmpty());
  Advance(absl::Minutes(1));
  EXPECT_THAT(wired.consumer->TakeData(), ElementsAre("later"));
}

TEST_F(EngineTimeTest, ADelayBeyondTheTopicsLimitIsRefused) {
  TopicConfig topic;
  topic.max_delay = absl::Minutes(5);
  WireWith({}, topic);
  EXPECT_EQ(Send({{.data = "a"}, After("b", absl::Minutes(5))}), absl::OkStatus());
  const absl::Status refused =
      Send({{.data = "a"}, After("b", absl::Minutes(5) + absl::Microseconds(1))});
  EXPECT_EQ(ReasonOf(refused), Reason::kInvalidTime);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("messages[1].deliver_at"));
  EXPECT_EQ(FindTopic("orders")->stats().published_messages, 2);
}

TEST_F(EngineTimeTest, AnExpiredMessageIsNotDeliveredAndCounted) {
  WireWith();
  ASSERT_EQ(Send({Until("short", absl::Seconds(5)), {.data = "long"}}), absl::OkStatus());
  Advance(absl::Seconds(5));
  const Wired wired = Connect("billing");
  EXPECT_THAT(wired.consumer->TakeData(), ElementsAre("long"));
  EXPECT_EQ(metrics_.engine.expired_messages.value(), 1);
  EXPECT_EQ(wired.subscription->stats().backlog_messages, 1);
}

TEST_F(EngineTimeTest, AMessageThatExpiresUnderItsLeaseDoesNotComeAgain) {
  WireWith();
  const Wired wired = Connect("billing");
  ASSERT_EQ(Send({Until("short", absl::Seconds(5))}), absl::OkStatus());
  ASSERT_THAT(wired.consumer->TakeData(), ElementsAre("short"));
  Advance(absl::Seconds(20));
  EXPECT_THAT(wired.consumer->TakeData(), IsEmpty());
  EXPECT_EQ(wired.subscription->stats().backlog_messages, 0);
}

TEST_F(EngineTimeTest, TheTopicsTtlHoldsForMessagesThatSayNothing) {
  TopicConfig topic;
  topic.message_ttl = absl::Seconds(30);
  WireWith({}, topic);
  ASSERT_EQ(Send({{.data = "old"}}), absl::OkStatus());
  Advance(absl::Seconds(20));
  ASSERT_EQ(Send({{.data = "new"}}), absl::OkStatus());
  Advance(absl::Seconds(10));
  EXPECT_THAT(Connect("billing").consumer->TakeData(), ElementsAre("new"));
}

TEST_F(EngineTimeTest, ExpiredMessagesGoToTheDeadLetterTopicWhenAskedFor) {
  SubscriptionConfig config;
  config.dead_letter = DeadLetterPolicy{.topic = TopicNamed("graveyard"), .expired_too = true};
  WireWith(config);
  ASSERT_EQ(CreateSubscription("undertaker", "graveyard"), absl::OkStatus());
  ASSERT_EQ(Send({Until("short", absl::Seconds(5))}), absl::OkStatus());
  Advance(absl::Seconds(5));
  Connect("billing");
  Advance(absl::ZeroDuration());
  const Wired undertaker = Connect("undertaker");
  const auto buried = undertaker.consumer->Take();
  ASSERT_EQ(buried.size(), 1);
  const MessageView copy(buried[0].batch->message(0));
  EXPECT_EQ(copy.FindAttribute(dead_letter_attribute::kReason), "expired");
  EXPECT_EQ(copy.expire_at_us(), kNeverExpires);
  EXPECT_EQ(FindSubscription("billing")->stats().backlog_messages, 0);
}

TEST_F(EngineTimeTest, HigherPrioritiesComeFirst) {
  SubscriptionConfig config;
  config.priority_delivery = true;
  WireWith(config);
  ASSERT_EQ(Send({Of("low", 0), Of("mid-1", 5), Of("high", 9), Of("mid-2", 5)}), absl::OkStatus());
  const Wired wired = Connect("billing");
  EXPECT_THAT(wired.consumer->TakeData(), ElementsAre("high", "mid-1", "mid-2", "low"));
}

TEST_F(EngineTimeTest, WithoutPriorityDeliveryPrioritiesDoNotCount) {
  WireWith();
  ASSERT_EQ(Send({Of("low", 0), Of("high", 9)}), absl::OkStatus());
  EXPECT_THAT(Connect("billing").consumer->TakeData(), ElementsAre("low", "high"));
}

TEST_F(EngineTimeTest, OneOfTenDeliveriesIsTheOldestWhateverItsPriority) {
  SubscriptionConfig config;
  config.priority_delivery = true;
  WireWith(config);
  ASSERT_EQ(Send({Of("old", 0)}), absl::OkStatus());
  std::vector<OutgoingMessage> urgent(30, Of("urgent", 9));
  ASSERT_EQ(Send(urgent), absl::OkStatus());
  const std::vector<std::string> all = Connect("billing").consumer->TakeData();
  ASSERT_EQ(all.size(), 31);
  EXPECT_EQ(std::find(all.begin(), all.end(), "old") - all.begin(), 9);
}

TEST_F(EngineTimeTest, AReleasedMessageKeepsItsPriority) {
  SubscriptionConfig config;
  config.priority_delivery = true;
  WireWith(config);
  ASSERT_EQ(Send({Of("low-1", 1), Of("low-2", 1), Of("high", 8)}), absl::OkStatus());
  const Wired wired = Connect("billing", 1);
  const auto first = Flatten(wired.consumer->Take());
  ASSERT_EQ(Told(first), "high1");
  wired.subscription->Nack(wired.id, {first[0].lease, first[0].lease}, absl::ZeroDuration());
  wired.subscription->Grant(wired.id, 3, Subscription::kNoByteLimit);
  EXPECT_EQ(Told(Flatten(wired.consumer->Take())), "high2 low-11 low-21");
}

TEST_F(EngineTimeTest, PriorityAndOrderExcludeEachOther) {
  ASSERT_EQ(CreateTopic("orders"), absl::OkStatus());
  SubscriptionConfig config;
  config.name = SubscriptionNamed("billing");
  config.topic = TopicNamed("orders");
  config.ordered = config.priority_delivery = true;
  EXPECT_EQ(ReasonOf(CreateSubscription(config)), Reason::kInvalidOrder);
}

}  // namespace
}  // namespace sluice
