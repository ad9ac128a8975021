// Retry policies, and what happens when attempts are used up.
#include <set>

#include "core/base/error.h"
#include "core/engine/dead_letter.h"
#include "gmock/gmock.h"
#include "tests/support/engine_fixture.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class EngineDeadLetterTest : public EngineFixture {
 protected:
  void SetUp() override {
    ASSERT_TRUE(CreateTopic("orders").ok());
    ASSERT_TRUE(CreateTopic("graveyard").ok());
    ASSERT_TRUE(CreateSubscription("undertaker", "graveyard").ok());
    ASSERT_TRUE(CreateSubscription(Config()).ok());
  }

  SubscriptionConfig Config(std::string_view id = "billing", std::string_view topic = "orders",
                            std::string_view dead_letter_topic = "graveyard") {
    SubscriptionConfig config;
    config.name = SubscriptionNamed(id);
    config.topic = TopicNamed(topic);
    config.dead_letter = DeadLetterPolicy{TopicNamed(dead_letter_topic), 5};
    return config;
  }
  // A consumer of a subscription "patient" without dead letters.
  Wired ConnectPatient(RetryPolicy retry) {
    SubscriptionConfig config = Config("patient");
    config.dead_letter.reset();
    config.retry = retry;
    EXPECT_TRUE(CreateSubscription(config).ok());
    return Connect("patient");
  }
  // Nacks whatever comes, until nothing comes any more for this long.
  void NackEverything(Wired& wired, absl::Duration patience = absl::Seconds(5)) {
    for (absl::Duration waited; waited < patience; waited += absl::Milliseconds(100)) {
      for (const LeaseRange& range : Leases(wired.consumer->Take())) {
        wired.subscription->Nack(wired.id, range, absl::ZeroDuration());
        waited = absl::ZeroDuration();
      }
      Advance(absl::Milliseconds(100));
    }
  }
  static std::string AttributeOf(const Delivery& delivery, std::string_view key) {
    return std::string(
        MessageView(delivery.batch->message(delivery.begin)).FindAttribute(key).value_or("(none)"));
  }
};

TEST_F(EngineDeadLetterTest, AMessageGoesAfterItsLastAttempt) {
  auto wired = Connect("billing");
  auto undertaker = Connect("undertaker");
  ASSERT_TRUE(Publish("orders", {"bad"}).ok());
  for (uint32_t attempt = 1; attempt <= 5; ++attempt) {
    const auto deliveries = wired.consumer->Take();
    ASSERT_EQ(deliveries.size(), 1u) << attempt;
    EXPECT_EQ(deliveries[0].attempt, attempt);
    EXPECT_THAT(undertaker.consumer->deliveries(), IsEmpty());
    wired.subscription->Nack(wired.id, Leases(deliveries)[0], absl::ZeroDuration());
    Advance(absl::Seconds(1));
  }
  EXPECT_THAT(wired.consumer->Take(), IsEmpty());
  EXPECT_EQ(wired.subscription->stats().backlog_messages, 0);
  const auto buried = undertaker.consumer->deliveries();
  EXPECT_THAT(undertaker.consumer->TakeData(), ElementsAre("bad"));
  EXPECT_EQ(AttributeOf(buried[0], dead_letter_attribute::kAttempts), "5");
  EXPECT_EQ(AttributeOf(buried[0], dead_letter_attribute::kSubscription), "billing");
  EXPECT_EQ(AttributeOf(buried[0], dead_letter_attribute::kProject), "test");
  EXPECT_EQ(AttributeOf(buried[0], dead_letter_attribute::kTopic), "projects/test/topics/orders");
  EXPECT_EQ(AttributeOf(buried[0], dead_letter_attribute::kMessageId), "1");
  EXPECT_EQ(AttributeOf(buried[0], dead_letter_attribute::kReason), "nacked");
  EXPECT_EQ(AttributeOf(buried[0], dead_letter_attribute::kPublishTime),
            "2023-11-14T22:13:20+00:00");
  EXPECT_EQ(metrics_.engine.dead_lettered_messages.value(), 1u);
}

TEST_F(EngineDeadLetterTest, PassedDeadlinesAndLostConsumersCountToo) {
  auto undertaker = Connect("undertaker");
  ASSERT_TRUE(Publish("orders", {"bad"}).ok());
  for (int i = 0; i < 4; ++i) {
    auto wired = Connect("billing");
    EXPECT_EQ(wired.consumer->Take().size(), 1u);
    wired.subscription->Detach(wired.id, /*keeps_leases=*/true);
    wired.subscription->EndLeases(wired.id, ReleaseCause::kConsumerGone);
  }
  auto wired = Connect("billing");
  Advance(absl::Seconds(11));
  ASSERT_EQ(undertaker.consumer->deliveries().size(), 1u);
  EXPECT_EQ(AttributeOf(undertaker.consumer->deliveries()[0], dead_letter_attribute::kReason),
            "ack deadline passed");
}

TEST_F(EngineDeadLetterTest, NeitherRestartsNorCleanEndsCountAsAttempts) {
  ASSERT_TRUE(Publish("orders", std::vector<std::string>(20, "job")).ok());
  for (int i = 0; i < 12; ++i) {
    auto wired = Connect("billing");
    for (const Delivery& delivery : wired.consumer->Take()) EXPECT_EQ(delivery.attempt, 1u);
    if (i % 2 == 0) {
      wired.subscription->Detach(wired.id);
      continue;
    }
    Reopen();
    Advance(absl::Seconds(1));
  }
  EXPECT_EQ(FindSubscription("billing")->stats().backlog_messages, 20);
  EXPECT_EQ(FindTopic("graveyard")->stats().published_messages, 0u);
}

TEST_F(EngineDeadLetterTest, OthersAreNotTouchedAndKeepTheirAttributes) {
  auto wired = Connect("billing");
  auto undertaker = Connect("undertaker");
  BatchBuilder builder;
  for (const char* data : {"good", "bad", "good", "bad", "bad"}) {
    ASSERT_TRUE(
        builder.Add({.data = data, .attributes = {{"colour", "red"}}, .ordering_key = {}}).ok());
  }
  FindTopic("orders")->Publish(*builder.Build(),
                               [](const auto& published) { ASSERT_TRUE(published.ok()); });
  for (absl::Duration waited; waited < absl::Seconds(10); waited += absl::Milliseconds(100)) {
    for (const Delivery& d : wired.consumer->Take()) {
      for (uint32_t i = d.begin; i < d.end; ++i) {
        const LeaseId lease = d.first_lease + (i - d.begin);
        if (MessageView(d.batch->message(i)).data() == "good") {
          wired.subscription->Ack(wired.id, {{lease, lease}});
        } else {
          wired.subscription->Nack(wired.id, {lease, lease}, absl::ZeroDuration());
        }
      }
    }
    Advance(absl::Milliseconds(100));
  }
  EXPECT_EQ(wired.subscription->stats().backlog_messages, 0);
  EXPECT_EQ(wired.subscription->floor(), Offset(6));
  const auto buried = undertaker.consumer->deliveries();
  EXPECT_THAT(undertaker.consumer->TakeData(), ElementsAre("bad", "bad", "bad"));
  EXPECT_EQ(AttributeOf(buried[0], "colour"), "red");
  EXPECT_EQ(AttributeOf(buried[0], dead_letter_attribute::kMessageId), "2");
}

TEST_F(EngineDeadLetterTest, ManyMessagesAreCopiedWithFewRecords) {
  SubscriptionConfig config = Config("expiring");
  config.dead_letter->expired_too = true;
  ASSERT_TRUE(CreateSubscription(config).ok());
  const std::string large(10'000, 'x');
  const auto publish = [&](std::string_view data, int batches) {
    for (int i = 0; i < batches; ++i) {
      BatchBuilder builder;
      for (int m = 0; m < 10; ++m) {
        OutgoingMessage message{.data = data};
        if (m % 3 != 0) message.expire_at = clock_.WallNow() + absl::Seconds(2);
        ASSERT_TRUE(builder.Add(message).ok());
      }
      FindTopic("orders")->Publish(*builder.Build(),
                                   [](const auto& published) { ASSERT_TRUE(published.ok()); });
    }
  };
  publish("small", 500);
  publish(large, 100);
  const uint64_t before = metrics_.engine.published_batches.value();
  for (int i = 0; i < 60; ++i) Advance(absl::Milliseconds(50));
  // 3000 small ones, a thousand at a time, and 6 MB of large ones.
  EXPECT_EQ(metrics_.engine.dead_lettered_messages.value(), 3600u);
  EXPECT_LE(metrics_.engine.published_batches.value() - before, 20u);
  EXPECT_EQ(FindSubscription("expiring")->stats().backlog_messages, 2400);
  std::set<std::string> originals;
  for (const Delivery& delivery : Connect("undertaker").consumer->Take()) {
    for (uint32_t i = delivery.begin; i < delivery.end; ++i) {
      const MessageView copy(delivery.batch->message(i));
      originals.emplace(*copy.FindAttribute(dead_letter_attribute::kMessageId));
      EXPECT_EQ(copy.FindAttribute(dead_letter_attribute::kReason), "expired");
    }
  }
  EXPECT_EQ(originals.size(), 3600u);
  EXPECT_FALSE(originals.contains("1"));
  EXPECT_TRUE(originals.contains("2"));
}

TEST_F(EngineDeadLetterTest, WhatOneRecordHoldsKeepsItsOwnAttemptsAndReason) {
  auto wired = Connect("billing");
  ASSERT_TRUE(Publish("orders", {"a", "b", "c"}).ok());
  for (int attempt = 1; attempt <= 5; ++attempt) {
    for (const LeaseRange& leases : Leases(wired.consumer->Take())) {
      wired.subscription->Nack(wired.id, leases, absl::ZeroDuration());
    }
    if (attempt < 5) Advance(absl::Seconds(1));
  }
  const uint64_t before = metrics_.engine.published_batches.value();
  Advance(absl::ZeroDuration());
  EXPECT_EQ(metrics_.engine.published_batches.value() - before, 1u);
  const auto buried = Connect("undertaker").consumer->Take();
  ASSERT_EQ(buried.size(), 1u);
  ASSERT_EQ(buried[0].count(), 3u);
  for (uint32_t i = 0; i < 3; ++i) {
    const MessageView copy(buried[0].batch->message(i));
    EXPECT_EQ(copy.FindAttribute(dead_letter_attribute::kMessageId), std::to_string(i + 1));
    EXPECT_EQ(copy.FindAttribute(dead_letter_attribute::kAttempts), "5");
    EXPECT_EQ(copy.FindAttribute(dead_letter_attribute::kReason), "nacked");
  }
}

TEST_F(EngineDeadLetterTest, AttemptsCountOnAcrossARestart) {
  {
    auto wired = Connect("billing");
    ASSERT_TRUE(Publish("orders", {"bad"}).ok());
    for (int i = 0; i < 3; ++i) {
      wired.subscription->Nack(wired.id, Leases(wired.consumer->Take())[0], absl::ZeroDuration());
      Advance(absl::Seconds(1));
    }
  }
  Reopen();
  auto wired = Connect("billing");
  auto undertaker = Connect("undertaker");
  NackEverything(wired);
  EXPECT_THAT(undertaker.consumer->TakeData(), ElementsAre("bad"));
}

TEST_F(EngineDeadLetterTest, WhatHadUsedUpItsAttemptsBeforeARestartGoesAfterIt) {
  {
    auto wired = Connect("billing");
    ASSERT_TRUE(Publish("orders", {"bad"}).ok());
    for (int i = 0; i < 4; ++i) {
      wired.subscription->Nack(wired.id, Leases(wired.consumer->Take())[0], absl::ZeroDuration());
      Advance(absl::Seconds(1));
    }
    wired.subscription->Nack(wired.id, Leases(wired.consumer->Take())[0], absl::ZeroDuration());
  }
  Reopen();
  auto undertaker = Connect("undertaker");
  Advance(absl::ZeroDuration());
  EXPECT_THAT(undertaker.consumer->TakeData(), ElementsAre("bad"));
}

TEST_F(EngineDeadLetterTest, WithoutItsTopicMessagesComeAgainAndNothingIsLost) {
  auto wired = Connect("billing");
  ASSERT_TRUE(Publish("orders", {"bad"}).ok());
  absl::Status deleted = absl::UnknownError("no answer");
  engine_->DeleteTopic(TopicNamed("graveyard"),
                       [&](const absl::Status& status) { deleted = status; });
  ASSERT_TRUE(deleted.ok());
  NackEverything(wired, absl::Seconds(9));
  EXPECT_EQ(wired.subscription->stats().backlog_messages, 1);
  EXPECT_GE(metrics_.engine.dead_letter_failures.value(), 1u);
  Advance(absl::Seconds(10));
  EXPECT_EQ(wired.consumer->deliveries().at(0).attempt, 6u);
  // With a topic of that name again it goes there.
  ASSERT_TRUE(CreateTopic("graveyard").ok());
  NackEverything(wired);
  EXPECT_EQ(wired.subscription->stats().backlog_messages, 0);
  EXPECT_EQ(FindTopic("graveyard")->stats().published_messages, 1u);
}

TEST_F(EngineDeadLetterTest, TopicsThatLeadBackAreRefused) {
  EXPECT_EQ(ReasonOf(CreateSubscription(Config("self", "orders", "orders"))),
            Reason::kInvalidDeadLetterPolicy);
  EXPECT_EQ(ReasonOf(CreateSubscription(Config("missing", "orders", "nowhere"))),
            Reason::kTopicNotFound);
  EXPECT_EQ(ReasonOf(CreateSubscription(Config("back", "graveyard", "orders"))),
            Reason::kInvalidDeadLetterPolicy);
  ASSERT_TRUE(CreateTopic("second").ok());
  ASSERT_TRUE(CreateSubscription(Config("chain", "graveyard", "second")).ok());
  EXPECT_EQ(ReasonOf(CreateSubscription(Config("longer", "second", "orders"))),
            Reason::kInvalidDeadLetterPolicy);
  SubscriptionConfig plain;
  plain.name = SubscriptionNamed("plain");
  plain.topic = TopicNamed("second");
  ASSERT_TRUE(CreateSubscription(plain).ok());
  absl::Status updated;
  engine_->UpdateSubscription(Config("plain", "second", "orders"),
                              [&](const auto& config) { updated = config.status(); });
  EXPECT_EQ(ReasonOf(updated), Reason::kInvalidDeadLetterPolicy);
}

TEST_F(EngineDeadLetterTest, PolicyLimits) {
  const auto with_attempts = [this](uint32_t attempts) {
    SubscriptionConfig config = Config("limits");
    config.dead_letter->max_attempts = attempts;
    return Validate(config);
  };
  EXPECT_TRUE(with_attempts(5).ok());
  EXPECT_TRUE(with_attempts(100).ok());
  EXPECT_EQ(ReasonOf(with_attempts(4)), Reason::kInvalidDeadLetterPolicy);
  EXPECT_EQ(ReasonOf(with_attempts(101)), Reason::kInvalidDeadLetterPolicy);
  const auto with_backoff = [this](absl::Duration minimum, absl::Duration maximum) {
    SubscriptionConfig config = Config("limits");
    config.retry = RetryPolicy{minimum, maximum};
    return Validate(config);
  };
  EXPECT_TRUE(with_backoff(absl::ZeroDuration(), absl::ZeroDuration()).ok());
  EXPECT_TRUE(with_backoff(absl::Seconds(600), absl::Seconds(600)).ok());
  EXPECT_EQ(ReasonOf(with_backoff(absl::Seconds(2), absl::Seconds(1))),
            Reason::kInvalidRetryPolicy);
  EXPECT_EQ(ReasonOf(with_backoff(absl::Seconds(1), absl::Seconds(601))),
            Reason::kInvalidRetryPolicy);
  EXPECT_EQ(ReasonOf(with_backoff(-absl::Seconds(1), absl::Seconds(1))),
            Reason::kInvalidRetryPolicy);
}

TEST_F(EngineDeadLetterTest, ConfigsSurviveTheirStoredForm) {
  SubscriptionConfig config = Config();
  config.retry = RetryPolicy{absl::Milliseconds(1500), absl::Seconds(90)};
  config.filter = "attributes:k";
  const auto read = DecodeSubscriptionConfig(Encode(config));
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(read->retry, config.retry);
  EXPECT_EQ(read->dead_letter->topic, config.dead_letter->topic);
  EXPECT_EQ(read->dead_letter->max_attempts, 5u);
  EXPECT_EQ(read->filter, config.filter);
}

TEST_F(EngineDeadLetterTest, BackoffGrowsFromMinimumToMaximum) {
  auto wired = ConnectPatient(RetryPolicy{absl::Seconds(1), absl::Seconds(8)});
  ASSERT_TRUE(Publish("orders", {"a"}).ok());
  for (const int seconds : {1, 2, 4, 8, 8, 8}) {
    wired.subscription->Nack(wired.id, Leases(wired.consumer->Take()).at(0), absl::ZeroDuration());
    const Instant nacked = clock_.Now();
    while (wired.consumer->deliveries().empty() && clock_.Now() - nacked < absl::Seconds(10))
      Advance(absl::Milliseconds(10));
    const absl::Duration waited = clock_.Now() - nacked;
    EXPECT_LE(waited, absl::Seconds(seconds));
    EXPECT_GE(waited, std::max(absl::Seconds(1), 0.8 * absl::Seconds(seconds)));
  }
}

TEST_F(EngineDeadLetterTest, ANackWithADelayOverridesThePolicy) {
  auto wired = ConnectPatient(RetryPolicy{absl::Seconds(100), absl::Seconds(100)});
  ASSERT_TRUE(Publish("orders", {"a"}).ok());
  wired.subscription->Nack(wired.id, Leases(wired.consumer->Take()).at(0), absl::Seconds(3));
  Advance(absl::Milliseconds(2999));
  EXPECT_THAT(wired.consumer->Take(), IsEmpty());
  Advance(absl::Milliseconds(1));
  EXPECT_EQ(wired.consumer->Take().size(), 1u);
}

// Each message is delivered once, and then some come now and then to see how it goes: no storm.
TEST_F(EngineDeadLetterTest, AConsumerThatNacksEverythingDoesNotSpin) {
  SubscriptionConfig config;
  config.name = SubscriptionNamed("angry");
  config.topic = TopicNamed("orders");
  ASSERT_TRUE(CreateSubscription(config).ok());
  auto wired = Connect("angry");
  for (int i = 0; i < 50; ++i)
    ASSERT_TRUE(Publish("orders", std::vector<std::string>(1000, "x")).ok());
  for (int step = 0; step < 1000; ++step) {
    for (const LeaseRange& range : Leases(wired.consumer->Take())) {
      wired.subscription->Nack(wired.id, range, absl::ZeroDuration());
    }
    Advance(absl::Milliseconds(1));
  }
  EXPECT_NE(wired.subscription->stats().breaker, BreakerState::kClosed);
  EXPECT_GT(wired.subscription->stats().delivered_messages, 50'000u);
  EXPECT_LT(wired.subscription->stats().delivered_messages, 50'100u);
}

}  // namespace
}  // namespace sluice
