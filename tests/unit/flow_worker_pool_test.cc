#include "core/flow/worker_pool.h"

#include <atomic>
#include <memory>
#include <thread>

#include "gtest/gtest.h"
#include "tests/support/latch.h"

namespace sluice {
namespace {

using WhenFull = WorkerPoolOptions::WhenFull;

TEST(WorkerPoolTest, RunsWhatItTookAndNoMoreAtOnceThanItHasThreads) {
  std::atomic<int> running = 0;
  std::atomic<int> most = 0;
  std::atomic<int> ran = 0;
  {
    WorkerPool pool({.threads = 3, .max_queued = 10, .when_full = WhenFull::kBlock});
    Latch all(500);
    for (int i = 0; i < 500; ++i) {
      EXPECT_TRUE(pool.Submit([&] {
        const int now = ++running;
        int seen = most;
        while (now > seen && !most.compare_exchange_weak(seen, now)) {
        }
        ++ran;
        --running;
        all.CountDown();
      }));
    }
    all.Wait();
  }
  EXPECT_EQ(ran, 500);
  EXPECT_LE(most, 3);
}

TEST(WorkerPoolTest, RefusesWhatTheQueueHasNoRoomFor) {
  WorkerPool pool({.threads = 1, .max_queued = 2, .when_full = WhenFull::kRefuse});
  Latch began(1);
  Latch go(1);
  ASSERT_TRUE(pool.Submit([&] {
    began.CountDown();
    go.Wait();
  }));
  began.Wait();
  EXPECT_TRUE(pool.Submit([] {}));
  EXPECT_TRUE(pool.Submit([] {}));
  EXPECT_FALSE(pool.Submit([] {}));
  go.CountDown();
}

TEST(WorkerPoolTest, ShutdownWaitsForWhatRunsAndTakesNoMore) {
  WorkerPool pool({.threads = 1, .max_queued = 1, .when_full = WhenFull::kBlock});
  Latch began(1);
  Latch go(1);
  std::atomic<bool> finished = false;
  ASSERT_TRUE(pool.Submit([&] {
    began.CountDown();
    go.Wait();
    finished = true;
  }));
  began.Wait();
  // Refused once Shutdown has begun, and only then.
  std::thread opener([&] {
    while (pool.Submit([] {})) {
    }
    go.CountDown();
  });
  EXPECT_EQ(pool.Shutdown(absl::InfiniteDuration()).left_behind, 0u);
  EXPECT_TRUE(finished);
  opener.join();
}

TEST(WorkerPoolTest, AJobThatDoesNotReturnIsLeftBehindAndCounted) {
  auto began = std::make_shared<Latch>(1);
  auto go = std::make_shared<Latch>(1);
  auto ended = std::make_shared<Latch>(1);
  {
    WorkerPool pool({.threads = 2, .max_queued = 10});
    ASSERT_TRUE(pool.Submit([=] {
      began->CountDown();
      go->Wait();
      ended->CountDown();
    }));
    began->Wait();
    EXPECT_EQ(pool.Shutdown(absl::Milliseconds(10)).left_behind, 1u);
  }
  // The pool is gone, its thread is not, and goes when it can.
  go->CountDown();
  ended->Wait();
}

TEST(WorkerPoolTest, WhoWaitsForRoomIsToldOfTheEnd) {
  WorkerPool pool({.threads = 1, .max_queued = 1, .when_full = WhenFull::kBlock});
  auto began = std::make_shared<Latch>(1);
  auto go = std::make_shared<Latch>(1);
  ASSERT_TRUE(pool.Submit([=] {
    began->CountDown();
    go->Wait();
  }));
  began->Wait();
  ASSERT_TRUE(pool.Submit([] {}));
  std::thread waits([&] { EXPECT_FALSE(pool.Submit([] {})); });
  const WorkerPool::Leftover leftover = pool.Shutdown(absl::ZeroDuration());
  EXPECT_EQ(leftover.left_behind, 1u);
  EXPECT_EQ(leftover.dropped, 1u);
  waits.join();
  go->CountDown();
}

}  // namespace
}  // namespace sluice
