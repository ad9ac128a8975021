// How many messages may be leased at once.
#include "core/flow/lease_quota.h"

#include <optional>
#include <string>

#include "gmock/gmock.h"

namespace sluice {
namespace {

class LeaseQuotaTest : public testing::Test {
 protected:
  std::function<void()> Note(const std::string& name) {
    return [this, name] { woken_ += name; };
  }
  std::string Woken() {
    timers_.RunDue();
    return std::exchange(woken_, "");
  }

  ManualClock clock_;
  TimerQueue timers_{clock_};
  std::string woken_;
};

TEST_F(LeaseQuotaTest, WithoutLimitsEverythingMayBeLeased) {
  LeaseQuota quota({}, timers_, clock_);
  LeaseQuota::Share share(quota, Note("a"));
  EXPECT_EQ(share.Room(0, 1'000'000), 1'000'000u);
  share.Ended(0);
  EXPECT_EQ(quota.taken(), 0u);
  EXPECT_EQ(Woken(), "");
}

TEST_F(LeaseQuotaTest, ASubscriptionStopsAtItsOwnLimitAndIsCalledWhenItHasRoom) {
  LeaseQuota quota({.server = 100, .subscription = 10}, timers_, clock_);
  LeaseQuota::Share a(quota, Note("a"));
  LeaseQuota::Share b(quota, Note("b"));
  EXPECT_EQ(a.Room(0, 15), 10u);
  EXPECT_EQ(b.Room(0, 5), 5u) << "others do not notice";
  b.Ended(0);
  EXPECT_EQ(Woken(), "") << "it is not what stands in the way";
  a.Ended(9);
  EXPECT_EQ(Woken(), "a");
  EXPECT_EQ(a.Room(9, 15), 1u);
}

TEST_F(LeaseQuotaTest, ThoseWhoFindTheServerFullAreCalledInTurn) {
  LeaseQuota quota({.server = 10}, timers_, clock_);
  LeaseQuota::Share a(quota, Note("a"));
  LeaseQuota::Share b(quota, Note("b"));
  LeaseQuota::Share c(quota, Note("c"));
  EXPECT_EQ(a.Room(0, 20), 10u);
  EXPECT_EQ(b.Room(0, 5), 0u);
  EXPECT_EQ(c.Room(0, 5), 0u);
  a.Ended(0);
  EXPECT_EQ(Woken(), "abc") << "a asked first, for the rest";
  EXPECT_EQ(b.Room(0, 10), 10u);
  EXPECT_EQ(a.Room(0, 1), 0u);
  EXPECT_EQ(c.Room(0, 1), 0u);
  EXPECT_EQ(Woken(), "") << "full again";
  b.Ended(8);
  EXPECT_EQ(Woken(), "ac");
}

TEST_F(LeaseQuotaTest, WhoDoesNotWantAnyMoreDoesNotKeepOthersFromBeingCalled) {
  LeaseQuota quota({.server = 10}, timers_, clock_);
  LeaseQuota::Share a(quota, Note("a"));
  LeaseQuota::Share b(quota, Note("b"));
  LeaseQuota::Share c(quota, Note("c"));
  EXPECT_EQ(a.Room(0, 10), 10u);
  EXPECT_EQ(b.Room(0, 5), 0u);
  EXPECT_EQ(c.Room(0, 5), 0u);
  a.Ended(0);
  EXPECT_EQ(Woken(), "bc");
}

TEST_F(LeaseQuotaTest, WhatASubscriptionHeldComesBackWhenItGoes) {
  LeaseQuota quota({.server = 10}, timers_, clock_);
  std::optional<LeaseQuota::Share> a;
  a.emplace(quota, Note("a"));
  LeaseQuota::Share b(quota, Note("b"));
  EXPECT_EQ(a->Room(0, 11), 10u);
  EXPECT_EQ(b.Room(0, 1), 0u);
  a.reset();
  EXPECT_EQ(quota.taken(), 0u);
  EXPECT_EQ(Woken(), "b");
}

TEST_F(LeaseQuotaTest, AShareKeepsALittleInHandWhileItIsInUseAndHasEnough) {
  LeaseQuota quota({.server = 100'000}, timers_, clock_);
  LeaseQuota::Share share(quota, Note("a"));
  EXPECT_EQ(share.Room(0, 100), 100u);
  EXPECT_EQ(quota.taken(), 164u);
  EXPECT_EQ(share.Room(100, 64), 64u);
  EXPECT_EQ(quota.taken(), 164u) << "without asking";
  share.Ended(36);
  EXPECT_EQ(quota.taken(), 164u);
  share.Ended(35);
  EXPECT_EQ(quota.taken(), 35u + 64u);
  share.Ended(0);
  EXPECT_EQ(quota.taken(), 0u);
}

TEST_F(LeaseQuotaTest, WhoGotLessThanItWantedKeepsNothingInHand) {
  LeaseQuota quota({.server = 100'000}, timers_, clock_);
  LeaseQuota::Share share(quota, Note("a"));
  EXPECT_EQ(share.Room(0, 200'000), 100'000u);
  share.Ended(99'999);
  EXPECT_EQ(Woken(), "a");
}

}  // namespace
}  // namespace sluice
