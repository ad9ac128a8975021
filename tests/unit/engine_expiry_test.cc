// Messages whose time is over, while nobody looks at them.
#include <random>

#include "core/engine/expiry_index.h"
#include "gmock/gmock.h"
#include "tests/support/engine_fixture.h"
#include "tests/support/messages.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// After this at the latest what has expired is gone.
constexpr absl::Duration kPatience = absl::Seconds(1);

class EngineExpiryTest : public EngineFixture {
 protected:
  void Subscribe(SubscriptionConfig config = {}, TopicConfig topic = {}) {
    topic.name = TopicNamed("orders");
    engine_->CreateTopic(topic, [](const auto& made) { ASSERT_TRUE(made.ok()) << made.status(); });
    ASSERT_EQ(CreateTopic("graveyard"), absl::OkStatus());
    ASSERT_EQ(CreateSubscription("undertaker", "graveyard"), absl::OkStatus());
    config.name = SubscriptionNamed("billing");
    config.topic = TopicNamed("orders");
    ASSERT_EQ(CreateSubscription(config), absl::OkStatus());
  }
  static SubscriptionConfig Burying() {
    SubscriptionConfig config;
    config.dead_letter = DeadLetterPolicy{.topic = TopicNamed("graveyard"), .expired_too = true};
    return config;
  }
  void Send(const std::vector<OutgoingMessage>& messages) {
    FindTopic("orders")->Publish(MakeBatch(messages),
                                 [](const auto& published) { ASSERT_TRUE(published.ok()); });
  }
  OutgoingMessage Until(std::string_view data, absl::Duration ttl, std::string_view key = "") {
    return {.data = data, .ordering_key = key, .expire_at = clock_.WallNow() + ttl};
  }
  // As clocks do, in small steps.
  void Pass(absl::Duration d) {
    for (absl::Duration passed; passed < d; passed += absl::Milliseconds(50))
      Advance(absl::Milliseconds(50));
  }
  int64_t Backlog(std::string_view id = "billing") {
    return FindSubscription(id)->stats().backlog_messages;
  }
  uint64_t Expired() const { return metrics_.engine.expired_messages.value(); }
  uint64_t Retained() {
    const LogExtent extent = FindTopic("orders")->log().extent();
    return extent.next - extent.first;
  }
  std::vector<std::string> Buried() { return Connect("undertaker").consumer->TakeData(); }
};

TEST_F(EngineExpiryTest, WithoutAConsumerMessagesExpireAtTheirTimeAndAreFreed) {
  Subscribe();
  for (int i = 0; i < 500; ++i) Send({Until("a", absl::Seconds(2)), Until("b", absl::Seconds(2))});
  Send({Until("later", absl::Seconds(5)), Until("earlier", absl::Seconds(1)), {.data = "never"}});
  Pass(absl::Seconds(1.5));
  EXPECT_EQ(Backlog(), 1002);
  Pass(absl::Seconds(0.5) + kPatience);
  EXPECT_EQ(Backlog(), 2);
  EXPECT_EQ(Expired(), 1001u);
  EXPECT_EQ(Retained(), 3u) << "up to the first that is left";
  Pass(absl::Seconds(3));
  EXPECT_EQ(Backlog(), 1);
  EXPECT_THAT(Connect("billing").consumer->TakeData(), ElementsAre("never"));
}

TEST_F(EngineExpiryTest, WithoutAConsumerTheTopicsTtlHolds) {
  TopicConfig topic;
  topic.message_ttl = absl::Seconds(10);
  Subscribe({}, topic);
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(Publish("orders", {"a", "b"}).ok());
    Advance(absl::Milliseconds(50));
  }
  Pass(absl::Seconds(6) + kPatience);
  EXPECT_LE(Backlog(), 160);
  EXPECT_GE(Expired(), 40u);
  Pass(absl::Seconds(5));
  EXPECT_EQ(Backlog(), 0);
  EXPECT_EQ(Expired(), 200u);
  EXPECT_EQ(Retained(), 0u);
}

TEST_F(EngineExpiryTest, AShorterTtlConcernsWhatIsThere) {
  Subscribe();
  ASSERT_TRUE(Publish("orders", {"a"}).ok());
  Pass(absl::Seconds(10));
  TopicConfig topic;
  topic.name = TopicNamed("orders");
  topic.message_ttl = absl::Seconds(5);
  engine_->UpdateTopic(topic, [](const auto& updated) { ASSERT_TRUE(updated.ok()); });
  Pass(kPatience);
  EXPECT_EQ(Backlog(), 0);
}

TEST_F(EngineExpiryTest, ExpiredMessagesAreDeadLetteredAtTheirTime) {
  for (const bool ordered : {false, true}) {
    SCOPED_TRACE(ordered);
    if (ordered) {
      engine_ = nullptr;
      store_ = std::make_shared<MemoryStore>();
      Open();
    }
    SubscriptionConfig config = Burying();
    config.ordered = ordered;
    Subscribe(config);
    Send({Until("a", absl::Seconds(2), "key"),
          {.data = "b", .ordering_key = "key"},
          Until("c", absl::Seconds(2), "other")});
    Pass(absl::Seconds(2) + kPatience);
    EXPECT_THAT(Buried(), ElementsAre("a", "c"));
    EXPECT_EQ(Backlog(), 1);
    EXPECT_THAT(Connect("billing").consumer->TakeData(), ElementsAre("b"));
  }
}

TEST_F(EngineExpiryTest, AMessageThatWaitsForItsRedeliveryExpiresAtItsTime) {
  Subscribe(Burying());
  const Wired wired = Connect("billing");
  Send({Until("a", absl::Seconds(5))});
  wired.subscription->Nack(wired.id, Leases(wired.consumer->Take())[0], absl::Seconds(20));
  Pass(absl::Seconds(5) + kPatience);
  EXPECT_THAT(Buried(), ElementsAre("a"));
  EXPECT_EQ(Backlog(), 0);
}

TEST_F(EngineExpiryTest, AHeadThatExpiresFreesItsKey) {
  for (const bool buries : {false, true}) {
    SCOPED_TRACE(buries);
    if (buries) {
      engine_ = nullptr;
      store_ = std::make_shared<MemoryStore>();
      Open();
    }
    SubscriptionConfig config = buries ? Burying() : SubscriptionConfig();
    config.ordered = true;
    Subscribe(config);
    const Wired wired = Connect("billing");
    Send({Until("a", absl::Seconds(5), "key"), {.data = "b", .ordering_key = "key"}});
    const auto out = wired.consumer->Take();
    wired.subscription->Nack(wired.id, {out[0].first_lease, out[0].first_lease}, absl::Seconds(20));
    Pass(absl::Seconds(4));
    EXPECT_THAT(wired.consumer->TakeData(), IsEmpty());
    Pass(kPatience + absl::Seconds(1));
    EXPECT_THAT(wired.consumer->TakeData(), ElementsAre("b"));
    if (!buries) continue;
    EXPECT_THAT(Buried(), ElementsAre("a"));
  }
}

TEST_F(EngineExpiryTest, WhatExpiredUnderItsLeaseGoesWhenTheLeaseIsOver) {
  Subscribe(Burying());
  const Wired wired = Connect("billing");
  Send({Until("a", absl::Seconds(5))});
  const auto out = wired.consumer->Take();
  Pass(absl::Seconds(8));
  EXPECT_EQ(Backlog(), 1) << "it may still be acknowledged";
  wired.subscription->Nack(wired.id, Leases(out)[0], absl::Seconds(20));
  Pass(kPatience);
  EXPECT_EQ(Backlog(), 0);
  EXPECT_THAT(Buried(), ElementsAre("a"));
}

TEST_F(EngineExpiryTest, ExpiryGoesOnAfterARestartWithoutAConsumer) {
  Subscribe();
  Send({Until("a", absl::Seconds(5)), Until("b", absl::Seconds(50)), {.data = "c"}});
  Reopen();
  Pass(absl::Seconds(5) + kPatience);
  EXPECT_EQ(Backlog(), 2);
  Pass(absl::Seconds(45));
  EXPECT_EQ(Backlog(), 1);
}

TEST_F(EngineExpiryTest, WhatHadExpiredExpiresAgainForWhoComesLaterOrSeeksBack) {
  Subscribe();
  Send({Until("a", absl::Seconds(2)), {.data = "b"}});
  Pass(absl::Seconds(2) + kPatience);
  ASSERT_EQ(Backlog(), 1);
  ASSERT_EQ(CreateSubscription("late", "orders"), absl::OkStatus());
  engine_->Seek(SubscriptionNamed("billing"), Earliest{},
                [](const absl::Status& status) { EXPECT_TRUE(status.ok()); });
  Pass(kPatience);
  EXPECT_EQ(Backlog(), 1);
  EXPECT_EQ(Backlog("late"), 1);
}

TEST_F(EngineExpiryTest, WhatIsToBeDeliveredLaterThanItExpiresGoesAtItsTime) {
  Subscribe();
  const Wired wired = Connect("billing");
  OutgoingMessage message = Until("a", absl::Seconds(2));
  message.deliver_at = clock_.WallNow() + absl::Hours(1);
  Send({message});
  Pass(absl::Seconds(2) + kPatience);
  EXPECT_EQ(Backlog(), 0);
  EXPECT_EQ(wired.subscription->stats().held_messages, 0u);
}

TEST_F(EngineExpiryTest, WithoutADeadLetterTopicWhatExpiredWaitsAndGoesLater) {
  Subscribe(Burying());
  engine_->DeleteTopic(TopicNamed("graveyard"),
                       [](const auto& status) { ASSERT_EQ(status, absl::OkStatus()); });
  Send({Until("a", absl::Seconds(2))});
  Pass(absl::Seconds(5));
  EXPECT_EQ(Backlog(), 1);
  ASSERT_EQ(CreateTopic("graveyard"), absl::OkStatus());
  Pass(absl::Seconds(12));
  EXPECT_EQ(Backlog(), 0);
  EXPECT_EQ(FindTopic("graveyard")->stats().published_messages, 1u);
}

TEST_F(EngineExpiryTest, AWallClockThatIsSetAheadIsNoticedWithinASecond) {
  Subscribe();
  Send({Until("a", absl::Hours(1))});
  clock_.JumpWall(absl::Hours(2));
  Pass(kPatience);
  EXPECT_EQ(Backlog(), 0);
}

TEST_F(EngineExpiryTest, WhatWasAcknowledgedBeforeTheClockWasSetBackHoldsUpNothingAfterARestart) {
  TopicConfig topic;
  topic.message_ttl = absl::Minutes(1);
  topic.acked_retention = absl::Hours(5);
  Subscribe({}, topic);
  {
    const Wired wired = Connect("billing");
    ASSERT_TRUE(Publish("orders", {"before"}).ok());
    wired.subscription->Ack(wired.id, Leases(wired.consumer->Take()));
    wired.subscription->Detach(wired.id);
  }
  clock_.JumpWall(-absl::Hours(1));
  ASSERT_TRUE(Publish("orders", {"after"}).ok());
  Reopen();
  Pass(absl::Minutes(1) + kPatience);
  EXPECT_EQ(Backlog(), 0);
  engine_->Seek(SubscriptionNamed("billing"), Earliest{},
                [](const absl::Status& status) { EXPECT_TRUE(status.ok()); });
  Pass(kPatience);
  EXPECT_EQ(Backlog(), 1);
  Pass(absl::Hours(1));
  EXPECT_EQ(Backlog(), 0);
}

TEST(ExpiryIndexTest, FindsWhateverIsDueAndNeverGrowsBeyondItsBound) {
  ExpiryIndex index;
  std::mt19937_64 random(1);
  constexpr int kMessages = 100'000;
  constexpr int64_t kHour = 3'600'000'000;
  std::vector<int64_t> expires(kMessages);
  for (int i = 0; i < kMessages; ++i) {
    expires[i] = static_cast<int64_t>(random() % kHour);
    index.Add({Offset(static_cast<uint64_t>(i)), Offset(static_cast<uint64_t>(i) + 1)}, expires[i]);
    ASSERT_LE(index.stretches(), ExpiryIndex::kMaxStretches);
  }
  uint64_t looked_at = 0;
  for (int64_t now = 0; now <= kHour + ExpiryIndex::kStepUs; now += 60'000'000) {
    while (const auto due = index.TakeDue(now)) {
      int64_t next = kNeverExpires;
      for (Offset at = due->begin; at < due->end; ++at) {
        int64_t& expiry = expires[at.value()];
        ++looked_at;
        if (expiry <= now) expiry = kNeverExpires;
        next = std::min(next, expiry);
      }
      index.Add(*due, next);
    }
    for (const int64_t expiry : expires) ASSERT_GT(expiry, now - ExpiryIndex::kStepUs);
  }
  EXPECT_EQ(index.stretches(), 0u);
  EXPECT_LT(looked_at, 30u * kMessages);
}

TEST(ExpiryIndexTest, NeighboursThatExpireTogetherAreOneStretch) {
  ExpiryIndex index;
  for (uint64_t i = 1; i <= 1000; ++i)
    index.Add({Offset(i), Offset(i + 1)}, static_cast<int64_t>(i * 10));
  EXPECT_EQ(index.stretches(), 1u);
  index.DropBefore(Offset(500));
  EXPECT_EQ(index.TakeDue(1'000'000)->size(), 501u);
}

}  // namespace
}  // namespace sluice
