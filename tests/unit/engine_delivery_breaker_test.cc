// The circuit breaker of a subscription's delivery, driven as a subscription does it.
#include "core/engine/delivery_breaker.h"

#include <algorithm>
#include <optional>
#include <vector>

#include "core/base/error.h"
#include "gmock/gmock.h"
#include "tests/support/engine_fixture.h"
#include "tests/support/messages.h"

namespace sluice {
namespace {

using testing::ElementsAre;

class DeliveryBreakerTest : public testing::Test {
 protected:
  // As the subscription does it: leases what is allowed of `wanted`, in one run. Returns how many.
  uint32_t Lease(uint32_t wanted) {
    const uint64_t most = breaker_->Allowance(now_);
    const auto count = static_cast<uint32_t>(std::min<uint64_t>(wanted, most));
    if (count == 0) return 0;
    run_ = next_;
    next_ += count;
    breaker_->OnLeased(run_, count, now_);
    return count;
  }
  void Settle(LeaseId first, uint32_t count, DeliveryOutcome outcome) {
    breaker_->OnSettled(first, count, outcome, now_);
  }
  uint32_t LeaseAndFail(uint32_t wanted) {
    const uint32_t count = Lease(wanted);
    if (count > 0) Settle(run_, count, DeliveryOutcome::kFailed);
    return count;
  }
  void WaitForLook() { now_ = breaker_->next_look(); }

  BreakerMetrics metrics_;
  std::optional<DeliveryBreaker> breaker_{std::in_place, metrics_};
  Instant now_{1'000'000'000};
  LeaseId next_{1};
  // The last run leased.
  LeaseId run_;
};

TEST_F(DeliveryBreakerTest, DefaultsAreWithinTheLimits) {
  EXPECT_TRUE(Validate(DeliveryBreaker::OptionsFrom({}), "delivery").ok());
}

TEST_F(DeliveryBreakerTest, AConsumerThatFailsEverythingGetsProbesAtGrowingDistances) {
  EXPECT_EQ(breaker_->Allowance(now_), DeliveryBreaker::kNoLimit);
  EXPECT_EQ(LeaseAndFail(100), 100u);
  std::vector<int64_t> waits;
  for (int i = 0; i < 8; ++i) {
    EXPECT_EQ(Lease(1000), 0u);
    waits.push_back(absl::ToInt64Seconds(breaker_->next_look() - now_));
    WaitForLook();
    EXPECT_EQ(LeaseAndFail(1000), 10u);
  }
  EXPECT_THAT(waits, ElementsAre(1, 2, 4, 8, 16, 32, 60, 60));
}

TEST_F(DeliveryBreakerTest, OneMessageThatAlwaysFailsDoesNotKeepItOpen) {
  LeaseAndFail(100);
  WaitForLook();
  ASSERT_EQ(Lease(1000), 10u);
  Settle(run_, 1, DeliveryOutcome::kFailed);
  Settle(run_ + 1, 1, DeliveryOutcome::kAcked);
  EXPECT_EQ(breaker_->state(), BreakerState::kHalfOpen);
  Settle(run_ + 2, 1, DeliveryOutcome::kAcked);
  EXPECT_EQ(breaker_->state(), BreakerState::kClosed);
  EXPECT_EQ(breaker_->Allowance(now_), DeliveryBreaker::kNoLimit);
}

TEST_F(DeliveryBreakerTest, AFewMessagesAreEnoughForProbes) {
  LeaseAndFail(100);
  WaitForLook();
  for (int i = 0; i < 4; ++i) EXPECT_EQ(LeaseAndFail(2), 2u);
  EXPECT_EQ(LeaseAndFail(2), 2u) << "9 of 10";
  EXPECT_EQ(Lease(2), 0u);
}

TEST_F(DeliveryBreakerTest, AHealthyConsumerAmongFailingOnesKeepsItClosed) {
  for (int i = 0; i < 1000; ++i) {
    ASSERT_EQ(Lease(10), 10u);
    Settle(run_, 8, DeliveryOutcome::kFailed);
    Settle(run_ + 8, 2, DeliveryOutcome::kAcked);
  }
  EXPECT_EQ(breaker_->state(), BreakerState::kClosed);
}

TEST_F(DeliveryBreakerTest, AMessageThatFailsAgainAndAgainCountsOnce) {
  for (int i = 0; i < 50; ++i) LeaseAndFail(1);
  for (int i = 0; i < 10'000; ++i) {
    ASSERT_EQ(Lease(1), 1u);
    Settle(run_, 1, DeliveryOutcome::kFailedAgain);
  }
  EXPECT_EQ(breaker_->state(), BreakerState::kClosed);
  EXPECT_TRUE(breaker_->fails_everything()) << "there was no success in all that time";
  ASSERT_EQ(Lease(1), 1u);
  Settle(run_, 1, DeliveryOutcome::kAcked);
  EXPECT_FALSE(breaker_->fails_everything());
}

TEST_F(DeliveryBreakerTest, AProbeThatFailsAgainCounts) {
  LeaseAndFail(100);
  WaitForLook();
  ASSERT_EQ(Lease(1000), 10u);
  Settle(run_, 9, DeliveryOutcome::kFailedAgain);
  EXPECT_EQ(breaker_->state(), BreakerState::kOpen);
}

TEST_F(DeliveryBreakerTest, OneThatIsDisabledNeverOpens) {
  breaker_.emplace(metrics_, DeliveryBreaker::OptionsFrom(DeliveryBreakerPolicy{.disabled = true}));
  for (int i = 0; i < 100; ++i) ASSERT_EQ(LeaseAndFail(1000), 1000u);
  EXPECT_EQ(breaker_->state(), BreakerState::kClosed);
  EXPECT_FALSE(breaker_->fails_everything());
}

TEST_F(DeliveryBreakerTest, LeasesFromBeforeTheChangeSayNothing) {
  ASSERT_EQ(Lease(500), 500u);
  const LeaseId old = run_;
  Settle(old, 100, DeliveryOutcome::kFailed);
  EXPECT_EQ(breaker_->state(), BreakerState::kOpen);
  WaitForLook();
  ASSERT_EQ(Lease(10), 10u);
  Settle(old + 100, 200, DeliveryOutcome::kAcked);
  Settle(old + 300, 100, DeliveryOutcome::kReturned);
  EXPECT_EQ(Lease(10), 0u) << "nobody's place was given back";
  Settle(old + 400, 100, DeliveryOutcome::kFailed);
  EXPECT_EQ(breaker_->state(), BreakerState::kHalfOpen);
}

TEST_F(DeliveryBreakerTest, WhatAConsumerThatWentAwayHeldIsProbedAgain) {
  LeaseAndFail(100);
  WaitForLook();
  ASSERT_EQ(Lease(10), 10u);
  EXPECT_EQ(breaker_->Allowance(now_), 0u);
  EXPECT_EQ(breaker_->next_look(), Instant::Never()) << "only what is settled changes it";
  Settle(run_, 10, DeliveryOutcome::kReturned);
  EXPECT_EQ(Lease(1000), 10u);
}

TEST_F(DeliveryBreakerTest, WhatAConsumerFailedCountsNoMoreWhenItIsGone) {
  std::unique_ptr<DeliveryBreaker::Failures> gone;
  std::unique_ptr<DeliveryBreaker::Failures> stays;
  const auto fail = [&](uint32_t count, std::unique_ptr<DeliveryBreaker::Failures>* whose) {
    ASSERT_EQ(Lease(count), count);
    breaker_->OnSettled(run_, count, DeliveryOutcome::kFailed, now_, whose);
  };
  fail(60, &gone);
  now_ = now_ + absl::Seconds(30);
  fail(60, &stays);
  EXPECT_EQ(breaker_->state(), BreakerState::kOpen);
  now_ = now_ + absl::Seconds(40);
  breaker_->OnConsumerGone(*gone, now_);
  EXPECT_EQ(breaker_->state(), BreakerState::kClosed);
  std::unique_ptr<DeliveryBreaker::Failures> other;
  fail(10, &other);
  fail(100, &stays);
  EXPECT_EQ(breaker_->state(), BreakerState::kOpen);
  breaker_->OnConsumerGone(*gone, now_);
  breaker_->OnConsumerGone(*other, now_);
  EXPECT_EQ(breaker_->state(), BreakerState::kOpen) << "who failed them is there";
}

TEST_F(DeliveryBreakerTest, CountsWhatItDoesAndLeavesNothingBehind) {
  LeaseAndFail(100);
  EXPECT_EQ(Lease(1), 0u);
  EXPECT_EQ(metrics_.not_closed.value(), 1);
  EXPECT_EQ(metrics_.rejections.value(), 1u);
  const auto change = breaker_->TakeChange();
  ASSERT_TRUE(change.has_value());
  EXPECT_EQ(change->cause, BreakerCause::kFailureRatio);
  EXPECT_FALSE(breaker_->TakeChange().has_value());
  WaitForLook();
  Lease(10);
  EXPECT_EQ(metrics_.not_closed.value(), 1);
  Settle(run_, 10, DeliveryOutcome::kAcked);
  EXPECT_EQ(metrics_.not_closed.value(), 0);
  for (const Counter& changes : metrics_.changes) EXPECT_EQ(changes.value(), 1u);
  LeaseAndFail(100);
  EXPECT_EQ(metrics_.not_closed.value(), 1);
  breaker_.reset();
  EXPECT_EQ(metrics_.not_closed.value(), 0) << "gone with its subscription";
}

// A subscription whose consumer refuses what is called "bad" and acknowledges the rest.
class SubscriptionBreakerTest : public EngineFixture {
 protected:
  void Create(std::optional<DeadLetterPolicy> dead_letter = std::nullopt, bool ordered = false) {
    ASSERT_TRUE(CreateTopic("orders").ok());
    ASSERT_TRUE(CreateTopic("graveyard").ok());
    config_.name = SubscriptionNamed("billing");
    config_.topic = TopicNamed("orders");
    config_.dead_letter = std::move(dead_letter);
    config_.ordered = ordered;
    ASSERT_TRUE(CreateSubscription(config_).ok());
  }
  // Each in a batch of its own, and of a key of its own.
  void PublishEach(int count, std::string_view data) {
    for (int i = 0; i < count; ++i) {
      const std::string key = std::to_string(++keys_);
      FindTopic("orders")->Publish(
          MakeBatch(std::vector<OutgoingMessage>{{.data = data, .ordering_key = key}}),
          [](const auto& published) { ASSERT_TRUE(published.ok()); });
    }
  }
  // Until nothing comes, or `most` messages were handled.
  void Handle(const Wired& wired, int most = 1'000'000) {
    while (most > 0) {
      const std::vector<Received> got = Flatten(wired.consumer->Take());
      if (got.empty()) return;
      for (const Received& one : got) {
        ++handled_;
        --most;
        const LeaseRange lease{one.lease, one.lease};
        if (one.data == "bad") {
          wired.subscription->Nack(wired.id, lease, absl::ZeroDuration());
        } else {
          ++good_;
          wired.subscription->Ack(wired.id, {lease});
        }
      }
    }
  }
  // One message in 100 ms.
  void Work(const Wired& wired, absl::Duration time) {
    for (absl::Duration d; d < time; d += absl::Milliseconds(100)) {
      Handle(wired, 1);
      Advance(absl::Milliseconds(100));
      wired.subscription->Grant(wired.id, 1, Subscription::kNoByteLimit);
    }
  }
  BreakerState state() { return FindSubscription("billing")->stats().breaker; }

  SubscriptionConfig config_;
  int keys_ = 0;
  int64_t handled_ = 0;
  int64_t good_ = 0;
};

TEST_F(SubscriptionBreakerTest, AFewPoisonMessagesDoNotHoldUpTheOthers) {
  for (const bool ordered : {false, true}) {
    SCOPED_TRACE(ordered ? "ordered" : "not ordered");
    store_ = std::make_shared<MemoryStore>();
    Reopen();
    Create(std::nullopt, ordered);
    const Wired wired = Connect("billing");
    good_ = 0;
    PublishEach(12, "bad");
    Handle(wired);
    for (int published = 1; published <= 50; ++published) {
      for (int i = 0; i < 30; ++i) {
        Advance(absl::Milliseconds(100));
        Handle(wired);
      }
      PublishEach(1, "good");
      Handle(wired);
      ASSERT_EQ(good_, published) << "at once";
      ASSERT_EQ(state(), BreakerState::kClosed);
    }
  }
}

TEST_F(SubscriptionBreakerTest, AConsumerThatIsKeptBusyByPoisonMessagesGetsTheOthersInBetween) {
  Create();
  const Wired wired = Connect("billing", 1);
  PublishEach(50, "bad");
  // It handles one message in 100 ms: fewer than would like to come again.
  for (int published = 1; published <= 50; ++published) {
    PublishEach(1, "good");
    Work(wired, absl::Seconds(1));
    if (published > 20) {
      ASSERT_EQ(good_, published) << "within a second";
    }
    Work(wired, absl::Seconds(2));
  }
  EXPECT_EQ(good_, 50);
}

TEST_F(SubscriptionBreakerTest, AMessageThatFailedOnceDoesNotWaitForThoseThatAlwaysFail) {
  for (const bool ordered : {false, true}) {
    SCOPED_TRACE(ordered ? "ordered" : "not ordered");
    store_ = std::make_shared<MemoryStore>();
    Reopen();
    good_ = handled_ = 0;
    Create(std::nullopt, ordered);
    const Wired wired = Connect("billing", 1);
    PublishEach(50, "bad");
    Work(wired, absl::Seconds(60));
    PublishEach(1, "good");
    while (true) {
      const std::vector<Received> got = Flatten(wired.consumer->Take());
      ASSERT_EQ(got.size(), 1u);
      wired.subscription->Nack(wired.id, {got[0].lease, got[0].lease}, absl::ZeroDuration());
      wired.subscription->Grant(wired.id, 1, Subscription::kNoByteLimit);
      if (got[0].data == "good") break;
    }
    Work(wired, absl::Seconds(1));
    EXPECT_EQ(good_, 1);
    // One that is not new when it is due.
    const OutgoingMessage later{.data = "good", .deliver_at = clock_.WallNow() + absl::Seconds(1)};
    FindTopic("orders")->Publish(MakeBatch(std::vector<OutgoingMessage>{later}),
                                 [](const auto&) {});
    Work(wired, absl::Milliseconds(2500));
    EXPECT_EQ(good_, 2);
    EXPECT_GT(handled_, 500) << "and those that always fail have their turns";
  }
}

TEST_F(SubscriptionBreakerTest, PoisonMessagesOnTheirWayToTheDeadLettersDoNotHoldUpTheOthers) {
  Create(DeadLetterPolicy{.topic = TopicNamed("graveyard"), .max_attempts = 5});
  const Wired wired = Connect("billing");
  PublishEach(100, "bad");
  Handle(wired);
  EXPECT_EQ(state(), BreakerState::kOpen) << "nothing but failures so far";
  int64_t published = 0;
  for (int tenths = 0; tenths < 1130; ++tenths) {
    if (tenths >= 11) {
      ASSERT_GE(good_, published - 10) << "each within a second";
    }
    PublishEach(1, "good");
    ++published;
    Advance(absl::Milliseconds(100));
    Handle(wired);
  }
  EXPECT_EQ(good_, published);
  EXPECT_EQ(state(), BreakerState::kClosed);
  EXPECT_EQ(FindTopic("graveyard")->log().extent().next, Offset(101));
}

TEST_F(SubscriptionBreakerTest, AConsumerThatFailsEverythingIsSlowed) {
  Create();
  const Wired wired = Connect("billing");
  PublishEach(1000, "bad");
  for (int seconds = 0; seconds < 600; ++seconds) {
    Handle(wired);
    Advance(absl::Seconds(1));
  }
  EXPECT_EQ(state(), BreakerState::kOpen);
  EXPECT_LE(handled_, 1000 + 100 + 16 * 10)
      << "after what was out, 1, 2, 4, ... 60 s between ten messages";
}

TEST_F(SubscriptionBreakerTest, AConsumerThatFailsEverythingItGetsNowAndThenIsSlowed) {
  Create();
  const Wired wired = Connect("billing");
  // Never enough to open the breaker, and they come again.
  for (int minutes = 0; minutes < 20; ++minutes) {
    PublishEach(50, "bad");
    for (int seconds = 0; seconds < 60; ++seconds) {
      Handle(wired);
      Advance(absl::Seconds(1));
    }
  }
  const int64_t before = handled_;
  for (int seconds = 0; seconds < 60; ++seconds) {
    Handle(wired);
    Advance(absl::Seconds(1));
  }
  EXPECT_LE(handled_ - before, 1000 * 2) << "each about once a minute";
  PublishEach(1, "good");
  Handle(wired);
  EXPECT_EQ(good_, 1) << "what is new goes at once";
}

TEST_F(SubscriptionBreakerTest, AskingForMessagesLaterIsNoFailure) {
  Create();
  const Wired wired = Connect("billing");
  PublishEach(1000, "later");
  for (const Delivery& delivery : wired.consumer->Take()) {
    wired.subscription->Nack(wired.id, delivery.leases(), absl::Seconds(10));
  }
  EXPECT_EQ(state(), BreakerState::kClosed);
  Advance(absl::Seconds(10));
  EXPECT_EQ(Flatten(wired.consumer->Take()).size(), 1000u);
}

TEST_F(SubscriptionBreakerTest, ProbesAreTakenFromWhatIsNewToo) {
  Create();
  const Wired wired = Connect("billing");
  PublishEach(100, "bad");
  Handle(wired);
  ASSERT_EQ(state(), BreakerState::kOpen);
  PublishEach(2, "good");
  EXPECT_EQ(good_, 0);
  Advance(absl::Seconds(1));
  Handle(wired);
  EXPECT_EQ(good_, 2);
  EXPECT_EQ(state(), BreakerState::kClosed);
}

TEST_F(SubscriptionBreakerTest, ASubscriptionMayHaveNone) {
  config_.delivery_breaker = DeliveryBreakerPolicy{.disabled = true};
  Create();
  const Wired wired = Connect("billing");
  PublishEach(500, "bad");
  for (int i = 0; i < 100; ++i) {
    Handle(wired);
    Advance(absl::Seconds(1));
  }
  EXPECT_EQ(state(), BreakerState::kClosed);
  EXPECT_GT(handled_, 500 * 50) << "each about once a second";
}

// As ordinary clients do when they are told to end.
TEST_F(SubscriptionBreakerTest, AClientThatGivesBackAllItHoldsAndLeavesDoesNotSlowTheNext) {
  Create();
  for (int i = 0; i < 5; ++i) {
    PublishEach(400, "good");
    const Wired leaving = Connect("billing", 400);
    for (const Delivery& delivery : leaving.consumer->Take()) {
      leaving.subscription->Nack(leaving.id, delivery.leases(), absl::ZeroDuration());
    }
    leaving.subscription->Detach(leaving.id);
    EXPECT_EQ(state(), BreakerState::kClosed);
    const Wired next = Connect("billing");
    Handle(next);
    EXPECT_EQ(good_, 400 * (i + 1)) << "at once";
    next.subscription->Detach(next.id);
  }
}

TEST_F(SubscriptionBreakerTest,
       WhatAStreamGivesBackThroughAnotherCallAfterItsEndDoesNotSlowTheNext) {
  Create();
  PublishEach(400, "good");
  auto leaving = std::make_shared<FakeConsumer>();
  const auto subscription = FindSubscription("billing");
  const ConsumerId id =
      *subscription->Attach(leaving, {.client_id = {}, .leases_outlive_it = true});
  subscription->Grant(id, 400, Subscription::kNoByteLimit);
  subscription->Detach(id);
  for (const Delivery& delivery : leaving->Take())
    subscription->Nack(kAnyone, delivery.leases(), absl::ZeroDuration());
  EXPECT_EQ(state(), BreakerState::kClosed);
  Handle(Connect("billing"));
  EXPECT_EQ(good_, 400);
}

TEST_F(SubscriptionBreakerTest, CallsThatTakeOneDeliveryEachAndFailItAllAreSlowed) {
  Create();
  PublishEach(1000, "bad");
  const auto subscription = FindSubscription("billing");
  for (int i = 0; i < 20; ++i) {
    auto call = std::make_shared<FakeConsumer>();
    const ConsumerId id = *subscription->Attach(
        call, {.client_id = {}, .leases_outlive_it = true, .takes_one_delivery = true});
    subscription->Grant(id, 10, Subscription::kNoByteLimit);
    subscription->Detach(id);
    for (const Delivery& delivery : call->Take())
      subscription->Nack(kAnyone, delivery.leases(), absl::ZeroDuration());
  }
  EXPECT_EQ(state(), BreakerState::kOpen);
}

TEST_F(SubscriptionBreakerTest, OthersThatFailEverythingAreSlowedWhenOneOfThemLeaves) {
  Create();
  const Wired stays = Connect("billing", 150);
  const Wired leaves = Connect("billing", 50);
  PublishEach(1000, "bad");
  Handle(stays);
  Handle(leaves);
  ASSERT_EQ(state(), BreakerState::kOpen);
  leaves.subscription->Detach(leaves.id);
  EXPECT_EQ(state(), BreakerState::kOpen);
}

TEST_F(SubscriptionBreakerTest, AChangedPolicyCountsAtOnce) {
  Create();
  const Wired wired = Connect("billing");
  PublishEach(100, "bad");
  Handle(wired);
  ASSERT_EQ(state(), BreakerState::kOpen);
  config_ = wired.subscription->config();
  config_.delivery_breaker = DeliveryBreakerPolicy{.minimum_deliveries = 20};
  absl::Status changed = absl::UnknownError("no answer");
  engine_->UpdateSubscription(config_, [&](const auto& updated) { changed = updated.status(); });
  ASSERT_TRUE(changed.ok()) << changed;
  EXPECT_EQ(state(), BreakerState::kClosed);
  PublishEach(19, "bad");
  Handle(wired);
  EXPECT_EQ(state(), BreakerState::kClosed);
  PublishEach(1, "bad");
  Handle(wired);
  EXPECT_EQ(state(), BreakerState::kOpen);
}

TEST_F(SubscriptionBreakerTest, APolicyOutsideItsLimitsIsRefused) {
  ASSERT_TRUE(CreateTopic("orders").ok());
  config_.name = SubscriptionNamed("billing");
  config_.topic = TopicNamed("orders");
  for (const DeliveryBreakerPolicy& policy :
       {DeliveryBreakerPolicy{.window = absl::Hours(2)},
        DeliveryBreakerPolicy{.minimum_deliveries = 0},
        DeliveryBreakerPolicy{.minimum_deliveries = 1'000'001},
        DeliveryBreakerPolicy{.failure_ratio = 0}, DeliveryBreakerPolicy{.failure_ratio = 1.1},
        DeliveryBreakerPolicy{.open_time = absl::Seconds(61)},
        DeliveryBreakerPolicy{.max_open_time = absl::Hours(25)},
        DeliveryBreakerPolicy{.probes = 0}}) {
    config_.delivery_breaker = policy;
    EXPECT_EQ(ReasonOf(CreateSubscription(config_)), Reason::kInvalidBreakerPolicy);
  }
}

TEST_F(SubscriptionBreakerTest, ThePolicySurvivesARestart) {
  config_.delivery_breaker = DeliveryBreakerPolicy{.disabled = true,
                                                   .window = absl::Seconds(30),
                                                   .minimum_deliveries = 7,
                                                   .failure_ratio = 0.25,
                                                   .open_time = absl::Seconds(2),
                                                   .max_open_time = absl::Seconds(20),
                                                   .probes = 3};
  Create();
  Reopen();
  EXPECT_EQ(FindSubscription("billing")->config().delivery_breaker, config_.delivery_breaker);
}

TEST_F(SubscriptionBreakerTest, AnOpenTimeThatIsOverWaitsForCreditWithoutATimer) {
  auto wired = Wire(100);
  ASSERT_TRUE(Publish("orders", std::vector<std::string>(100, "bad")).ok());
  wired.subscription->Nack(wired.id, Leases(wired.consumer->Take())[0], absl::ZeroDuration());
  ASSERT_EQ(wired.subscription->stats().breaker, BreakerState::kOpen);
  // This would not return, were the same timer due again and again.
  Advance(absl::Seconds(2));
  EXPECT_GT(engine_->timers().NextDue(), clock_.Now());
  wired.subscription->Grant(wired.id, 100, Subscription::kNoByteLimit);
  EXPECT_EQ(wired.consumer->TakeData().size(), 10);
}

}  // namespace
}  // namespace sluice
