// Messages that are damaged on the disk: what is around them is delivered, consumers that need them
// get an error, and nothing stalls in silence.
#include "core/base/error.h"
#include "core/storage/damage.h"
#include "gmock/gmock.h"
#include "tests/support/engine_fixture.h"
#include "tests/support/faulty_backend.h"
#include "tests/support/messages.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class EngineDamageTest : public EngineFixture {
 protected:
  EngineDamageTest() : EngineFixture({.tail_cache_bytes = 0}) {}

  void SetUp() override {
    ASSERT_TRUE(engine_->Shutdown(absl::Seconds(5)).ok());
    engine_ = nullptr;
    options_.on_damage = [this](const DamageEvent& event) { events_.push_back(event); };
    auto backend =
        std::make_unique<FaultyBackend>(std::make_unique<MemoryBackend>(store_, &clock_), faults_);
    auto engine = Engine::Open(std::move(backend), clock_, metrics_, options_);
    ASSERT_TRUE(engine.ok()) << engine.status();
    engine_ = *std::move(engine);
    ASSERT_EQ(CreateTopic("orders"), absl::OkStatus());
  }

  static SubscriptionConfig Config(std::string_view id = "billing") {
    SubscriptionConfig config;
    config.name = SubscriptionNamed(id);
    config.topic = TopicNamed("orders");
    return config;
  }
  static SubscriptionConfig Skipping() {
    SubscriptionConfig config = Config();
    config.skip_damaged = true;
    return config;
  }
  // Each a batch of its own, with the offsets 1, 2, ...
  void Send(const std::vector<std::string>& payloads) {
    for (const std::string& payload : payloads) ASSERT_TRUE(Publish("orders", {payload}).ok());
  }
  void SendKeyed(const std::vector<std::string>& payloads) {
    for (const std::string& payload : payloads) {
      FindTopic("orders")->Publish(
          MakeBatch({OutgoingMessage{.data = payload, .ordering_key = payload.substr(0, 1)}}),
          [](const auto& published) { ASSERT_TRUE(published.ok()); });
    }
  }
  // "a b [c] d e", with c damaged, and a subscription that begins at a.
  void SendDamaged(SubscriptionConfig config) {
    ASSERT_EQ(CreateSubscription(std::move(config)), absl::OkStatus());
    Send({"a", "b", "c", "d", "e"});
    faults_.Damage({kThird});
  }
  // Delivers "a b c d", damages c, and gives all of them back.
  Wired NackAllWithTheThirdDamaged() {
    Send({"a", "b", "c", "d"});
    Wired wired = Connect("billing");
    const auto deliveries = wired.consumer->Take();
    faults_.Damage({kThird});
    for (const LeaseRange& range : Leases(deliveries))
      wired.subscription->Nack(wired.id, range, absl::ZeroDuration());
    Advance(absl::Seconds(1));
    return wired;
  }
  absl::Status Seek(StartPosition to) {
    absl::Status sought = absl::UnknownError("no answer");
    engine_->Seek(SubscriptionNamed("billing"), to,
                  [&](const absl::Status& status) { sought = status; });
    return sought;
  }
  static void AckAll(const Wired& wired) {
    wired.subscription->Ack(wired.id, Leases(wired.consumer->Take()));
  }
  int64_t Backlog() { return FindSubscription("billing")->stats().backlog_messages; }

  static constexpr OffsetRange kThird{Offset(3), Offset(4)};
  FaultyBackend::Switch faults_;
  std::vector<DamageEvent> events_;
};

TEST_F(EngineDamageTest, WhatIsBeforeItIsDeliveredAndSettledBeforeTheConsumerEnds) {
  SendDamaged(Config());
  auto wired = Connect("billing");
  const auto deliveries = wired.consumer->deliveries();
  EXPECT_THAT(wired.consumer->TakeData(), ElementsAre("a", "b"));
  EXPECT_EQ(wired.consumer->ended(), absl::OkStatus());
  const LeaseRange both = deliveries[0].leases();
  wired.subscription->Ack(wired.id, {{both.first, both.first}});
  EXPECT_EQ(wired.consumer->ended(), absl::OkStatus()) << "it holds another one";
  for (const LeaseRange& range : Leases(deliveries)) wired.subscription->Ack(wired.id, {range});
  EXPECT_EQ(ReasonOf(wired.consumer->ended()), Reason::kDataLoss);
  EXPECT_EQ(DamagedMessages(wired.consumer->ended()), kThird);
  EXPECT_THAT(std::string(wired.consumer->ended().message()),
              HasSubstr("projects/test/topics/orders: the messages with ids 3 to 3"));
  EXPECT_EQ(Backlog(), 3);
  EXPECT_EQ(wired.subscription->floor(), Offset(3));
  EXPECT_EQ(wired.subscription->stats().consumers, 0);
  ASSERT_EQ(events_.size(), 1u);
  EXPECT_EQ(events_[0].subscription, "projects/test/subscriptions/billing");
  EXPECT_FALSE(events_[0].skipped);
}

TEST_F(EngineDamageTest, WhatComesAgainIsDeliveredBeforeTheConsumerEnds) {
  SendDamaged(Config());
  auto wired = Connect("billing");
  for (const LeaseRange& range : Leases(wired.consumer->Take()))
    wired.subscription->Nack(wired.id, range, absl::ZeroDuration());
  Advance(absl::Seconds(1));
  EXPECT_THAT(wired.consumer->TakeData(), ElementsAre("a", "b"));
  EXPECT_EQ(wired.consumer->ended(), absl::OkStatus());
  // Its deadline passes, and it gets them once more.
  Advance(absl::Seconds(11));
  Advance(absl::Seconds(1));
  EXPECT_FALSE(wired.consumer->deliveries().empty());
  AckAll(wired);
  EXPECT_TRUE(absl::IsDataLoss(wired.consumer->ended()));
}

TEST_F(EngineDamageTest, WhoComesLaterHearsOfItAtOnceAndThePlaceIsReadNowAndThen) {
  SendDamaged(Config());
  AckAll(Connect("billing"));
  EXPECT_EQ(faults_.refused_reads(), 1);
  for (int i = 0; i < 20; ++i)
    EXPECT_TRUE(absl::IsDataLoss(Connect("billing").consumer->ended())) << i;
  EXPECT_EQ(faults_.refused_reads(), 1);
  EXPECT_EQ(events_.size(), 1u);
  Advance(absl::Seconds(10));
  EXPECT_TRUE(absl::IsDataLoss(Connect("billing").consumer->ended()));
  EXPECT_EQ(faults_.refused_reads(), 2);
  EXPECT_EQ(events_.size(), 1u);
  // It was the cable.
  faults_.Damage({});
  Advance(absl::Seconds(10));
  EXPECT_THAT(Connect("billing").consumer->TakeData(), ElementsAre("c", "d", "e"));
}

TEST_F(EngineDamageTest, AConsumerThatAsksForNothingStays) {
  SendDamaged(Config());
  auto idle = Connect("billing", 0);
  AckAll(Connect("billing"));
  EXPECT_EQ(idle.consumer->ended(), absl::OkStatus());
  idle.subscription->Grant(idle.id, 1, Subscription::kNoByteLimit);
  EXPECT_TRUE(absl::IsDataLoss(idle.consumer->ended()));
}

TEST_F(EngineDamageTest, ASeekPassesIt) {
  SendDamaged(Config());
  auto wired = Connect("billing");
  AckAll(wired);
  ASSERT_TRUE(absl::IsDataLoss(wired.consumer->ended()));
  ASSERT_EQ(Seek(Offset(4)), absl::OkStatus());
  EXPECT_EQ(Backlog(), 2);
  auto next = Connect("billing");
  EXPECT_THAT(next.consumer->TakeData(), ElementsAre("d", "e"));
  EXPECT_EQ(next.consumer->ended(), absl::OkStatus());
  EXPECT_EQ(FindTopic("orders")->log().extent().first, Offset(4)) << "it does not hold the log";
}

TEST_F(EngineDamageTest, OtherSubscriptionsServeOn) {
  SendDamaged(Config());
  ASSERT_EQ(CreateSubscription(Config("audit"), Offset(4)), absl::OkStatus());
  AckAll(Connect("billing"));
  auto audit = Connect("audit");
  EXPECT_THAT(audit.consumer->TakeData(), ElementsAre("d", "e"));
  Send({"f"});
  EXPECT_THAT(audit.consumer->TakeData(), ElementsAre("f"));
  EXPECT_EQ(Backlog(), 4);
}

TEST_F(EngineDamageTest, ASubscriptionThatSkipsItGoesOnAndCounts) {
  SendDamaged(Skipping());
  auto wired = Connect("billing");
  EXPECT_THAT(wired.consumer->TakeData(), ElementsAre("a", "b", "d", "e"));
  EXPECT_EQ(wired.consumer->ended(), absl::OkStatus());
  EXPECT_EQ(Backlog(), 4);
  EXPECT_EQ(metrics_.engine.skipped_damaged_messages.value(), 1u);
  ASSERT_EQ(events_.size(), 1u);
  EXPECT_TRUE(events_[0].skipped);
}

TEST_F(EngineDamageTest, ThatItSkipsIsStored) {
  EXPECT_TRUE(DecodeSubscriptionConfig(Encode(Skipping()))->skip_damaged);
  EXPECT_FALSE(DecodeSubscriptionConfig(Encode(Config()))->skip_damaged);
}

TEST_F(EngineDamageTest, ASubscriptionThatWaitsGoesOnWhenItIsToldToSkip) {
  SendDamaged(Config());
  auto wired = Connect("billing", 2);
  const auto held = wired.consumer->Take();
  wired.subscription->Grant(wired.id, 10, Subscription::kNoByteLimit);
  absl::Status updated;
  engine_->UpdateSubscription(Skipping(), [&](const auto& config) { updated = config.status(); });
  ASSERT_EQ(updated, absl::OkStatus());
  EXPECT_THAT(wired.consumer->TakeData(), ElementsAre("d", "e"));
  wired.subscription->Ack(wired.id, Leases(held));
  EXPECT_EQ(wired.subscription->floor(), Offset(4));
  EXPECT_EQ(metrics_.engine.skipped_damaged_messages.value(), 1u);
}

TEST_F(EngineDamageTest, ARedeliveryThatCannotBeReadIsOutOfTheWayOfTheOthers) {
  ASSERT_EQ(CreateSubscription(Config()), absl::OkStatus());
  auto wired = NackAllWithTheThirdDamaged();
  EXPECT_THAT(wired.consumer->deliveries().size(), 3u);
  EXPECT_EQ(wired.consumer->ended(), absl::OkStatus());
  AckAll(wired);
  EXPECT_TRUE(absl::IsDataLoss(wired.consumer->ended()));
  EXPECT_EQ(Backlog(), 1);
  EXPECT_EQ(wired.subscription->floor(), Offset(3));
  faults_.Damage({});
  auto next = Connect("billing");
  EXPECT_TRUE(absl::IsDataLoss(next.consumer->ended()));
  Advance(absl::Seconds(10));
  EXPECT_THAT(Connect("billing").consumer->TakeData(), ElementsAre("c"));
}

TEST_F(EngineDamageTest, ARedeliveryThatCannotBeReadIsSkippedWhereThatIsWanted) {
  ASSERT_EQ(CreateSubscription(Skipping()), absl::OkStatus());
  auto wired = NackAllWithTheThirdDamaged();
  AckAll(wired);
  EXPECT_EQ(wired.consumer->ended(), absl::OkStatus());
  EXPECT_EQ(Backlog(), 0);
  EXPECT_EQ(metrics_.engine.skipped_damaged_messages.value(), 1u);
}

// The two are put aside at different times: neither may keep consumers waiting for the other.
TEST_F(EngineDamageTest, WhereARedeliveryAndWhatIsNewAreDamagedEveryConsumerHearsOfItSoon) {
  ASSERT_EQ(CreateSubscription(Config()), absl::OkStatus());
  Send({"a", "b", "c", "d"});
  faults_.Damage({kThird});
  auto first = Connect("billing", 2);
  const auto deliveries = first.consumer->Take();
  faults_.Damage({OffsetRange{Offset(2), Offset(3)}, kThird});
  for (const LeaseRange& range : Leases(deliveries))
    first.subscription->Nack(first.id, range, absl::ZeroDuration());
  first.subscription->Grant(first.id, 10, Subscription::kNoByteLimit);
  Advance(absl::Seconds(1));
  AckAll(first);
  for (int i = 0; i < 40; ++i) {
    auto wired = Connect("billing");
    for (int step = 0; step < 6 && wired.consumer->ended().ok(); ++step)
      Advance(absl::Milliseconds(250));
    EXPECT_TRUE(absl::IsDataLoss(wired.consumer->ended())) << i;
    Advance(absl::Milliseconds(300));
  }
  EXPECT_EQ(Backlog(), 3);
}

TEST_F(EngineDamageTest, ADamagedMessageHoldsUpItsKeyAndNoOther) {
  for (const bool skips : {false, true}) {
    SubscriptionConfig config = Config(skips ? "skips" : "waits");
    config.ordered = true;
    config.skip_damaged = skips;
    ASSERT_EQ(CreateSubscription(config), absl::OkStatus());
  }
  SendKeyed({"a1", "b1", "a2", "b2", "a3"});
  auto waits = Connect("waits");
  auto skips = Connect("skips");
  const auto first_waits = waits.consumer->Take();
  const auto first_skips = skips.consumer->Take();
  faults_.Damage({kThird});
  for (const LeaseRange& range : Leases(first_waits))
    waits.subscription->Nack(waits.id, range, absl::ZeroDuration());
  for (const LeaseRange& range : Leases(first_skips))
    skips.subscription->Nack(skips.id, range, absl::ZeroDuration());
  std::vector<std::string> got_waits;
  std::vector<std::string> got_skips;
  for (int i = 0; i < 20; ++i) {
    Advance(absl::Milliseconds(200));
    for (const Received& one : Flatten(waits.consumer->Take())) {
      got_waits.push_back(one.data);
      waits.subscription->Ack(waits.id, {{one.lease, one.lease}});
    }
    for (const Received& one : Flatten(skips.consumer->Take())) {
      got_skips.push_back(one.data);
      skips.subscription->Ack(skips.id, {{one.lease, one.lease}});
    }
  }
  EXPECT_THAT(got_waits, testing::UnorderedElementsAre("a1", "b1", "b2"));
  EXPECT_TRUE(absl::IsDataLoss(waits.consumer->ended()));
  EXPECT_EQ(waits.subscription->stats().backlog_messages, 2);
  EXPECT_THAT(got_skips, testing::UnorderedElementsAre("a1", "b1", "b2", "a3"));
  EXPECT_EQ(skips.consumer->ended(), absl::OkStatus());
  EXPECT_EQ(skips.subscription->stats().backlog_messages, 0);
}

TEST_F(EngineDamageTest, TheBacklogOfAFilterIsTrueBehindIt) {
  SubscriptionConfig config = Config();
  config.filter = "priority = 9";
  ASSERT_EQ(CreateSubscription(config), absl::OkStatus());
  Send({"a", "b", "c", "d", "e"});
  ASSERT_EQ(Backlog(), 0);
  faults_.Damage({kThird});
  ASSERT_EQ(Seek(Earliest{}), absl::OkStatus());
  Advance(absl::Seconds(1));
  EXPECT_EQ(Backlog(), 0) << "all is acknowledged by everybody, and gone";
  ASSERT_EQ(CreateSubscription(Config("audit")), absl::OkStatus());
  faults_.Damage({});
  Send({"f", "g", "h", "i", "j"});
  faults_.Damage({OffsetRange{Offset(8), Offset(9)}});
  ASSERT_EQ(Seek(Earliest{}), absl::OkStatus());
  Advance(absl::Seconds(1));
  EXPECT_EQ(Backlog(), 1) << "nobody knows what it was";
  EXPECT_EQ(FindSubscription("billing")->floor(), Offset(8));
}

TEST_F(EngineDamageTest, ACondemnedMessageThatCannotBeCopiedWaitsAlone) {
  ASSERT_EQ(CreateTopic("graveyard"), absl::OkStatus());
  ASSERT_EQ(CreateSubscription("undertaker", "graveyard"), absl::OkStatus());
  for (const bool skips : {false, true}) {
    SubscriptionConfig config = Config(skips ? "skips" : "waits");
    config.skip_damaged = skips;
    config.dead_letter = DeadLetterPolicy{TopicNamed("graveyard"), 5};
    ASSERT_EQ(CreateSubscription(config), absl::OkStatus());
  }
  Send({"a", "b", "c", "d"});
  auto undertaker = Connect("undertaker");
  for (const char* id : {"waits", "skips"}) {
    faults_.Damage({});
    auto wired = Connect(id);
    for (int attempt = 1; attempt <= 5; ++attempt) {
      const auto deliveries = wired.consumer->Take();
      if (attempt == 5) faults_.Damage({kThird});
      for (const LeaseRange& range : Leases(deliveries))
        wired.subscription->Nack(wired.id, range, absl::ZeroDuration());
      for (int i = 0; i < 10; ++i) Advance(absl::Milliseconds(200));
    }
    const auto buried = undertaker.consumer->deliveries();
    EXPECT_THAT(undertaker.consumer->TakeData(), ElementsAre("a", "b", "d")) << id;
    undertaker.subscription->Ack(undertaker.id, Leases(buried));
    for (int i = 0; i < 30; ++i) Advance(absl::Milliseconds(500));
    const bool skips = std::string_view(id) == "skips";
    EXPECT_EQ(wired.subscription->stats().backlog_messages, skips ? 0 : 1);
    EXPECT_EQ(metrics_.engine.skipped_damaged_messages.value(), skips ? 1u : 0u);
    if (skips) continue;
    // It is delivered again, since it is still in memory.
    EXPECT_THAT(wired.consumer->deliveries().size(), 1u);
    AckAll(wired);
    EXPECT_EQ(wired.subscription->stats().backlog_messages, 0);
  }
}

TEST_F(EngineDamageTest, WhatIsBehindItExpires) {
  ASSERT_EQ(CreateSubscription(Config()), absl::OkStatus());
  faults_.Damage({OffsetRange{Offset(1), Offset(101)}});
  ASSERT_TRUE(Publish("orders", std::vector<std::string>(100, "damaged")).ok());
  Send({"a", "b"});
  TopicConfig topic;
  topic.name = TopicNamed("orders");
  topic.message_ttl = absl::Seconds(5);
  engine_->UpdateTopic(topic, [](const auto& updated) { ASSERT_TRUE(updated.ok()); });
  for (int i = 0; i < 140; ++i) Advance(absl::Milliseconds(50));
  EXPECT_EQ(metrics_.engine.expired_messages.value(), 2u);
  EXPECT_EQ(Backlog(), 100);
}

TEST_F(EngineDamageTest, ADeletedTopicIsServedToItsSubscriptionAndGoesWithIt) {
  SendDamaged(Config());
  AckAll(Connect("billing"));
  absl::Status deleted = absl::UnknownError("no answer");
  engine_->DeleteTopic(TopicNamed("orders"), [&](const absl::Status& status) { deleted = status; });
  ASSERT_EQ(deleted, absl::OkStatus());
  EXPECT_TRUE(absl::IsDataLoss(Connect("billing").consumer->ended()));
  ASSERT_EQ(Seek(Offset(4)), absl::OkStatus());
  EXPECT_THAT(Connect("billing").consumer->TakeData(), ElementsAre("d", "e"));
  EXPECT_EQ(store_->Contents().topics.size(), 1u);
  engine_->DeleteSubscription(SubscriptionNamed("billing"),
                              [](const auto& status) { EXPECT_TRUE(status.ok()); });
  EXPECT_EQ(store_->Contents().topics.size(), 0u);
}

TEST_F(EngineDamageTest, ASnapshotKeepsItAndASeekToThatComesBackToIt) {
  SendDamaged(Config());
  AckAll(Connect("billing"));
  const SnapshotName snapshot = *SnapshotName::Parse("projects/test/snapshots/before");
  absl::Status made = absl::UnknownError("no answer");
  engine_->CreateSnapshot(snapshot, SubscriptionNamed("billing"), {},
                          [&](const auto& one) { made = one.status(); });
  ASSERT_EQ(made, absl::OkStatus());
  ASSERT_EQ(Seek(Latest{}), absl::OkStatus());
  auto wired = Connect("billing");
  EXPECT_EQ(wired.consumer->ended(), absl::OkStatus()) << "it needs nothing of what is damaged";
  absl::Status sought = absl::UnknownError("no answer");
  engine_->Seek(SubscriptionNamed("billing"), snapshot,
                [&](const absl::Status& status) { sought = status; });
  EXPECT_EQ(sought, absl::OkStatus());
  EXPECT_TRUE(absl::IsDataLoss(wired.consumer->ended()));
  EXPECT_EQ(Backlog(), 3);
}

TEST_F(EngineDamageTest, AnEphemeralSubscriptionEndsWithItsConsumer) {
  SendDamaged(Config());
  std::shared_ptr<Subscription> opened;
  engine_->OpenEphemeral(Config("ephemeral"), Earliest{},
                         [&](const auto& subscription) { opened = *subscription; });
  ASSERT_NE(opened, nullptr);
  auto consumer = std::make_shared<FakeConsumer>();
  const ConsumerId id = *opened->Attach(consumer, {});
  opened->Grant(id, 10, Subscription::kNoByteLimit);
  opened->Ack(id, Leases(consumer->Take()));
  EXPECT_TRUE(absl::IsDataLoss(consumer->ended()));
  EXPECT_EQ(FindTopic("orders")->subscriptions()->size(), 1u);
}

TEST_F(EngineDamageTest, AnAcknowledgementThatComesLateCounts) {
  SendDamaged(Config());
  auto wired = Connect("billing");
  const auto deliveries = wired.consumer->Take();
  AckAll(wired);
  wired.subscription->Detach(wired.id);
  wired.subscription->AckLate({{deliveries[0].leases(), Offset(1)}}, /*before_restart=*/false);
  EXPECT_EQ(wired.subscription->floor(), Offset(1) + deliveries[0].count());
}

TEST_F(EngineDamageTest, WhatCannotBeReadAtAllIsSaidUntilItCan) {
  SendDamaged(Config());
  // As of a topic whose settings are lost.
  faults_.RefuseReads(Error(Reason::kDataLoss, "its settings are damaged"));
  auto wired = Connect("billing");
  EXPECT_TRUE(absl::IsDataLoss(wired.consumer->ended()));
  EXPECT_EQ(Backlog(), 5);
  faults_.RefuseReads(absl::OkStatus());
  Advance(absl::Seconds(10));
  EXPECT_THAT(Connect("billing").consumer->TakeData(), ElementsAre("a", "b"));
}

TEST_F(EngineDamageTest, ASubscriptionWhoseSettingsAreLostHoldsItsMessagesUntilItIsMadeAgain) {
  ASSERT_EQ(CreateSubscription(Config()), absl::OkStatus());
  Send({"a", "b", "c"});
  auto before = Connect("billing", /*credit=*/1);
  AckAll(before);
  before.subscription->Detach(before.id);
  SubscriptionConfig lost = FindSubscription("billing")->config();
  lost.settings_lost = true;
  store_->PutSubscription({FindSubscription("billing")->id(), Encode(lost)}, nullptr);
  Reopen();
  EXPECT_TRUE(FindSubscription("billing")->config().settings_lost);
  Send({"d"});
  EXPECT_EQ(Backlog(), 3);
  EXPECT_EQ(FindTopic("orders")->log().extent().first, Offset(2));
  EXPECT_EQ(
      ReasonOf(FindSubscription("billing")->Attach(std::make_shared<FakeConsumer>(), {}).status()),
      Reason::kDataLoss);
  absl::Status updated;
  engine_->UpdateSubscription(Config(), [&](const auto& result) { updated = result.status(); });
  EXPECT_EQ(ReasonOf(updated), Reason::kDataLoss);

  const auto name = SubscriptionNamed("billing");
  const auto snapshot = *SnapshotName::Parse("projects/test/snapshots/kept");
  engine_->CreateSnapshot(snapshot, name, {}, [](const auto& made) { EXPECT_TRUE(made.ok()); });
  engine_->DeleteSubscription(
      name, [](const absl::Status& status) { EXPECT_EQ(status, absl::OkStatus()); });
  ASSERT_EQ(CreateSubscription(Config()), absl::OkStatus());
  engine_->Seek(name, snapshot,
                [](const absl::Status& status) { EXPECT_EQ(status, absl::OkStatus()); });
  EXPECT_THAT(Connect("billing").consumer->TakeData(), ElementsAre("b", "c", "d"));
}

}  // namespace
}  // namespace sluice
