// The circuit breaker of a subscription's delivery, driven as a subscription does it.
#include "core/engine/delivery_breaker.h"

#include <algorithm>
#include <optional>
#include <vector>

#include "gmock/gmock.h"
#include "tests/support/engine_fixture.h"

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
  void Settle(LeaseId first, uint32_t count, DeliveryOutcome outcome) { breaker_->OnSettled(first, count, outcome, now_); }
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
  EXPECT_TRUE(Validate(DeliveryBreaker::Defaults(), "delivery").ok());
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

using SubscriptionBreakerTest = EngineFixture;

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
