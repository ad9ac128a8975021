#include "core/base/lock_order.h"

#include <thread>

#include "core/base/mutex.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

struct Locks {
  Mutex registry{LockRank::kRegistry};
  Mutex topic{LockRank::kTopic};
  Mutex other_topic{LockRank::kTopic};
  Mutex subscription{LockRank::kSubscription};
  Mutex leaf;
  Mutex other_leaf;
};

TEST(LockOrderTest, TheRightWayRoundIsFree) {
  Locks locks;
  {
    MutexLock registry(locks.registry);
    MutexLock topic(locks.topic);
    MutexLock subscription(locks.subscription);
    MutexLock leaf(locks.leaf);
    MutexLock other_leaf(locks.other_leaf);
  }
  // Released in any order, and forgotten.
  MutexLock topic(locks.topic);
  MutexLock leaf(locks.leaf);
  topic.Unlock();
  leaf.Unlock();
  MutexLock registry(locks.registry);
}

TEST(LockOrderTest, AWaitGivesTheMutexBackAndTakesItAgain) {
  Locks locks;
  CondVar cv;
  MutexLock topic(locks.topic);
  EXPECT_FALSE(cv.WaitFor(topic, absl::ZeroDuration()));
  MutexLock subscription(locks.subscription);
}

TEST(LockOrderTest, EachThreadHasAnAccountOfItsOwn) {
  Locks locks;
  MutexLock subscription(locks.subscription);
  std::thread([&] { MutexLock topic(locks.topic); }).join();
}

#ifdef SLUICE_CHECK_LOCK_ORDER
TEST(LockOrderDeathTest, ATopicUnderASubscriptionEndsTheProcess) {
  Locks locks;
  MutexLock subscription(locks.subscription);
  EXPECT_DEATH(MutexLock(locks.topic),
               "wrong way round: a topic lock taken under a subscription lock");
}

TEST(LockOrderDeathTest, TwoTopicsAtOnceEndTheProcess) {
  Locks locks;
  MutexLock topic(locks.topic);
  EXPECT_DEATH(MutexLock(locks.other_topic), "two of one kind");
}

TEST(LockOrderDeathTest, NothingIsTakenUnderALeafButALeaf) {
  Locks locks;
  MutexLock leaf(locks.leaf);
  EXPECT_DEATH(MutexLock(locks.registry), "a registry lock taken under a leaf lock");
}

TEST(LockOrderDeathTest, TheSameMutexTwiceEndsTheProcessInsteadOfHangingIt) {
  Locks locks;
  MutexLock leaf(locks.leaf);
  EXPECT_DEATH(MutexLock(locks.leaf), "taken twice");
}
#endif

}  // namespace
}  // namespace sluice
