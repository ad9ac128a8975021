// Seeking, snapshots, acknowledged messages that are kept, and acknowledgements that are confirmed.
#include "core/base/error.h"
#include "gmock/gmock.h"
#include "tests/support/engine_fixture.h"
#include "tests/support/messages.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class EngineSeekTest : public EngineFixture {
 protected:
  void WireKeeping(absl::Duration acked_retention = absl::Hours(1), bool exactly_once = false) {
    TopicConfig topic;
    topic.name = TopicNamed("orders");
    topic.acked_retention = acked_retention;
    engine_->CreateTopic(topic, [](const auto& made) { ASSERT_TRUE(made.ok()) << made.status(); });
    SubscriptionConfig config;
    config.name = SubscriptionNamed("billing");
    config.topic = TopicNamed("orders");
    config.exactly_once = exactly_once;
    ASSERT_EQ(CreateSubscription(config), absl::OkStatus());
    wired_ = Connect("billing");
  }
  absl::Status Seek(const StartPosition& to) {
    absl::Status result = absl::UnknownError("no answer");
    engine_->Seek(SubscriptionNamed("billing"), to,
                  [&](const absl::Status& status) { result = status; });
    return result;
  }
  absl::Status SeekToSnapshot(std::string_view id) {
    absl::Status result = absl::UnknownError("no answer");
    engine_->Seek(SubscriptionNamed("billing"), SnapshotNamed(id),
                  [&](const absl::Status& status) { result = status; });
    return result;
  }
  absl::StatusOr<Snapshot> CreateSnapshot(std::string_view id,
                                          std::string_view subscription = "billing") {
    absl::StatusOr<Snapshot> result = absl::UnknownError("no answer");
    engine_->CreateSnapshot(SnapshotNamed(id), SubscriptionNamed(subscription), {},
                            [&](auto made) { result = made; });
    return result;
  }
  static SnapshotName SnapshotNamed(std::string_view id) {
    return *SnapshotName::Parse("projects/test/snapshots/" + std::string(id));
  }
  std::vector<std::string> TakeAndAck() {
    const auto deliveries = wired_.consumer->Take();
    wired_.subscription->Ack(wired_.id, Leases(deliveries));
    std::vector<std::string> data;
    for (const Received& one : Flatten(deliveries)) data.push_back(one.data);
    return data;
  }

  Wired wired_;
};

TEST_F(EngineSeekTest, WhatWasAcknowledgedComesAgainAfterASeekBack) {
  WireKeeping();
  ASSERT_TRUE(Publish("orders", {"a", "b", "c"}).ok());
  ASSERT_THAT(TakeAndAck(), ElementsAre("a", "b", "c"));
  ASSERT_EQ(Seek(Offset(2)), absl::OkStatus());
  EXPECT_EQ(Told(Flatten(wired_.consumer->Take())), "b1 c1");
  ASSERT_EQ(Seek(Earliest{}), absl::OkStatus());
  EXPECT_THAT(TakeAndAck(), ElementsAre("a", "b", "c"));
  EXPECT_EQ(wired_.subscription->stats().backlog_messages, 0);
}

TEST_F(EngineSeekTest, ASeekToTheEndPurges) {
  WireKeeping();
  wired_.subscription->Detach(wired_.id);
  ASSERT_TRUE(Publish("orders", {"a", "b"}).ok());
  ASSERT_EQ(Seek(Latest{}), absl::OkStatus());
  EXPECT_EQ(FindSubscription("billing")->stats().backlog_messages, 0);
  ASSERT_TRUE(Publish("orders", {"c"}).ok());
  EXPECT_THAT(Connect("billing").consumer->TakeData(), ElementsAre("c"));
}

TEST_F(EngineSeekTest, ASeekToATimeDividesThereAndAFutureOnePurges) {
  WireKeeping();
  ASSERT_TRUE(Publish("orders", {"a"}).ok());
  Advance(absl::Seconds(5));
  const absl::Time between = clock_.WallNow();
  ASSERT_TRUE(Publish("orders", {"b"}).ok());
  ASSERT_THAT(TakeAndAck(), ElementsAre("a", "b"));
  ASSERT_EQ(Seek(between), absl::OkStatus());
  EXPECT_THAT(TakeAndAck(), ElementsAre("b"));
  ASSERT_EQ(Seek(Earliest{}), absl::OkStatus());
  wired_.consumer->Take();
  ASSERT_EQ(Seek(clock_.WallNow() + absl::Hours(1)), absl::OkStatus());
  EXPECT_EQ(wired_.subscription->stats().backlog_messages, 0);
}

TEST_F(EngineSeekTest, LeasesOfBeforeAreOver) {
  WireKeeping();
  ASSERT_TRUE(Publish("orders", {"a"}).ok());
  const auto before = wired_.consumer->Take();
  ASSERT_EQ(Seek(Earliest{}), absl::OkStatus());
  EXPECT_EQ(wired_.subscription->Ack(wired_.id, Leases(before)), 0);
  EXPECT_EQ(wired_.subscription->stats().backlog_messages, 1);
  EXPECT_THAT(TakeAndAck(), ElementsAre("a"));
}

TEST_F(EngineSeekTest, ASeekSurvivesARestart) {
  WireKeeping();
  ASSERT_TRUE(Publish("orders", {"a", "b", "c"}).ok());
  TakeAndAck();
  wired_.subscription->Detach(wired_.id);
  ASSERT_EQ(Seek(Offset(3)), absl::OkStatus());
  Reopen();
  EXPECT_EQ(Told(Flatten(Connect("billing").consumer->Take())), "c1");
}

TEST_F(EngineSeekTest, AcknowledgedMessagesGoWhenTheirTimeIsOver) {
  WireKeeping(absl::Minutes(20));
  ASSERT_TRUE(Publish("orders", {"a"}).ok());
  ASSERT_THAT(TakeAndAck(), ElementsAre("a"));
  Advance(absl::Minutes(10));
  ASSERT_TRUE(Publish("orders", {"b"}).ok());
  ASSERT_THAT(TakeAndAck(), ElementsAre("b"));
  EXPECT_EQ(FindTopic("orders")->stats().extent.first, Offset(1));
  Advance(absl::Minutes(11));
  EXPECT_EQ(FindTopic("orders")->stats().extent.first, Offset(2));
  Advance(absl::Minutes(10));
  EXPECT_EQ(FindTopic("orders")->stats().extent.first, Offset(3));
}

TEST_F(EngineSeekTest, ASubscriptionMayWantAcknowledgedMessagesKeptToo) {
  WireKeeping(absl::ZeroDuration());
  SubscriptionConfig config;
  config.name = SubscriptionNamed("replayer");
  config.topic = TopicNamed("orders");
  config.acked_retention = absl::Hours(1);
  ASSERT_EQ(CreateSubscription(config), absl::OkStatus());
  const Wired replayer = Connect("replayer");
  ASSERT_TRUE(Publish("orders", {"a"}).ok());
  TakeAndAck();
  replayer.subscription->Ack(replayer.id, Leases(replayer.consumer->Take()));
  EXPECT_EQ(FindTopic("orders")->stats().extent.first, Offset(1));
  engine_->DeleteSubscription(SubscriptionNamed("replayer"), [](const absl::Status&) {});
  EXPECT_EQ(FindTopic("orders")->stats().extent.first, Offset(2));
}

TEST_F(EngineSeekTest, ASnapshotBringsBackWhatWasNotAcknowledgedAndAllThatCameAfter) {
  WireKeeping(absl::ZeroDuration());
  ASSERT_TRUE(Publish("orders", {"a", "b", "c"}).ok());
  const auto first = Flatten(wired_.consumer->Take());
  wired_.subscription->Ack(wired_.id, {{first[1].lease, first[1].lease}});
  auto made = CreateSnapshot("before-deploy");
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(made->expire_time, clock_.WallNow() + absl::Hours(7 * 24));
  wired_.subscription->Ack(wired_.id, {{first[0].lease, first[2].lease}});
  ASSERT_TRUE(Publish("orders", {"d"}).ok());
  TakeAndAck();
  ASSERT_EQ(wired_.subscription->stats().backlog_messages, 0);
  Reopen();
  wired_ = Connect("billing");
  ASSERT_EQ(SeekToSnapshot("before-deploy"), absl::OkStatus());
  EXPECT_THAT(TakeAndAck(), ElementsAre("a", "c", "d"));
}

TEST_F(EngineSeekTest, ASnapshotLetsGoOfTheLogWhenItIsDeletedOrExpires) {
  WireKeeping(absl::ZeroDuration());
  ASSERT_TRUE(Publish("orders", {"a"}).ok());
  ASSERT_TRUE(CreateSnapshot("one").ok());
  ASSERT_TRUE(CreateSnapshot("two").ok());
  TakeAndAck();
  EXPECT_EQ(FindTopic("orders")->stats().extent.first, Offset(1));
  EXPECT_EQ(FindTopic("orders")->stats().subscriptions, 1);
  engine_->DeleteSnapshot(SnapshotNamed("one"),
                          [](const absl::Status& status) { EXPECT_EQ(status, absl::OkStatus()); });
  EXPECT_EQ(FindTopic("orders")->stats().extent.first, Offset(1));
  Advance(absl::Hours(7 * 24));
  Advance(absl::Seconds(10));
  EXPECT_THAT(engine_->ListSnapshots("", "", 10), IsEmpty());
  EXPECT_EQ(FindTopic("orders")->stats().extent.first, Offset(2));
}

TEST_F(EngineSeekTest, SnapshotsOfAnotherTopicAndMissingOnesAreRefused) {
  WireKeeping();
  ASSERT_EQ(CreateTopic("other"), absl::OkStatus());
  ASSERT_EQ(CreateSubscription("elsewhere", "other"), absl::OkStatus());
  ASSERT_TRUE(CreateSnapshot("of-other", "elsewhere").ok());
  EXPECT_EQ(ReasonOf(SeekToSnapshot("of-other")), Reason::kInvalidSeek);
  EXPECT_EQ(ReasonOf(SeekToSnapshot("nowhere")), Reason::kSnapshotNotFound);
  EXPECT_EQ(ReasonOf(CreateSnapshot("of-other").status()), Reason::kSnapshotExists);
}

TEST_F(EngineSeekTest, ASnapshotThatWouldLiveUnderAnHourIsRefused) {
  WireKeeping(absl::ZeroDuration());
  wired_.subscription->Detach(wired_.id);
  ASSERT_TRUE(Publish("orders", {"a"}).ok());
  Advance(absl::Hours(7 * 24) - absl::Hours(1));
  EXPECT_TRUE(CreateSnapshot("just").ok());
  Advance(absl::Minutes(1));
  EXPECT_EQ(ReasonOf(CreateSnapshot("late").status()), Reason::kSnapshotTooShort);
}

TEST_F(EngineSeekTest, AConfirmedAckIsNeverDeliveredAgainAndALateOneIsRefused) {
  WireKeeping(absl::ZeroDuration(), true);
  ASSERT_TRUE(Publish("orders", {"a", "b"}).ok());
  const auto first = Flatten(wired_.consumer->Take());
  AckOutcome outcome;
  const auto keep = [&](AckOutcome o) { outcome = std::move(o); };
  wired_.subscription->AckConfirmed(wired_.id, {{first[0].lease, first[0].lease}}, keep);
  ASSERT_EQ(outcome.confirmed.size(), 1);
  Advance(absl::Seconds(10));
  EXPECT_EQ(Told(Flatten(wired_.consumer->Take())), "b2");
  // The first again, and the second under its old lease.
  wired_.subscription->AckConfirmed(wired_.id, {{first[0].lease, first[1].lease}}, keep);
  EXPECT_TRUE(outcome.confirmed.empty());
  ASSERT_EQ(outcome.refused.size(), 1);
  EXPECT_EQ(outcome.refused[0].first, first[0].lease);
  EXPECT_EQ(outcome.refused[0].last, first[1].lease);
  Reopen();
  EXPECT_EQ(Told(Flatten(Connect("billing").consumer->Take())), "b2");
}

}  // namespace
}  // namespace sluice
