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
  EXPECT_EQ(share.Take(1'000'000), 1'000'000u);
  share.Give(1'000'000);
  EXPECT_EQ(quota.leased(), 0u);
  EXPECT_EQ(Woken(), "");
}

TEST_F(LeaseQuotaTest, ASubscriptionStopsAtItsOwnLimitAndIsCalledWhenItHasRoom) {
  LeaseQuota quota({.server = 100, .subscription = 10}, timers_, clock_);
  LeaseQuota::Share a(quota, Note("a"));
  LeaseQuota::Share b(quota, Note("b"));
  EXPECT_EQ(a.Take(15), 10u);
  EXPECT_EQ(b.Take(5), 5u) << "others do not notice";
  b.Give(5);
  EXPECT_EQ(Woken(), "") << "it is not what stands in the way";
  a.Give(1);
  EXPECT_EQ(Woken(), "a");
}

TEST_F(LeaseQuotaTest, ThoseWhoFindTheServerFullAreCalledInTurn) {
  LeaseQuota quota({.server = 10}, timers_, clock_);
  LeaseQuota::Share a(quota, Note("a"));
  LeaseQuota::Share b(quota, Note("b"));
  LeaseQuota::Share c(quota, Note("c"));
  EXPECT_EQ(a.Take(20), 10u);
  EXPECT_EQ(b.Take(5), 0u);
  EXPECT_EQ(c.Take(5), 0u);
  a.Give(10);
  EXPECT_EQ(Woken(), "a") << "it asked first, for the rest";
  EXPECT_EQ(a.Take(1), 1u);
  EXPECT_EQ(Woken(), "b");
  EXPECT_EQ(b.Take(9), 9u);
  EXPECT_EQ(Woken(), "") << "full again";
  b.Give(2);
  EXPECT_EQ(Woken(), "c");
}

TEST_F(LeaseQuotaTest, WhatASubscriptionHeldComesBackWhenItGoes) {
  LeaseQuota quota({.server = 10}, timers_, clock_);
  std::optional<LeaseQuota::Share> a;
  a.emplace(quota, Note("a"));
  LeaseQuota::Share b(quota, Note("b"));
  EXPECT_EQ(a->Take(11), 10u);
  EXPECT_EQ(b.Take(1), 0u);
  a.reset();
  EXPECT_EQ(quota.leased(), 0u);
  EXPECT_EQ(Woken(), "b");
}

}  // namespace
}  // namespace sluice
