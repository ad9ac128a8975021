// Leases that hold over a restart of the engine (docs/adr/0029).
#include "gmock/gmock.h"
#include "tests/support/engine_fixture.h"
#include "tests/support/messages.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class RestoredLeaseTest : public EngineFixture {
 protected:
  RestoredLeaseTest() { EXPECT_TRUE(CreateTopic("orders").ok()); }

  void Subscribe(SubscriptionConfig config = {}) {
    config.name = SubscriptionNamed("billing");
    config.topic = TopicNamed("orders");
    ASSERT_TRUE(CreateSubscription(std::move(config)).ok());
  }
  Wired ConnectOutliving(AttachOptions options = {}) {
    options.leases_outlive_it = true;
    return ConnectAs(std::move(options));
  }
  Wired ConnectAs(AttachOptions options) {
    Wired wired;
    wired.subscription = FindSubscription("billing");
    wired.id = *wired.subscription->Attach(wired.consumer, std::move(options));
    wired.subscription->Grant(wired.id, 1'000'000, Subscription::kNoByteLimit);
    return wired;
  }
  void PublishKeyed(const std::vector<std::string>& payloads) {
    BatchBuilder builder;
    for (const std::string& data : payloads)
      ASSERT_TRUE(builder.Add({.data = data, .ordering_key = "k"}).ok());
    FindTopic("orders")->Publish(*builder.Build(),
                                 [](const auto& published) { EXPECT_TRUE(published.ok()); });
  }

  struct Given {
    uint32_t incarnation = 0;
    LeaseId lease;
    Offset offset;
  };
  // The messages' leases one by one, as a client keeps them.
  std::vector<Given> Take(const Wired& wired) {
    std::vector<Given> given;
    for (const Delivery& d : wired.consumer->Take()) {
      for (uint32_t i = 0; i < d.count(); ++i)
        given.push_back({engine_->incarnation(), d.first_lease + i, d.offsets().begin + i});
    }
    return given;
  }
  std::optional<LeaseId> LeaseNow(const Given& given) {
    return FindSubscription("billing")->RestoredLease(given.incarnation, given.lease, given.offset);
  }
  LeaseRange RangeNow(const Given& given) {
    const LeaseId lease = LeaseNow(given).value_or(LeaseId(0));
    return {lease, lease};
  }
  AckOutcome Confirm(LeaseRange range) {
    AckOutcome result;
    FindSubscription("billing")->AckConfirmed(
        kAnyone, {range}, [&](AckOutcome outcome) { result = std::move(outcome); });
    return result;
  }
  SubscriptionStats stats() { return FindSubscription("billing")->stats(); }
};

TEST_F(RestoredLeaseTest, ALeaseHoldsUntilItsDeadline) {
  Subscribe();
  const auto given = [&] {
    const auto wired = ConnectOutliving();
    EXPECT_TRUE(Publish("orders", {"a", "b"}).ok());
    return Take(wired);
  }();
  Advance(absl::Seconds(4));
  Reopen();
  EXPECT_EQ(stats().leased_messages, 2);
  const auto after = ConnectOutliving();
  Advance(absl::Seconds(5));
  EXPECT_THAT(after.consumer->TakeData(), IsEmpty());
  Advance(absl::Seconds(2));
  const auto again = after.consumer->Take();
  ASSERT_EQ(again.size(), 1u);
  EXPECT_EQ(again[0].count(), 2u);
  // A passed deadline is an attempt, the restart is none.
  EXPECT_EQ(again[0].attempt, 2u);
}

TEST_F(RestoredLeaseTest, WhatClientsSayOfItsOldIdSettlesIt) {
  Subscribe();
  const auto first = ConnectOutliving();
  ASSERT_TRUE(Publish("orders", {"a", "b", "c"}).ok());
  const auto given = Take(first);
  Reopen();
  const auto subscription = FindSubscription("billing");
  EXPECT_EQ(subscription->Ack(kAnyone, {RangeNow(given[0])}), 1u);
  EXPECT_EQ(subscription->Nack(kAnyone, RangeNow(given[1]), absl::ZeroDuration()), 1u);
  EXPECT_EQ(subscription->Extend(kAnyone, RangeNow(given[2]), absl::Seconds(60)), 1u);
  const auto after = ConnectOutliving();
  EXPECT_THAT(after.consumer->TakeData(), ElementsAre("b"));
  Advance(absl::Seconds(9));
  EXPECT_EQ(subscription->Ack(kAnyone, {RangeNow(given[2])}), 1u);
  EXPECT_EQ(stats().backlog_messages, 1);
}

TEST_F(RestoredLeaseTest, AnotherEnginesIdIsNotMistakenForIt) {
  Subscribe();
  const auto first = ConnectOutliving();
  ASSERT_TRUE(Publish("orders", {"a"}).ok());
  const auto given = Take(first);
  Reopen();
  EXPECT_FALSE(LeaseNow({given[0].incarnation + 1, given[0].lease, given[0].offset}));
  EXPECT_FALSE(LeaseNow({given[0].incarnation, given[0].lease + 1, given[0].offset}));
  EXPECT_FALSE(LeaseNow({given[0].incarnation, given[0].lease, given[0].offset + 1}));
}

TEST_F(RestoredLeaseTest, ItHoldsOverASecondRestartTooAndAsExtended) {
  Subscribe();
  const auto first = ConnectOutliving();
  ASSERT_TRUE(Publish("orders", {"a", "b"}).ok());
  const auto given = Take(first);
  Reopen();
  FindSubscription("billing")->Extend(kAnyone, RangeNow(given[1]), absl::Seconds(60));
  Reopen();
  Advance(absl::Seconds(30));
  const auto after = ConnectOutliving();
  EXPECT_THAT(after.consumer->TakeData(), ElementsAre("a"));
  EXPECT_EQ(FindSubscription("billing")->Ack(kAnyone, {RangeNow(given[1])}), 1u);
}

TEST_F(RestoredLeaseTest, ExactlyOnceConfirmsItAndRefusesItOnceItWentToSomebodyElse) {
  SubscriptionConfig config;
  config.exactly_once = true;
  Subscribe(config);
  const auto first = ConnectOutliving();
  ASSERT_TRUE(Publish("orders", {"a", "b"}).ok());
  const auto given = Take(first);
  Reopen();
  EXPECT_EQ(Confirm(RangeNow(given[0])).confirmed.size(), 1u);
  EXPECT_EQ(Confirm(RangeNow(given[0])).refused.size(), 1u);
  Advance(absl::Seconds(11));
  const auto after = ConnectOutliving();
  EXPECT_THAT(after.consumer->TakeData(), ElementsAre("b"));
  EXPECT_EQ(Confirm(RangeNow(given[1])).refused.size(), 1u);
  // By its offset alone it does not count either.
  AckOutcome late;
  FindSubscription("billing")->AckLateConfirmed(
      {{{given[1].lease, given[1].lease}, given[1].offset}},
      [&](AckOutcome outcome) { late = std::move(outcome); });
  EXPECT_EQ(late.refused.size(), 1u);
}

TEST_F(RestoredLeaseTest, LeasesThatDoNotOutliveTheirConsumerEndWithTheEngine) {
  Subscribe();
  const auto native = Connect("billing");
  ASSERT_TRUE(Publish("orders", {"a"}).ok());
  native.consumer->Take();
  Advance(absl::Seconds(1));
  Reopen();
  EXPECT_EQ(stats().leased_messages, 0);
  EXPECT_THAT(ConnectOutliving().consumer->TakeData(), ElementsAre("a"));
}

TEST_F(RestoredLeaseTest, WhatIsPushedIsPushedAgain) {
  SubscriptionConfig config;
  config.push.emplace().endpoint = "http://localhost:1/";
  Subscribe(config);
  const auto pusher = ConnectOutliving({.client_id = {}, .pushes = true});
  ASSERT_TRUE(Publish("orders", {"a"}).ok());
  EXPECT_EQ(Take(pusher).size(), 1u);
  Reopen();
  EXPECT_THAT(ConnectOutliving({.client_id = {}, .pushes = true}).consumer->TakeData(),
              ElementsAre("a"));
}

TEST_F(RestoredLeaseTest, WhatWasNotOutGoesOutAndWhatIsInFrontToo) {
  Subscribe();
  const auto first = ConnectOutliving();
  ASSERT_TRUE(Publish("orders", {"a", "b", "c"}).ok());
  const auto given = Take(first);
  first.subscription->Nack(kAnyone, {given[0].lease, given[0].lease}, absl::Seconds(30));
  first.subscription->Detach(first.id);
  ASSERT_TRUE(Publish("orders", {"d", "e"}).ok());
  Reopen();
  EXPECT_EQ(stats().leased_messages, 2);
  EXPECT_THAT(ConnectOutliving().consumer->TakeData(), ElementsAre("a", "d", "e"));
}

TEST_F(RestoredLeaseTest, OfAKeyNothingGoesOutWhileItHolds) {
  SubscriptionConfig config;
  config.ordered = true;
  Subscribe(config);
  const auto first = ConnectOutliving({.client_id = {}, .max_outstanding_messages = 2});
  PublishKeyed({"a", "b", "c"});
  const auto given = Take(first);
  ASSERT_EQ(given.size(), 2u);
  Reopen();
  const auto after = ConnectOutliving();
  EXPECT_THAT(after.consumer->TakeData(), IsEmpty());
  // The later one of the two does not count before the first does.
  EXPECT_EQ(FindSubscription("billing")->Ack(kAnyone, {RangeNow(given[1])}), 1u);
  EXPECT_THAT(after.consumer->TakeData(), IsEmpty());
  EXPECT_EQ(stats().backlog_messages, 3);
  EXPECT_EQ(FindSubscription("billing")->Ack(kAnyone, {RangeNow(given[0])}), 1u);
  EXPECT_THAT(after.consumer->TakeData(), ElementsAre("c"));
  EXPECT_EQ(stats().backlog_messages, 1);
}

TEST_F(RestoredLeaseTest, WhenTheFirstOfAKeyFailsTheLaterOnesComeAgainToo) {
  SubscriptionConfig config;
  config.ordered = true;
  config.exactly_once = true;
  Subscribe(config);
  const auto first = ConnectOutliving();
  PublishKeyed({"a", "b"});
  const auto given = Take(first);
  Reopen();
  const auto after = ConnectOutliving();
  EXPECT_EQ(Confirm(RangeNow(given[1])).too_early.size(), 1u);
  EXPECT_EQ(FindSubscription("billing")->Nack(kAnyone, RangeNow(given[0]), absl::ZeroDuration()),
            1u);
  EXPECT_THAT(after.consumer->TakeData(), ElementsAre("a", "b"));
}

TEST_F(RestoredLeaseTest, ASeekEndsIt) {
  Subscribe();
  const auto first = ConnectOutliving();
  ASSERT_TRUE(Publish("orders", {"a"}).ok());
  const auto given = Take(first);
  Reopen();
  engine_->Seek(SubscriptionNamed("billing"), Earliest{},
                [](const absl::Status& status) { EXPECT_TRUE(status.ok()); });
  EXPECT_FALSE(LeaseNow(given[0]));
  EXPECT_EQ(stats().leased_messages, 0);
  EXPECT_THAT(ConnectOutliving().consumer->TakeData(), ElementsAre("a"));
}

TEST_F(RestoredLeaseTest, ADeadlineThatPassesWhileNoEngineIsThereCountsNothing) {
  Subscribe();
  const auto first = ConnectOutliving();
  ASSERT_TRUE(Publish("orders", {"a"}).ok());
  first.consumer->Take();
  ASSERT_TRUE(engine_->Shutdown(absl::Seconds(5)).ok());
  engine_ = nullptr;
  clock_.Advance(absl::Seconds(20));
  Open();
  const auto again = ConnectOutliving().consumer->Take();
  ASSERT_EQ(again.size(), 1u);
  EXPECT_EQ(again[0].attempt, 1u);
}

TEST_F(RestoredLeaseTest, AClockSetBackDoesNotMakeItLast) {
  Subscribe();
  const auto first = ConnectOutliving();
  ASSERT_TRUE(Publish("orders", {"a"}).ok());
  first.consumer->Take();
  clock_.JumpWall(-absl::Hours(24));
  ASSERT_TRUE(engine_->Shutdown(absl::Seconds(5)).ok());
  engine_ = nullptr;
  clock_.JumpWall(-absl::Hours(24));
  Open();
  const auto after = ConnectOutliving();
  Advance(kMaxAckDeadline);
  EXPECT_THAT(after.consumer->TakeData(), ElementsAre("a"));
}

TEST_F(RestoredLeaseTest, ItHoldsAfterACrashOnceItWasSaved) {
  Subscribe();
  const auto first = ConnectOutliving();
  ASSERT_TRUE(Publish("orders", {"a"}).ok());
  first.consumer->Take();
  Advance(absl::Milliseconds(100));
  ASSERT_TRUE(Publish("orders", {"b"}).ok());
  first.consumer->Take();
  const SavedLeases saved = store_->CursorOf(FindSubscription("billing")->id())->state().leases;
  ASSERT_EQ(saved.size(), 1u);
  EXPECT_EQ(saved.runs().begin()->second.offsets, (OffsetRange{Offset(1), Offset(2)}));
}

TEST_F(RestoredLeaseTest, WhatIsSettledSoonIsNeverSavedAndWhatIsGivenBackIsSavedAsOver) {
  Subscribe();
  const auto first = ConnectOutliving();
  const auto cursor = store_->CursorOf(FindSubscription("billing")->id());
  ASSERT_TRUE(Publish("orders", {"a"}).ok());
  first.subscription->Ack(kAnyone, Leases(first.consumer->Take()));
  Advance(absl::Milliseconds(100));
  EXPECT_TRUE(cursor->state().leases.empty());
  ASSERT_TRUE(Publish("orders", {"b"}).ok());
  const auto delivered = first.consumer->Take();
  Advance(absl::Milliseconds(100));
  EXPECT_FALSE(cursor->state().leases.empty());
  first.subscription->Detach(first.id);
  first.subscription->Return(delivered);
  Advance(absl::Milliseconds(100));
  EXPECT_TRUE(cursor->state().leases.empty());
}

TEST_F(RestoredLeaseTest, ItCountsForTheLimits) {
  options_.leases.subscription = 2;
  Reopen();
  Subscribe();
  const auto first = ConnectOutliving();
  ASSERT_TRUE(Publish("orders", {"a", "b", "c"}).ok());
  const auto given = Take(first);
  ASSERT_EQ(given.size(), 2u);
  Reopen();
  const auto after = ConnectOutliving();
  EXPECT_THAT(after.consumer->TakeData(), IsEmpty());
  FindSubscription("billing")->Ack(kAnyone, {RangeNow(given[0])});
  Advance(absl::Milliseconds(1));
  EXPECT_THAT(after.consumer->TakeData(), ElementsAre("c"));
}

class TakenUpLeaseTest : public RestoredLeaseTest {
 protected:
  void SubscribeExactlyOnce(bool ordered = false) {
    SubscriptionConfig config;
    config.exactly_once = true;
    config.ordered = ordered;
    Subscribe(std::move(config));
  }
  Wired Connect() { return ConnectAs({.client_id = {}, .takes_up_leases = true}); }
  // What was given one after the other.
  static std::vector<TakenUp> TakeUp(const Wired& wired, const std::vector<Given>& given) {
    return wired.subscription->TakeUp(wired.id, given.front().incarnation, given.front().lease,
                                      {given.front().offset, given.back().offset + 1});
  }
};

TEST_F(TakenUpLeaseTest, IsTheConsumersOwn) {
  SubscribeExactlyOnce();
  const auto before = Connect();
  ASSERT_TRUE(Publish("orders", {"a", "b", "c"}).ok());
  const auto given = Take(before);
  Reopen();
  const auto after = Connect();
  const auto taken = TakeUp(after, given);
  ASSERT_EQ(taken.size(), 1u);
  EXPECT_EQ(taken[0].earlier.first, given[0].lease);
  EXPECT_EQ(taken[0].earlier.last, given[2].lease);
  EXPECT_THAT(TakeUp(after, given), IsEmpty()) << "once";
  AckOutcome outcome;
  after.subscription->AckConfirmed(after.id, {{taken[0].now, taken[0].now}},
                                   [&](AckOutcome told) { outcome = std::move(told); });
  EXPECT_EQ(outcome.confirmed.size(), 1u);
  // What it holds when it ends is free at once.
  const auto other = Connect();
  after.subscription->Detach(after.id);
  EXPECT_THAT(other.consumer->TakeData(), ElementsAre("b", "c"));
}

TEST_F(TakenUpLeaseTest, OnlyWhatStillHoldsIsTakenUp) {
  SubscribeExactlyOnce();
  const auto before = Connect();
  ASSERT_TRUE(Publish("orders", {"a", "b", "c"}).ok());
  const auto given = Take(before);
  before.subscription->Nack(before.id, {given[1].lease, given[1].lease}, absl::Seconds(100));
  Reopen();
  const auto after = Connect();
  EXPECT_THAT(after.consumer->TakeData(), ElementsAre("b"))
      << "a delay does not outlive the engine";
  EXPECT_EQ(TakeUp(after, given).size(), 2u);
  EXPECT_THAT(TakeUp(after, {{given[0].incarnation + 1, given[0].lease, given[0].offset}}),
              IsEmpty());
}

TEST_F(TakenUpLeaseTest, LaterMessagesOfItsKeyFollowItToItsConsumer) {
  SubscribeExactlyOnce(/*ordered=*/true);
  const auto before = Connect();
  PublishKeyed({"a", "b"});
  const auto given = Take(before);
  ASSERT_EQ(given.size(), 2u);
  Reopen();
  const auto other = Connect();
  const auto after = Connect();
  EXPECT_FALSE(TakeUp(after, given).empty());
  PublishKeyed({"c"});
  EXPECT_THAT(other.consumer->TakeData(), IsEmpty());
  EXPECT_THAT(after.consumer->TakeData(), ElementsAre("c"));
  after.subscription->Detach(after.id);
  EXPECT_THAT(other.consumer->TakeData(), ElementsAre("a", "b", "c"));
}

// The client has not read the last one.
TEST_F(TakenUpLeaseTest, APartOfAKeyKeepsWhatComesBehindTheRestWaiting) {
  SubscribeExactlyOnce(/*ordered=*/true);
  const auto before = Connect();
  PublishKeyed({"a", "b", "c"});
  auto given = Take(before);
  ASSERT_EQ(given.size(), 3u);
  given.pop_back();
  Reopen();
  const auto after = Connect();
  const auto taken = TakeUp(after, given);
  PublishKeyed({"d"});
  EXPECT_THAT(after.consumer->TakeData(), IsEmpty());
  // All come again, and nothing of it is out twice.
  EXPECT_EQ(after.subscription->Nack(after.id, {taken[0].now, taken[0].now}, absl::ZeroDuration()),
            1u);
  const auto again = after.consumer->deliveries();
  EXPECT_THAT(after.consumer->TakeData(), ElementsAre("a", "b", "c", "d"));
  EXPECT_EQ(stats().leased_messages, 4);
  AckOutcome outcome;
  after.subscription->AckConfirmed(after.id, Leases(again),
                                   [&](AckOutcome told) { outcome = std::move(told); });
  EXPECT_EQ(stats().backlog_messages, 0);
}

TEST_F(TakenUpLeaseTest, WhatRetentionDroppedMeanwhileHarmsNothing) {
  SubscribeExactlyOnce(/*ordered=*/true);
  const auto before = Connect();
  PublishKeyed({"a", "b"});
  const auto given = Take(before);
  Reopen();
  const auto after = Connect();
  FindTopic("orders")->log().Trim(Offset(3));
  after.subscription->DropBefore(Offset(3));
  TakeUp(after, given);
  PublishKeyed({"c"});
  EXPECT_THAT(after.consumer->TakeData(), ElementsAre("c"));
}

TEST_F(TakenUpLeaseTest, ItOutlivesAnotherRestartUnderItsNewName) {
  SubscribeExactlyOnce();
  const auto before = Connect();
  ASSERT_TRUE(Publish("orders", {"a"}).ok());
  const auto given = Take(before);
  Reopen();
  const auto after = Connect();
  const auto taken = TakeUp(after, given);
  ASSERT_EQ(taken.size(), 1u);
  const Given now{engine_->incarnation(), taken[0].now, given[0].offset};
  Reopen();
  const auto last = Connect();
  EXPECT_THAT(TakeUp(last, given), IsEmpty());
  EXPECT_EQ(TakeUp(last, {now}).size(), 1u);
}

TEST_F(TakenUpLeaseTest, WhoTakesNothingUpLeavesNothing) {
  SubscribeExactlyOnce();
  const auto before = ConnectAs({});
  ASSERT_TRUE(Publish("orders", {"a"}).ok());
  Reopen();
  EXPECT_THAT(Connect().consumer->TakeData(), ElementsAre("a"));
}

}  // namespace
}  // namespace sluice
