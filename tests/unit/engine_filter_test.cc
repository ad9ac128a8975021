// What a filter leaves out counts as acknowledged, wherever the subscription meets it.
#include "core/base/error.h"
#include "gmock/gmock.h"
#include "tests/support/engine_fixture.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class EngineFilterTest : public EngineFixture {
 protected:
  void SetUp() override {
    ASSERT_TRUE(CreateTopic("orders").ok());
    SubscriptionConfig config;
    config.name = SubscriptionNamed("red");
    config.topic = TopicNamed("orders");
    config.filter = "attributes.colour = \"red\" OR priority = 9";
    ASSERT_TRUE(CreateSubscription(config).ok());
  }

  // "red-1 blue-2" publishes two messages, each with its colour.
  void PublishColours(const std::vector<std::string>& names) {
    BatchBuilder builder;
    for (const std::string& name : names) {
      const std::string colour = name.substr(0, name.find('-'));
      ASSERT_TRUE(
          builder.Add({.data = name, .attributes = {{"colour", colour}}, .ordering_key = {}}).ok());
    }
    FindTopic("orders")->Publish(*builder.Build(),
                                 [](const auto& published) { ASSERT_TRUE(published.ok()); });
  }
  int64_t Backlog() { return FindSubscription("red")->stats().backlog_messages; }
};

TEST_F(EngineFilterTest, DeliversWhatMatchesAndSettlesTheRest) {
  auto wired = Connect("red");
  PublishColours({"blue-1", "red-2", "red-3", "blue-4", "red-5", "blue-6"});
  const auto deliveries = wired.consumer->deliveries();
  EXPECT_THAT(wired.consumer->TakeData(), ElementsAre("red-2", "red-3", "red-5"));
  ASSERT_EQ(deliveries.size(), 2u) << "neighbours that match stay one run";
  EXPECT_EQ(Backlog(), 3);
  EXPECT_EQ(wired.subscription->Ack(wired.id, Leases(deliveries)), 3u);
  EXPECT_EQ(Backlog(), 0);
  EXPECT_EQ(wired.subscription->floor(), Offset(7));
  EXPECT_EQ(metrics_.engine.filtered_messages.value(), 3u);
}

TEST_F(EngineFilterTest, WhatDoesNotMatchIsLetGoWithoutAConsumer) {
  PublishColours({"blue-1", "blue-2"});
  PublishColours({"blue-3", "red-4"});
  EXPECT_EQ(Backlog(), 1);
  EXPECT_EQ(FindTopic("orders")->log().extent().first, Offset(4));
}

TEST_F(EngineFilterTest, PrioritiesFilterToo) {
  auto wired = Connect("red");
  BatchBuilder builder;
  ASSERT_TRUE(
      builder.Add({.data = "low", .attributes = {}, .ordering_key = {}, .priority = 1}).ok());
  ASSERT_TRUE(
      builder.Add({.data = "high", .attributes = {}, .ordering_key = {}, .priority = 9}).ok());
  FindTopic("orders")->Publish(*builder.Build(),
                               [](const auto& published) { ASSERT_TRUE(published.ok()); });
  EXPECT_THAT(wired.consumer->TakeData(), ElementsAre("high"));
}

TEST_F(EngineFilterTest, ABacklogIsFilteredWhenAConsumerComes) {
  PublishColours({"red-1"});
  for (int i = 0; i < 5000; ++i)
    PublishColours({"blue-" + std::to_string(i), "green-" + std::to_string(i)});
  PublishColours({"red-2", "blue-2"});
  auto wired = Connect("red", 1);
  EXPECT_THAT(wired.consumer->TakeData(), ElementsAre("red-1"));
  wired.subscription->Grant(wired.id, 1, Subscription::kNoByteLimit);
  EXPECT_THAT(wired.consumer->TakeData(), ElementsAre("red-2"));
}

TEST_F(EngineFilterTest, SkippedMessagesDoNotComeBackAfterARestart) {
  {
    auto wired = Connect("red");
    PublishColours({"blue-1", "red-2", "blue-3", "red-4"});
    EXPECT_THAT(wired.consumer->TakeData(), ElementsAre("red-2", "red-4"));
  }
  Reopen();
  EXPECT_EQ(Backlog(), 2);
  auto wired = Connect("red");
  const auto again = wired.consumer->deliveries();
  EXPECT_THAT(wired.consumer->TakeData(), ElementsAre("red-2", "red-4"));
  EXPECT_EQ(again.front().attempt, 1u);
}

TEST_F(EngineFilterTest, NackedMessagesComeAgainAndOthersDoNot) {
  auto wired = Connect("red");
  PublishColours({"red-1", "blue-2", "red-3"});
  for (const LeaseRange& range : Leases(wired.consumer->Take())) {
    wired.subscription->Nack(wired.id, range, absl::ZeroDuration());
  }
  EXPECT_THAT(wired.consumer->TakeData(), ElementsAre("red-1", "red-3"));
}

TEST_F(EngineFilterTest, AFilterThatIsWrongIsRefused) {
  SubscriptionConfig config;
  config.name = SubscriptionNamed("wrong");
  config.topic = TopicNamed("orders");
  config.filter = "colour = red";
  EXPECT_EQ(ReasonOf(CreateSubscription(config)), Reason::kInvalidFilter);
}

TEST_F(EngineFilterTest, TheBacklogIsTrueWhileNobodyConsumes) {
  for (int i = 0; i < 10; ++i) PublishColours({"red-1", "blue-2", "blue-3", "red-4"});
  EXPECT_EQ(Backlog(), 20);
  PublishColours({"blue-5"});
  EXPECT_EQ(Backlog(), 20);
}

TEST_F(EngineFilterTest, TheBacklogIsTrueAfterARestartAndAfterASeek) {
  for (int i = 0; i < 10; ++i) PublishColours({"red-1", "blue-2", "blue-3", "red-4"});
  Reopen();
  engine_->timers().RunDue();
  EXPECT_EQ(Backlog(), 20);
  engine_->Seek(SubscriptionNamed("red"), Offset(10),
                [](const absl::Status& status) { ASSERT_TRUE(status.ok()); });
  engine_->timers().RunDue();
  EXPECT_EQ(Backlog(), 15);
}

TEST_F(EngineFilterTest, TheBacklogIsTrueWhileAConsumerIsPartOfTheWay) {
  for (int i = 0; i < 10; ++i) PublishColours({"red-1", "blue-2", "blue-3", "red-4"});
  const auto wired = Connect("red", 7);
  EXPECT_EQ(Backlog(), 20);
  wired.subscription->Ack(wired.id, Leases(wired.consumer->Take()));
  EXPECT_EQ(Backlog(), 13);
}

// The oldest that counts is the first that matches, and the log holds nothing before it.
TEST_F(EngineFilterTest, WhatTheFilterLeavesOutHoldsNothingWithoutAConsumer) {
  PublishColours({"red-1", "blue-2", "blue-3"});
  const auto wired = Connect("red", 1);
  const auto held = wired.consumer->Take();
  wired.subscription->Detach(wired.id);
  Advance(absl::Seconds(100));
  PublishColours({"blue-4", "red-5"});
  Wired again = Connect("red", 1);
  again.subscription->Ack(again.id, Leases(again.consumer->Take()));
  again.subscription->Detach(again.id);
  engine_->timers().RunDue();
  EXPECT_EQ(Backlog(), 1);
  EXPECT_EQ(FindTopic("orders")->log().extent().first, Offset(5));
  EXPECT_EQ(FindSubscription("red")->stats().oldest_unacked_publish_time_us,
            absl::ToUnixMicros(clock_.WallNow()));
}

}  // namespace
}  // namespace sluice
