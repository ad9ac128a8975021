#include "core/metrics/cells.h"

#include <memory>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace sluice {
namespace {

TEST(CellsTest, SumsWhatAllThreadsAddedAlsoThoseThatEnded) {
  constexpr int kThreads = 8;
  constexpr int kAdds = 20'000;
  Cells cells(2);
  cells.Add(0, 5);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&cells] {
      for (int i = 0; i < kAdds; ++i) {
        cells.Add(0, 1);
        cells.AddReal(1, 0.5);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(cells.Sum(0), 5 + kThreads * kAdds);
  EXPECT_EQ(cells.SumReal(1), 0.5 * kThreads * kAdds);
}

TEST(CellsTest, AreZeroWhoeverHadThemBefore) {
  for (int i = 0; i < 3; ++i) {
    Cells cells(1);
    EXPECT_EQ(cells.Sum(0), 0);
    cells.Add(0, 7);
    std::thread([&cells] { cells.Add(0, 1); }).join();
    EXPECT_EQ(cells.Sum(0), 8);
  }
}

TEST(CellsTest, AreSharedWhenThereAreNoMore) {
  const Cells most(Cells::kMost / 2 + 1);
  Cells shared(Cells::kMost / 2 + 1);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&shared] {
      for (int i = 0; i < 1000; ++i) {
        shared.Add(3, 2);
        shared.AddReal(4, 0.25);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(shared.Sum(3), 8000);
  EXPECT_EQ(shared.SumReal(4), 1000);
}

// Adds when the thread's other objects of its own are gone.
struct AddsAtTheEnd {
  ~AddsAtTheEnd() {
    if (cells != nullptr) cells->Add(0, 1);
  }
  Cells* cells = nullptr;
};

TEST(CellsTest, CountWhatAThreadAddsWhileItEnds) {
  Cells cells(1);
  std::thread([&cells] {
    thread_local AddsAtTheEnd last;
    last.cells = &cells;
    cells.Add(0, 1);
  }).join();
  EXPECT_EQ(cells.Sum(0), 2);
}

}  // namespace
}  // namespace sluice
