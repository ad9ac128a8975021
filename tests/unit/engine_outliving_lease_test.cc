// Leases that outlive their consumer and are settled by whoever names them, limits on what a
// consumer holds, and acknowledgements that come late: what clients of google.pubsub.v1 live by.
#include "core/base/error.h"
#include "gmock/gmock.h"
#include "tests/support/engine_fixture.h"
#include "tests/support/messages.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class OutlivingLeaseTest : public EngineFixture {
 protected:
  OutlivingLeaseTest() { EXPECT_TRUE(CreateTopic("orders").ok()); }

  void Subscribe(SubscriptionConfig config = {}) {
    config.name = SubscriptionNamed("billing");
    config.topic = TopicNamed("orders");
    ASSERT_TRUE(CreateSubscription(std::move(config)).ok());
  }
  Wired ConnectOutliving(int64_t max_messages = AttachOptions::kNoOutstandingLimit,
                         int64_t max_bytes = AttachOptions::kNoOutstandingLimit) {
    Wired wired;
    wired.subscription = FindSubscription("billing");
    wired.id =
        *wired.subscription->Attach(wired.consumer, {.client_id = {},
                                                     .leases_outlive_it = true,
                                                     .max_outstanding_messages = max_messages,
                                                     .max_outstanding_bytes = max_bytes});
    wired.subscription->Grant(wired.id, 1'000'000, Subscription::kNoByteLimit);
    return wired;
  }
  // What a late client says of deliveries.
  static std::vector<LateAck> Late(const std::vector<Delivery>& deliveries) {
    std::vector<LateAck> late;
    for (const Delivery& d : deliveries) {
      late.push_back({d.leases(), d.offsets().begin});
    }
    return late;
  }
  void LoseLeases() {
    const auto cursor = store_->CursorOf(FindSubscription("billing")->id());
    ASSERT_TRUE(engine_->Shutdown(absl::Seconds(5)).ok());
    engine_ = nullptr;
    cursor->Leased(std::vector{SavedLease{.offsets = {Offset(1), Offset(1'000'000)}}});
    Open();
  }
  AckOutcome ConfirmLate(const std::vector<LateAck>& late) {
    AckOutcome result;
    FindSubscription("billing")->AckLateConfirmed(
        late, [&](AckOutcome outcome) { result = std::move(outcome); });
    return result;
  }
};

TEST_F(OutlivingLeaseTest, ALeaseGoesOnToItsDeadlineWhenItsConsumerIsGone) {
  Subscribe();
  const auto first = ConnectOutliving();
  ASSERT_TRUE(Publish("orders", {"a"}).ok());
  first.subscription->Detach(first.id);
  const auto second = ConnectOutliving();
  EXPECT_THAT(second.consumer->TakeData(), IsEmpty());
  Advance(absl::Seconds(10));
  EXPECT_THAT(second.consumer->TakeData(), ElementsAre("a"));
}

TEST_F(OutlivingLeaseTest, AnyoneMaySettleAndExtendItByItsId) {
  Subscribe();
  const auto first = ConnectOutliving();
  ASSERT_TRUE(Publish("orders", {"a", "b"}).ok());
  const auto leases = Leases(first.consumer->Take());
  first.subscription->Detach(first.id);
  EXPECT_EQ(first.subscription->Extend(kAnyone, leases[0], absl::Seconds(60)), 2u);
  Advance(absl::Seconds(30));
  EXPECT_EQ(first.subscription->Ack(kAnyone, leases), 2u);
  EXPECT_EQ(first.subscription->stats().backlog_messages, 0);
}

TEST_F(OutlivingLeaseTest, AConsumerHoldsNoMoreThanItsLimitInMessages) {
  Subscribe();
  const auto wired = ConnectOutliving(2);
  ASSERT_TRUE(Publish("orders", {"a", "b", "c", "d"}).ok());
  const auto held = Leases(wired.consumer->Take());
  EXPECT_EQ(wired.subscription->stats().leased_messages, 2);
  wired.subscription->Ack(kAnyone, {{held[0].first, held[0].first}});
  EXPECT_THAT(wired.consumer->TakeData(), ElementsAre("c"));
  // One that comes back makes room too, and takes it.
  wired.subscription->Nack(kAnyone, {held[0].last, held[0].last}, absl::ZeroDuration());
  EXPECT_THAT(wired.consumer->TakeData().size(), 1u);
  Advance(absl::Seconds(10));
  EXPECT_EQ(wired.subscription->stats().leased_messages, 2);
}

TEST_F(OutlivingLeaseTest, AConsumerHoldsNoMoreThanItsLimitInBytesAndOneMessageBeyond) {
  Subscribe();
  const auto wired = ConnectOutliving(AttachOptions::kNoOutstandingLimit, 150);
  const std::string payload(100, 'x');
  ASSERT_TRUE(Publish("orders", {payload, payload, payload}).ok());
  EXPECT_EQ(wired.subscription->stats().leased_messages, 2);
  const auto leases = Leases(wired.consumer->Take());
  wired.subscription->Ack(kAnyone, leases);
  EXPECT_EQ(wired.consumer->Take().size(), 1u);
}

TEST_F(OutlivingLeaseTest, WhatIsReturnedGoesToOthersAtOnce) {
  Subscribe();
  const auto first = ConnectOutliving();
  ASSERT_TRUE(Publish("orders", {"a"}).ok());
  const auto delivered = first.consumer->Take();
  first.subscription->Detach(first.id);
  const auto second = ConnectOutliving();
  second.subscription->Return(delivered);
  EXPECT_THAT(second.consumer->TakeData(), ElementsAre("a"));
}

TEST_F(OutlivingLeaseTest, WhatIsReturnedWasNoAttempt) {
  for (const bool ordered : {false, true}) {
    const std::string topic = ordered ? "ordered" : "unordered";
    ASSERT_TRUE(CreateTopic(topic).ok() && CreateTopic(topic + "-graveyard").ok());
    SubscriptionConfig config;
    config.name = SubscriptionNamed(topic);
    config.topic = TopicNamed(topic);
    config.ordered = ordered;
    config.dead_letter = DeadLetterPolicy{.topic = TopicNamed(topic + "-graveyard")};
    ASSERT_TRUE(CreateSubscription(std::move(config)).ok());
    const auto wired = Connect(topic);
    FindTopic(topic)->Publish(
        MakeBatch(std::vector<OutgoingMessage>{{.data = "a", .ordering_key = "key"}}),
        [](const auto& published) { EXPECT_TRUE(published.ok()); });
    for (int i = 0; i < 10; ++i) {
      const auto delivered = wired.consumer->Take();
      ASSERT_EQ(delivered.size(), 1u);
      EXPECT_EQ(delivered[0].attempt, 1u);
      wired.subscription->Return(delivered);
    }
  }
}

TEST_F(OutlivingLeaseTest, ItsDeadlineIsItsConsumersOwn) {
  Subscribe();
  const auto wired = ConnectOutliving();
  wired.subscription->SetAckDeadline(wired.id, absl::Seconds(60));
  ASSERT_TRUE(Publish("orders", {"a"}).ok());
  wired.consumer->Take();
  Advance(absl::Seconds(59));
  EXPECT_THAT(wired.consumer->TakeData(), IsEmpty());
  Advance(absl::Seconds(1));
  EXPECT_THAT(wired.consumer->TakeData(), ElementsAre("a"));
}

TEST_F(OutlivingLeaseTest, ALateAcknowledgementSavesTheRedelivery) {
  Subscribe();
  const auto first = ConnectOutliving();
  ASSERT_TRUE(Publish("orders", {"a", "b", "c"}).ok());
  const auto delivered = first.consumer->Take();
  first.subscription->Detach(first.id);
  Advance(absl::Seconds(10));
  EXPECT_EQ(first.subscription->Ack(kAnyone, Leases(delivered)), 0u);
  auto late = Late(delivered);
  late[0].leases.first += 1;
  late[0].offset += 1;
  late[0].leases.last = late[0].leases.first;
  first.subscription->AckLate(late, /*before_restart=*/false);
  EXPECT_EQ(first.subscription->stats().backlog_messages, 2);
  EXPECT_THAT(ConnectOutliving().consumer->TakeData(), ElementsAre("a", "c"));
}

TEST_F(OutlivingLeaseTest, ALateAcknowledgementFromBeforeASeekDoesNotCount) {
  Subscribe();
  const auto wired = ConnectOutliving();
  ASSERT_TRUE(Publish("orders", {"a"}).ok());
  const auto delivered = wired.consumer->Take();
  engine_->Seek(SubscriptionNamed("billing"), Earliest{},
                [](const absl::Status& status) { EXPECT_TRUE(status.ok()); });
  wired.subscription->AckLate(Late(delivered), /*before_restart=*/false);
  EXPECT_EQ(wired.subscription->stats().backlog_messages, 1);
}

TEST_F(OutlivingLeaseTest, AnAcknowledgementOfBeforeARestartCounts) {
  Subscribe();
  const auto first = ConnectOutliving();
  ASSERT_TRUE(Publish("orders", {"a", "b"}).ok());
  auto late = Late(first.consumer->Take());
  late[0].leases.last = late[0].leases.first;
  LoseLeases();
  FindSubscription("billing")->AckLate(late, /*before_restart=*/true);
  EXPECT_THAT(ConnectOutliving().consumer->TakeData(), ElementsAre("b"));
}

TEST_F(OutlivingLeaseTest, AnAcknowledgementOfBeforeACrashCountsAlsoWhereNothingElseWasSaved) {
  for (const bool ordered : {false, true}) {
    const std::string name = ordered ? "ordered" : "unordered";
    ASSERT_TRUE(CreateTopic(name).ok());
    SubscriptionConfig config;
    config.name = SubscriptionNamed(name);
    config.topic = TopicNamed(name);
    config.ordered = ordered;
    ASSERT_TRUE(CreateSubscription(config).ok());
    ASSERT_TRUE(Publish(name, {"a", "b", "c"}).ok());
    // The store knows nothing of a delivery.
    FindSubscription(name)->AckLate({{{LeaseId(1), LeaseId(2)}, Offset(1)}},
                                    /*before_restart=*/true);
    EXPECT_EQ(FindSubscription(name)->stats().backlog_messages, 1);
    EXPECT_THAT(Connect(name).consumer->TakeData(), ElementsAre("c"));
  }
}

TEST_F(OutlivingLeaseTest, NothingIsAcknowledgedThatIsNotInTheLog) {
  Subscribe();
  ASSERT_TRUE(Publish("orders", {"a", "b"}).ok());
  FindSubscription("billing")->AckLate({{{LeaseId(1), LeaseId(1000)}, Offset(3)}},
                                       /*before_restart=*/true);
  EXPECT_EQ(FindSubscription("billing")->stats().backlog_messages, 2);
  ASSERT_TRUE(Publish("orders", {"c"}).ok());
  EXPECT_THAT(ConnectOutliving().consumer->TakeData(), ElementsAre("a", "b", "c"));
}

TEST_F(OutlivingLeaseTest, AnAcknowledgementOfBeforeARestartDoesNotCountOnceItWasSoughtBack) {
  Subscribe();
  ASSERT_TRUE(Publish("orders", {"a"}).ok());
  engine_->Seek(SubscriptionNamed("billing"), Earliest{},
                [](const absl::Status& status) { EXPECT_TRUE(status.ok()); });
  FindSubscription("billing")->AckLate({{{LeaseId(1), LeaseId(1)}, Offset(1)}},
                                       /*before_restart=*/true);
  EXPECT_EQ(FindSubscription("billing")->stats().backlog_messages, 1);
}

TEST_F(OutlivingLeaseTest, OutOfTurnNothingOfAKeyIsAcknowledgedLate) {
  SubscriptionConfig config;
  config.ordered = true;
  Subscribe(config);
  const auto first = ConnectOutliving();
  BatchBuilder builder;
  for (const char* data : {"a", "b"})
    ASSERT_TRUE(builder.Add({.data = data, .ordering_key = "k"}).ok());
  FindTopic("orders")->Publish(*builder.Build(),
                               [](const auto& published) { EXPECT_TRUE(published.ok()); });
  const auto delivered = first.consumer->Take();
  first.subscription->Detach(first.id);
  Advance(absl::Seconds(10));
  first.subscription->AckLate(Late(delivered), /*before_restart=*/false);
  EXPECT_THAT(ConnectOutliving().consumer->TakeData(), ElementsAre("a", "b"));
}

TEST_F(OutlivingLeaseTest, ExactlyOnceConfirmsWhatWasNotDeliveredAgainSinceTheRestart) {
  SubscriptionConfig config;
  config.exactly_once = true;
  Subscribe(config);
  const auto first = ConnectOutliving();
  ASSERT_TRUE(Publish("orders", {"a", "b"}).ok());
  const auto late = Late(first.consumer->Take());
  // As after a crash that came before its leases were saved.
  LoseLeases();
  const AckOutcome outcome =
      ConfirmLate({{{late[0].leases.first, late[0].leases.first}, late[0].offset}});
  EXPECT_EQ(outcome.confirmed.size(), 1u);
  EXPECT_THAT(ConnectOutliving().consumer->TakeData(), ElementsAre("b"));
  // The rest was delivered again: that delivery is the one that counts now.
  EXPECT_EQ(ConfirmLate({{{late[0].leases.last, late[0].leases.last}, late[0].offset + 1}})
                .refused.size(),
            1u);
}

TEST_F(OutlivingLeaseTest, ASubscriptionLetsGoOfWhatItKeepsForAShorterTimeThanItsTopic) {
  SubscriptionConfig config;
  config.retention = absl::Minutes(10);
  Subscribe(config);
  ASSERT_TRUE(CreateSubscription("stock", "orders").ok());
  ASSERT_TRUE(Publish("orders", {"a"}).ok());
  Advance(absl::Minutes(8));
  ASSERT_TRUE(Publish("orders", {"b"}).ok());
  Advance(absl::Minutes(4));
  EXPECT_THAT(ConnectOutliving().consumer->TakeData(), ElementsAre("b"));
  EXPECT_THAT(Connect("stock").consumer->TakeData(), ElementsAre("a", "b"));
}

TEST_F(OutlivingLeaseTest, ASubscriptionThatNobodyUsesGoesWhenItsTimeIsOver) {
  SubscriptionConfig config;
  config.expire_after = absl::Hours(24);
  Subscribe(config);
  const auto wired = ConnectOutliving();
  Advance(absl::Hours(48));
  EXPECT_TRUE(engine_->FindSubscription(SubscriptionNamed("billing")).ok());
  wired.subscription->Detach(wired.id);
  Advance(absl::Hours(23));
  EXPECT_TRUE(engine_->FindSubscription(SubscriptionNamed("billing")).ok());
  Advance(absl::Hours(2));
  EXPECT_FALSE(engine_->FindSubscription(SubscriptionNamed("billing")).ok());
  EXPECT_EQ(metrics_.engine.expired_subscriptions.value(), 1u);
}

TEST_F(OutlivingLeaseTest, ADetachedSubscriptionHasNothingAndGetsNothingAlsoAfterARestart) {
  Subscribe();
  const auto wired = ConnectOutliving(/*max_messages=*/1);
  ASSERT_TRUE(Publish("orders", {"a", "b"}).ok());
  engine_->DetachSubscription(SubscriptionNamed("billing"),
                              [](const absl::Status& status) { EXPECT_TRUE(status.ok()); });
  EXPECT_EQ(ReasonOf(wired.consumer->ended()), Reason::kSubscriptionDetached);
  EXPECT_EQ(FindTopic("orders")->stats().subscriptions, 0);
  Reopen();
  EXPECT_TRUE(FindSubscription("billing")->config().detached);
  EXPECT_EQ(ReasonOf(FindSubscription("billing")->Attach(wired.consumer, {}).status()),
            Reason::kSubscriptionDetached);
}

}  // namespace
}  // namespace sluice
