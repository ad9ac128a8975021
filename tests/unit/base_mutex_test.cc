#include "core/base/mutex.h"

#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace sluice {
namespace {

struct Guarded {
  Mutex mu;
  CondVar changed;
  int64_t value GUARDED_BY(mu) = 0;
  bool open GUARDED_BY(mu) = false;
};

TEST(MutexTest, LetsOneInAtATime) {
  constexpr int kThreads = 4;
  constexpr int kTimes = 100'000;
  Guarded guarded;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&guarded] {
      for (int i = 0; i < kTimes; ++i) {
        MutexLock lock(guarded.mu);
        // Now and then it is held for long enough that the others sleep.
        if (i % 1000 == 0) std::this_thread::yield();
        ++guarded.value;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  MutexLock lock(guarded.mu);
  EXPECT_EQ(guarded.value, kThreads * kTimes);
}

TEST(MutexTest, TryLockTakesWhatIsFreeAndWaitsForNobody) {
  Guarded guarded;
  if (!guarded.mu.TryLock()) FAIL() << "it is free";
  std::thread([&guarded] {
    const bool taken = guarded.mu.TryLock();
    EXPECT_FALSE(taken);
    if (taken) guarded.mu.Unlock();
  }).join();
  guarded.mu.Unlock();
  if (!guarded.mu.TryLock()) FAIL() << "it is free again";
  guarded.mu.Unlock();
}

TEST(MutexTest, WhoWaitsForAConditionHoldsItAgainAfterwards) {
  constexpr int kWaiters = 4;
  Guarded guarded;
  std::vector<std::thread> threads;
  for (int t = 0; t < kWaiters; ++t) {
    threads.emplace_back([&guarded] {
      MutexLock lock(guarded.mu);
      while (!guarded.open) guarded.changed.Wait(lock);
      ++guarded.value;
      guarded.changed.NotifyAll();
    });
  }
  MutexLock lock(guarded.mu);
  guarded.open = true;
  guarded.changed.NotifyAll();
  while (guarded.value < kWaiters) guarded.changed.Wait(lock);
  lock.Unlock();
  for (std::thread& thread : threads) thread.join();
}

TEST(MutexTest, AWaitEndsWhenItsTimeIsOver) {
  Guarded guarded;
  MutexLock lock(guarded.mu);
  EXPECT_FALSE(guarded.changed.WaitFor(lock, absl::ZeroDuration()));
}

}  // namespace
}  // namespace sluice
