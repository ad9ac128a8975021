// What is left of a topic that was deleted: what its subscriptions and snapshots have not
// acknowledged, until the last is gone.
#include "core/base/error.h"
#include "core/engine/dead_letter.h"
#include "gmock/gmock.h"
#include "tests/support/engine_fixture.h"
#include "tests/support/messages.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class EngineTopicDeletionTest : public EngineFixture {
 protected:
  absl::Status DeleteTopic(std::string_view id = "orders") {
    absl::Status result = absl::UnknownError("no answer");
    engine_->DeleteTopic(TopicNamed(id), [&](const absl::Status& status) { result = status; });
    return result;
  }
  absl::Status DeleteSubscription(std::string_view id) {
    absl::Status result = absl::UnknownError("no answer");
    engine_->DeleteSubscription(SubscriptionNamed(id),
                                [&](const absl::Status& status) { result = status; });
    return result;
  }
  absl::StatusOr<Snapshot> CreateSnapshot(std::string_view subscription) {
    absl::StatusOr<Snapshot> result = absl::UnknownError("no answer");
    engine_->CreateSnapshot(kSnapshot, SubscriptionNamed(subscription), {},
                            [&](auto made) { result = made; });
    return result;
  }
  absl::Status Seek(const StartPosition& to) {
    absl::Status result = absl::UnknownError("no answer");
    engine_->Seek(SubscriptionNamed("billing"), to,
                  [&](const absl::Status& status) { result = status; });
    return result;
  }
  static void AckAll(Wired& wired) {
    wired.subscription->Ack(wired.id, Leases(wired.consumer->Take()));
  }

  const SnapshotName kSnapshot = *SnapshotName::Parse("projects/test/snapshots/before");
};

TEST_F(EngineTopicDeletionTest, TheBacklogStaysDeliverableAlsoAfterARestart) {
  auto wired = Wire(/*credit=*/2);
  ASSERT_TRUE(Publish("orders", {"a", "b", "c", "d", "e"}).ok());
  EXPECT_EQ(DeleteTopic(), absl::OkStatus());
  EXPECT_FALSE(FindSubscription("billing")->config().topic.has_value());
  EXPECT_EQ(FindSubscription("billing")->stats().backlog_messages, 5);
  EXPECT_EQ(wired.consumer->ended(), absl::OkStatus());
  AckAll(wired);
  wired.subscription->Grant(wired.id, 1, Subscription::kNoByteLimit);
  EXPECT_THAT(wired.consumer->TakeData(), ElementsAre("c"));
  Reopen();
  EXPECT_FALSE(FindSubscription("billing")->config().topic.has_value());
  auto again = Connect("billing");
  EXPECT_THAT(again.consumer->TakeData(), ElementsAre("c", "d", "e"));
}

TEST_F(EngineTopicDeletionTest, AnotherTopicMayHaveTheName) {
  Wire(/*credit=*/0);
  ASSERT_TRUE(Publish("orders", {"a"}).ok());
  ASSERT_EQ(DeleteTopic(), absl::OkStatus());
  EXPECT_EQ(ReasonOf(engine_->FindTopic(TopicNamed("orders")).status()), Reason::kTopicNotFound);
  ASSERT_TRUE(CreateTopic("orders").ok());
  ASSERT_TRUE(CreateSubscription("fresh", "orders").ok());
  ASSERT_TRUE(Publish("orders", {"b"}).ok());
  for (int round = 0; round < 2; ++round) {
    EXPECT_THAT(Connect("billing").consumer->TakeData(), ElementsAre("a"));
    EXPECT_THAT(Connect("fresh").consumer->TakeData(), ElementsAre("b"));
    EXPECT_EQ(engine_->topic_count(), 1u);
    Reopen();
  }
}

TEST_F(EngineTopicDeletionTest, SeekingAndSnapshotsWork) {
  TopicConfig topic;
  topic.name = TopicNamed("orders");
  topic.acked_retention = absl::Hours(1);
  engine_->CreateTopic(topic, [](const auto& made) { ASSERT_TRUE(made.ok()) << made.status(); });
  ASSERT_TRUE(CreateSubscription("billing", "orders").ok());
  auto wired = Connect("billing");
  ASSERT_TRUE(Publish("orders", {"a", "b"}).ok());
  ASSERT_EQ(DeleteTopic(), absl::OkStatus());
  const auto snapshot = CreateSnapshot("billing");
  ASSERT_TRUE(snapshot.ok()) << snapshot.status();
  EXPECT_FALSE(snapshot->topic.has_value());
  AckAll(wired);
  EXPECT_EQ(Seek(Earliest{}), absl::OkStatus());
  EXPECT_THAT(wired.consumer->TakeData(), ElementsAre("a", "b"));
  EXPECT_EQ(Seek(Latest{}), absl::OkStatus());
  EXPECT_EQ(FindSubscription("billing")->stats().backlog_messages, 0);
  Reopen();
  wired = Connect("billing");
  absl::Status sought = absl::UnknownError("no answer");
  engine_->Seek(SubscriptionNamed("billing"), kSnapshot,
                [&](const absl::Status& status) { sought = status; });
  EXPECT_EQ(sought, absl::OkStatus());
  EXPECT_THAT(wired.consumer->TakeData(), ElementsAre("a", "b"));
}

TEST_F(EngineTopicDeletionTest, ItsMessagesGoWithTheLastThatNeedsThem) {
  Wire(/*credit=*/0);
  ASSERT_TRUE(CreateSubscription("audit", "orders").ok());
  ASSERT_TRUE(Publish("orders", {"a"}).ok());
  ASSERT_EQ(DeleteTopic(), absl::OkStatus());
  ASSERT_TRUE(CreateSnapshot("audit").ok());
  const uint64_t kept = store_->bytes();
  EXPECT_GT(kept, 0u);
  ASSERT_EQ(DeleteSubscription("billing"), absl::OkStatus());
  engine_->DetachSubscription(SubscriptionNamed("audit"),
                              [](const auto& status) { EXPECT_TRUE(status.ok()); });
  EXPECT_EQ(store_->bytes(), kept) << "the snapshot needs them";
  Reopen();
  EXPECT_EQ(store_->bytes(), kept);
  engine_->DeleteSnapshot(kSnapshot, [](const auto& status) { EXPECT_TRUE(status.ok()); });
  EXPECT_EQ(store_->bytes(), 0u);
  EXPECT_EQ(store_->Contents().topics.size(), 0u);
}

TEST_F(EngineTopicDeletionTest, ATopicWithoutSubscriptionsGoesAtOnce) {
  ASSERT_TRUE(CreateTopic("orders").ok());
  ASSERT_TRUE(Publish("orders", {"a"}).ok());
  EXPECT_EQ(DeleteTopic(), absl::OkStatus());
  EXPECT_EQ(store_->bytes(), 0u);
}

TEST_F(EngineTopicDeletionTest, ACrashBehindTheLastSubscriptionLeavesNothing) {
  Wire(/*credit=*/0);
  ASSERT_TRUE(Publish("orders", {"a"}).ok());
  ASSERT_EQ(DeleteTopic(), absl::OkStatus());
  const SubscriptionId id = FindSubscription("billing")->id();
  ASSERT_TRUE(engine_->Shutdown(absl::Seconds(5)).ok());
  engine_ = nullptr;
  store_->RemoveSubscription(id);
  EXPECT_GT(store_->bytes(), 0u);
  Open();
  EXPECT_EQ(store_->bytes(), 0u);
}

TEST_F(EngineTopicDeletionTest, ItsRetentionGoesOn) {
  Wire(/*credit=*/0);
  ASSERT_TRUE(Publish("orders", {"a"}).ok());
  ASSERT_EQ(DeleteTopic(), absl::OkStatus());
  Advance(kDefaultRetention + absl::Seconds(20));
  EXPECT_EQ(FindSubscription("billing")->stats().backlog_messages, 0);
}

TEST_F(EngineTopicDeletionTest, WhatFailsIsStillDeadLettered) {
  ASSERT_TRUE(CreateTopic("orders").ok());
  ASSERT_TRUE(CreateTopic("graveyard").ok());
  ASSERT_TRUE(CreateSubscription("undertaker", "graveyard").ok());
  SubscriptionConfig config;
  config.name = SubscriptionNamed("billing");
  config.topic = TopicNamed("orders");
  config.dead_letter = DeadLetterPolicy{TopicNamed("graveyard"), 5};
  ASSERT_EQ(CreateSubscription(config), absl::OkStatus());
  ASSERT_TRUE(Publish("orders", {"a"}).ok());
  ASSERT_EQ(DeleteTopic(), absl::OkStatus());
  auto wired = Connect("billing");
  for (int i = 0; i < 5; ++i) {
    for (const LeaseRange& range : Leases(wired.consumer->Take())) {
      wired.subscription->Nack(wired.id, range, absl::ZeroDuration());
    }
    Advance(absl::Minutes(1));
  }
  const auto undertaker = Connect("undertaker");
  const auto buried = Flatten(undertaker.consumer->deliveries());
  ASSERT_EQ(buried.size(), 1u);
  EXPECT_EQ(buried[0].data, "a");
}

TEST_F(EngineTopicDeletionTest, AnEphemeralSubscriptionEnds) {
  Wire(/*credit=*/0);
  SubscriptionConfig config;
  config.topic = TopicNamed("orders");
  std::shared_ptr<Subscription> ephemeral;
  engine_->OpenEphemeral(config, Latest{}, [&](const auto& made) { ephemeral = *made; });
  auto consumer = std::make_shared<FakeConsumer>();
  ASSERT_TRUE(ephemeral->Attach(consumer, {}).ok());
  ASSERT_TRUE(Publish("orders", {"a"}).ok());
  ASSERT_EQ(DeleteTopic(), absl::OkStatus());
  EXPECT_EQ(ReasonOf(consumer->ended()), Reason::kTopicDeleted);
  EXPECT_EQ(metrics_.engine.dropped_by_topic_deletion.value(), 1u);
}

}  // namespace
}  // namespace sluice
