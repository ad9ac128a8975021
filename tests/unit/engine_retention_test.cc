// What a topic keeps, and that everything else goes at once.
#include <algorithm>
#include <iterator>
#include <map>
#include <random>

#include "tests/support/engine_fixture.h"

namespace sluice {
namespace {

class EngineRetentionTest : public EngineFixture {
 protected:
  LogExtent Extent() { return FindTopic("orders")->log().extent(); }
  uint64_t Stored() { return Extent().next - Extent().first; }

  void Delete(std::string_view subscription) {
    engine_->DeleteSubscription(SubscriptionNamed(subscription),
                                [](const absl::Status& status) { EXPECT_TRUE(status.ok()); });
  }

  // Publishes a few and acknowledges them on every connection given.
  void PublishAndAck(const std::vector<Wired>& connections) {
    for (int i = 0; i < 3; ++i) {
      ASSERT_TRUE(Publish("orders", {"a", "b"}).ok());
      for (const Wired& wired : connections)
        wired.subscription->Ack(wired.id, Leases(wired.consumer->Take()));
    }
  }

  absl::Status CreateDiscardingTopic(absl::Duration acked_retention = absl::ZeroDuration()) {
    TopicConfig config;
    config.name = TopicNamed("orders");
    config.discard_unsubscribed = true;
    config.acked_retention = acked_retention;
    absl::Status result = absl::UnknownError("no answer");
    engine_->CreateTopic(config, [&](const auto& made) { result = made.status(); });
    return result;
  }
};

TEST_F(EngineRetentionTest, AFirstSubscriptionAtLatestFreesWhatItAcknowledges) {
  ASSERT_TRUE(CreateTopic("orders").ok());
  ASSERT_TRUE(Publish("orders", {"before"}).ok());
  ASSERT_TRUE(CreateSubscription("billing", "orders", Latest{}).ok());
  PublishAndAck({Connect("billing")});
  EXPECT_EQ(Stored(), 0u);
}

TEST_F(EngineRetentionTest, ASubscriptionThatIsMadeAgainFreesWhatItAcknowledges) {
  const Wired wired = Wire();
  PublishAndAck({wired});
  Delete("billing");
  ASSERT_TRUE(Publish("orders", {"nobody"}).ok());
  ASSERT_TRUE(CreateSubscription("billing", "orders", Latest{}).ok());
  PublishAndAck({Connect("billing")});
  EXPECT_EQ(Stored(), 0u);
}

TEST_F(EngineRetentionTest, AnEphemeralStreamInBetweenDoesNotStopTheTrimming) {
  ASSERT_TRUE(CreateTopic("orders").ok());
  ASSERT_TRUE(Publish("orders", {"before"}).ok());
  std::shared_ptr<Subscription> ephemeral;
  SubscriptionConfig config;
  config.topic = TopicNamed("orders");
  engine_->OpenEphemeral(config, Latest{}, [&](const auto& opened) { ephemeral = *opened; });
  const ConsumerId id = *ephemeral->Attach(std::make_shared<FakeConsumer>(), {});
  ASSERT_TRUE(Publish("orders", {"meanwhile"}).ok());
  ASSERT_TRUE(CreateSubscription("billing", "orders", Latest{}).ok());
  const Wired wired = Connect("billing");
  PublishAndAck({wired});
  EXPECT_EQ(Stored(), 7u);
  ephemeral->Detach(id);
  EXPECT_EQ(Stored(), 0u);
  PublishAndAck({wired});
  EXPECT_EQ(Stored(), 0u);
}

TEST_F(EngineRetentionTest, TheSlowestSubscriptionHoldsTheLogAndNoOther) {
  ASSERT_TRUE(CreateTopic("orders").ok());
  ASSERT_TRUE(CreateSubscription("fast", "orders").ok());
  ASSERT_TRUE(CreateSubscription("slow", "orders").ok());
  const Wired fast = Connect("fast");
  const Wired slow = Connect("slow");
  PublishAndAck({fast});
  EXPECT_EQ(Stored(), 6u);
  const std::vector<Delivery> held = slow.consumer->Take();
  slow.subscription->Ack(slow.id, {held[0].leases()});
  EXPECT_EQ(Stored(), 4u);
  slow.subscription->Ack(slow.id, Leases(held));
  EXPECT_EQ(Stored(), 0u);
}

TEST_F(EngineRetentionTest, DeletingTheOnlySubscriptionFreesItsBacklogAtOnce) {
  const Wired wired = Wire(0);
  ASSERT_TRUE(Publish("orders", {"a", "b"}).ok());
  Delete("billing");
  EXPECT_EQ(Stored(), 0u);
}

TEST_F(EngineRetentionTest, DeletingTheSlowestSubscriptionFreesWhatItAloneHeld) {
  ASSERT_TRUE(CreateTopic("orders").ok());
  ASSERT_TRUE(CreateSubscription("fast", "orders").ok());
  ASSERT_TRUE(CreateSubscription("slow", "orders").ok());
  PublishAndAck({Connect("fast")});
  Delete("slow");
  EXPECT_EQ(Stored(), 0u);
}

TEST_F(EngineRetentionTest, WithoutASubscriptionMessagesWaitForTheFirstOne) {
  ASSERT_TRUE(CreateTopic("orders").ok());
  ASSERT_TRUE(Publish("orders", {"a", "b"}).ok());
  EXPECT_EQ(Stored(), 2u);
  EXPECT_EQ(FindTopic("orders")->stats().retained.no_subscription, 2u);
  Reopen();
  EXPECT_EQ(Stored(), 2u);
  ASSERT_TRUE(CreateSubscription("billing", "orders").ok());
  EXPECT_EQ(Connect("billing").consumer->TakeData(), (std::vector<std::string>{"a", "b"}));
}

TEST_F(EngineRetentionTest, ATopicThatDiscardsKeepsNothingForNobody) {
  ASSERT_TRUE(CreateDiscardingTopic().ok());
  ASSERT_TRUE(Publish("orders", {"a", "b"}).ok());
  EXPECT_EQ(Stored(), 0u);
  ASSERT_TRUE(CreateSubscription("billing", "orders").ok());
  const Wired wired = Connect("billing");
  EXPECT_EQ(wired.consumer->TakeData(), std::vector<std::string>{});
  ASSERT_TRUE(Publish("orders", {"c"}).ok());
  EXPECT_EQ(wired.consumer->TakeData(), std::vector<std::string>{"c"});
  Delete("billing");
  EXPECT_EQ(Stored(), 0u);
  ASSERT_TRUE(Publish("orders", {"d"}).ok());
  EXPECT_EQ(Stored(), 0u);
}

TEST_F(EngineRetentionTest, ATopicThatDiscardsKeepsWhatAStreamIsReading) {
  ASSERT_TRUE(CreateDiscardingTopic().ok());
  std::shared_ptr<Subscription> ephemeral;
  SubscriptionConfig config;
  config.topic = TopicNamed("orders");
  engine_->OpenEphemeral(config, Latest{}, [&](const auto& opened) { ephemeral = *opened; });
  auto consumer = std::make_shared<FakeConsumer>();
  const ConsumerId id = *ephemeral->Attach(consumer, {});
  ASSERT_TRUE(Publish("orders", {"a"}).ok());
  EXPECT_EQ(Stored(), 1u);
  ephemeral->Grant(id, 10, Subscription::kNoByteLimit);
  ephemeral->Ack(id, Leases(consumer->Take()));
  EXPECT_EQ(Stored(), 0u);
}

TEST_F(EngineRetentionTest, AckedRetentionKeepsForItsTimeWithoutASubscriptionToo) {
  ASSERT_TRUE(CreateDiscardingTopic(absl::Minutes(10)).ok());
  ASSERT_TRUE(Publish("orders", {"a", "b"}).ok());
  EXPECT_EQ(Stored(), 2u);
  EXPECT_EQ(FindTopic("orders")->stats().retained.acked, 2u);
  Advance(absl::Minutes(11));
  EXPECT_EQ(Stored(), 0u);
}

TEST_F(EngineRetentionTest, TheRetentionOfADeletedSubscriptionEndsWithIt) {
  ASSERT_TRUE(CreateTopic("orders").ok());
  SubscriptionConfig config;
  config.name = SubscriptionNamed("replay");
  config.topic = TopicNamed("orders");
  config.acked_retention = absl::Hours(1);
  ASSERT_TRUE(CreateSubscription(config).ok());
  ASSERT_TRUE(CreateSubscription("billing", "orders").ok());
  const Wired billing = Connect("billing");
  const Wired replay = Connect("replay");
  PublishAndAck({billing, replay});
  EXPECT_EQ(Stored(), 6u);
  Delete("replay");
  EXPECT_EQ(Stored(), 0u);
}

TEST_F(EngineRetentionTest, WhatIsKeptSaysWhy) {
  const Wired wired = Wire();
  ASSERT_TRUE(Publish("orders", {"a", "b", "c", "d"}).ok());
  const std::vector<Delivery> held = wired.consumer->Take();
  engine_->CreateSnapshot(*SnapshotName::Parse("projects/test/snapshots/before"),
                          SubscriptionNamed("billing"), {},
                          [](const auto& made) { EXPECT_TRUE(made.ok()); });
  wired.subscription->Ack(wired.id, {{held[0].first_lease, held[0].first_lease + 2}});
  const RetainedMessages retained = FindTopic("orders")->stats().retained;
  EXPECT_EQ(retained.backlog, 1u);
  EXPECT_EQ(retained.snapshot, 3u);
  EXPECT_EQ(retained.no_subscription, 0u);
  EXPECT_EQ(retained.acked, 0u);
  engine_->DeleteSnapshot(*SnapshotName::Parse("projects/test/snapshots/before"),
                          [](const absl::Status& status) { EXPECT_TRUE(status.ok()); });
  EXPECT_EQ(Stored(), 1u);
}

// A seek back, a seek forward: the floor follows both.
TEST_F(EngineRetentionTest, ASeekHoldsWhatItGoesBackToAndFreesWhatItPasses) {
  ASSERT_TRUE(CreateTopic("orders").ok());
  ASSERT_TRUE(CreateSubscription("fast", "orders").ok());
  ASSERT_TRUE(CreateSubscription("slow", "orders").ok());
  const Wired fast = Connect("fast");
  PublishAndAck({fast});
  const auto seek = [&](std::string_view name, const StartPosition& to) {
    engine_->Seek(SubscriptionNamed(name), to,
                  [](const absl::Status& status) { EXPECT_TRUE(status.ok()) << status; });
  };
  seek("fast", Earliest{});
  seek("slow", Latest{});
  EXPECT_EQ(Stored(), 6u);
  EXPECT_EQ(fast.consumer->Take().size(), 3u);
  seek("fast", Latest{});
  EXPECT_EQ(Stored(), 0u);
}

// As after a crash between an acknowledgement and its record.
TEST_F(EngineRetentionTest, ACursorBehindTheLogDoesNotHoldItBack) {
  const Wired wired = Wire(0);
  ASSERT_TRUE(Publish("orders", {"a", "b"}).ok());
  const TopicId id = FindTopic("orders")->id();
  ASSERT_TRUE(engine_->Shutdown(absl::Seconds(5)).ok());
  engine_ = nullptr;
  store_->Log(id)->Trim(Offset(2));
  Open();
  const Wired again = Connect("billing");
  EXPECT_EQ(again.subscription->stats().backlog_messages, 1);
  const std::vector<Delivery> left = again.consumer->Take();
  ASSERT_EQ(left.size(), 1u);
  EXPECT_EQ(left[0].offsets().begin, Offset(2));
  again.subscription->Ack(again.id, Leases(left));
  EXPECT_EQ(Stored(), 0u);
}

// Retention raises every floor at once.
TEST_F(EngineRetentionTest, WhatIsAcknowledgedAfterRetentionTookTheRestIsFreed) {
  const Wired wired = Wire(0);
  ASSERT_TRUE(Publish("orders", {"old", "older"}).ok());
  Advance(kDefaultRetention + absl::Minutes(1));
  ASSERT_EQ(Stored(), 0u);
  wired.subscription->Grant(wired.id, 100, Subscription::kNoByteLimit);
  PublishAndAck({wired});
  EXPECT_EQ(Stored(), 0u);
}

// A publish passes those by that have no consumer; they know what they missed when one comes.
TEST_F(EngineRetentionTest, AnIdleSubscriptionCountsItsBacklogAndDeliversIt) {
  ASSERT_TRUE(CreateTopic("orders").ok());
  ASSERT_TRUE(CreateSubscription("idle", "orders").ok());
  ASSERT_TRUE(Publish("orders", {"a", "b"}).ok());
  EXPECT_EQ(FindSubscription("idle")->stats().backlog_messages, 2);
  {
    const Wired wired = Connect("idle");
    EXPECT_EQ(wired.consumer->TakeData(), (std::vector<std::string>{"a", "b"}));
    wired.subscription->Detach(wired.id);
  }
  ASSERT_TRUE(Publish("orders", {"c"}).ok());
  EXPECT_EQ(FindSubscription("idle")->stats().backlog_messages, 3);
  EXPECT_EQ(Connect("idle").consumer->TakeData(), (std::vector<std::string>{"a", "b", "c"}));
}

// Subscriptions come, go, acknowledge and seek back; what is stored begins where the slowest of
// them is.
TEST_F(EngineRetentionTest, TheLowestFloorOfManyIsFound) {
  std::mt19937 random(5);
  ASSERT_TRUE(CreateTopic("orders").ok());
  std::map<std::string, Wired> there;
  const auto any = [&] {
    return std::next(there.begin(), static_cast<ptrdiff_t>(random() % there.size()));
  };
  const auto lowest = [&] {
    Offset floor = Extent().next;
    for (const auto& [name, wired] : there) floor = std::min(floor, wired.subscription->floor());
    return floor;
  };
  for (int step = 0; step < 3000; ++step) {
    const uint32_t what = random() % 10;
    if (there.size() < 2 || (what == 0 && there.size() < 30)) {
      const std::string name = "sub" + std::to_string(step);
      ASSERT_TRUE(CreateSubscription(name, "orders", Latest{}).ok());
      there[name] = Connect(name);
    } else if (what == 1) {
      const auto gone = any();
      Delete(gone->first);
      there.erase(gone);
    } else if (what == 2) {
      ASSERT_TRUE(Publish("orders", {"a"}).ok());
    } else if (what == 3) {
      engine_->Seek(any()->second.subscription->config().name,
                    Extent().first + random() % (Extent().next - Extent().first + 1),
                    [](const absl::Status& status) { EXPECT_TRUE(status.ok()); });
    } else {
      const Wired& wired = any()->second;
      wired.subscription->Ack(wired.id, Leases(wired.consumer->Take()));
    }
    ASSERT_EQ(Extent().first, lowest()) << "after step " << step;
  }
}

}  // namespace
}  // namespace sluice
