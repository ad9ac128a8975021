// Runs by hand, of what needs a store that takes its time: seeks and dead letters that meet. The
// model says whether all is well.
#include "tests/model/world.h"
#include "gtest/gtest.h"

namespace sluice::model {
namespace {

class WorldTest : public testing::Test {
 protected:
  void SetUp() override {
    TopicConfig topic;
    topic.retention = kMaxRetention;
    topic.acked_retention = kMinRetention;
    world_.CreateTopic("graveyard", topic);
    world_.CreateTopic("orders", topic);
    SubscriptionConfig config;
    config.name = *SubscriptionName::Parse("projects/test/subscriptions/billing");
    config.topic = *TopicName::Parse("projects/test/topics/orders");
    config.dead_letter =
        DeadLetterPolicy{.topic = *TopicName::Parse("projects/test/topics/graveyard")};
    config.ordered = true;
    world_.CreateSubscription(config, FilterCases()[0]);
    client_ = world_.Attach(0);
    world_.Grant(client_, 1000, Subscription::kNoByteLimit);
  }
  void TearDown() override {
    if (world_.findings().empty()) world_.Drain();
    for (const auto& finding : world_.findings().all()) {
      ADD_FAILURE() << ToString(finding.invariant) << ": " << finding.what;
    }
  }
  void Publish(std::vector<Message> messages) { world_.Publish(1, std::move(messages), false); }
  LeaseRange Leases() const {
    return {world_.LeasesOf(client_).front(), world_.LeasesOf(client_).back()};
  }
  // Until its attempts are used up, the last time with a store that takes its time.
  void FailTheOnlyOneOut() {
    for (uint32_t attempt = 1; attempt <= kMinDeliveryAttempts; ++attempt) {
      ASSERT_EQ(world_.LeasesOf(client_).size(), 1u) << attempt;
      if (attempt == kMinDeliveryAttempts) world_.SetPrompt(false);
      world_.Nack(client_, Leases(), absl::ZeroDuration());
      if (attempt < kMinDeliveryAttempts) world_.Advance(absl::Seconds(1), false);
    }
  }

  // Without a cache a dead letter has to be read before it is copied.
  World world_{{.tail_cache_bytes = 0}};
  size_t client_ = 0;
};

TEST_F(WorldTest, ASeekForgetsADeadLetterThatIsStillBeingRead) {
  Publish({{.data = "bad"}});
  FailTheOnlyOneOut();
  ASSERT_GT(world_.staged(), 0u);
  world_.Seek(0, Earliest{});
  world_.SetPrompt(true);
  EXPECT_EQ(world_.truth().dead_lettered, 0u);
  EXPECT_EQ(world_.LeasesOf(client_).size(), 1u);
  world_.Crash();
}

TEST_F(WorldTest, WhatWaitsForItsTimeBehindADeadLetterComesWhenTheLetterTookItsTime) {
  const int64_t later_us = absl::ToUnixMicros(world_.wall() + absl::Minutes(5));
  Publish({{.data = "bad", .key = "a"}, {.data = "late", .key = "a", .deliver_at_us = later_us}});
  FailTheOnlyOneOut();
  // Longer than any lease: no timer is left from before.
  world_.Advance(absl::Minutes(1), false);
  world_.SetPrompt(true);
  world_.Advance(absl::Minutes(4), false);
  EXPECT_EQ(world_.LeasesOf(client_).size(), 1u);
}

TEST_F(WorldTest, ATrimThatIsBeingWorkedOutDoesNotTakeWhatASeekWentBackTo) {
  Publish({{.data = "good"}});
  world_.Ack(client_, {Leases()});
  world_.SetPrompt(false);
  world_.Advance(kMinRetention + absl::Minutes(1), false);
  ASSERT_GT(world_.staged(), 0u);
  world_.Seek(0, Earliest{});
  world_.SetPrompt(true);
  EXPECT_EQ(world_.LeasesOf(client_).size(), 1u);
}

}  // namespace
}  // namespace sluice::model
