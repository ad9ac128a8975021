#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "core/base/gate.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

TEST(GateTest, LetsInUntilItIsClosed) {
  Gate gate;
  EXPECT_FALSE(gate.closed());
  EXPECT_TRUE(gate.Enter());
  gate.Close();
  EXPECT_TRUE(gate.closed());
  EXPECT_FALSE(gate.Enter());
  EXPECT_FALSE(Gate::Pass(gate));
  gate.Leave();
  EXPECT_FALSE(gate.Enter());
}

TEST(GateTest, IsEmptyAtOnceWhenNobodyIsInside) {
  Gate gate;
  gate.Close();
  EXPECT_TRUE(gate.WaitEmpty(absl::ZeroDuration()));
}

TEST(GateTest, GivesUpWaitingForThoseWhoStay) {
  Gate gate;
  Gate::Pass pass(gate);
  gate.Close();
  EXPECT_FALSE(gate.WaitEmpty(absl::ZeroDuration()));
  EXPECT_FALSE(gate.WaitEmpty(absl::Milliseconds(5)));
}

TEST(GateTest, APassLeavesOnceHoweverItMoves) {
  Gate gate;
  {
    Gate::Pass first(gate);
    ASSERT_TRUE(first);
    Gate::Pass second(std::move(first));
    EXPECT_FALSE(first);  // NOLINT(bugprone-use-after-move): what a moved pass is, is the claim
    Gate::Pass third;
    third = std::move(second);
    EXPECT_TRUE(third);
    gate.Close();
    EXPECT_FALSE(gate.WaitEmpty(absl::ZeroDuration()));
  }
  EXPECT_TRUE(gate.WaitEmpty(absl::ZeroDuration()));
}

TEST(GateTest, WaitsForAPassThatLeavesOnAnotherThread) {
  Gate gate;
  auto pass = std::make_unique<Gate::Pass>(gate);
  gate.Close();
  std::thread other([&] { pass = nullptr; });
  EXPECT_TRUE(gate.WaitEmpty(absl::InfiniteDuration()));
  other.join();
}

TEST(GateTest, MayBeDestroyedOnceItIsEmpty) {
  for (int round = 0; round < 300; ++round) {
    auto gate = std::make_unique<Gate>();
    std::atomic<int> inside = 0;
    std::vector<std::thread> threads;
    for (int t = 0; t < 3; ++t) {
      ASSERT_TRUE(gate->Enter());
      threads.emplace_back([&inside, gate = gate.get()] {
        ++inside;
        gate->Leave();
      });
    }
    gate->Close();
    EXPECT_TRUE(gate->WaitEmpty(absl::Minutes(1)));
    EXPECT_EQ(inside, 3);
    gate = nullptr;
    for (std::thread& thread : threads) thread.join();
  }
}

TEST(GateTest, NobodyIsInsideAfterTheWait) {
  Gate gate;
  std::atomic<int> inside = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (;;) {
        Gate::Pass pass(gate);
        if (!pass) return;
        ++inside;
        --inside;
      }
    });
  }
  while (inside == 0 && !gate.closed()) std::this_thread::yield();
  gate.Close();
  EXPECT_TRUE(gate.WaitEmpty(absl::Minutes(1)));
  EXPECT_EQ(inside, 0);
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace sluice
