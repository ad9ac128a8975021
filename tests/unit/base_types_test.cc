#include <pthread.h>

#include <array>
#include <sstream>
#include <thread>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "core/base/clock.h"
#include "core/base/named_type.h"
#include "core/base/queue.h"
#include "core/base/ref.h"
#include "core/base/thread_name.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

static_assert(!std::is_convertible_v<uint64_t, Offset>);
static_assert(!std::is_convertible_v<Offset, LeaseId>);
static_assert(sizeof(Offset) == sizeof(uint64_t));

TEST(NamedTest, CountsAndComparesLikeItsNumber) {
  Offset offset(5);
  EXPECT_EQ((offset + 3).value(), 8);
  EXPECT_EQ((offset - 3).value(), 2);
  EXPECT_EQ(Offset(9) - offset, 4);
  EXPECT_EQ(++offset, Offset(6));
  offset += 4;
  EXPECT_EQ(offset, Offset(10));
  EXPECT_LT(Offset(1), Offset(2));
  EXPECT_EQ(Offset().value(), 0);
}

TEST(NamedTest, HashesAndPrints) {
  absl::flat_hash_set<TopicId> ids = {TopicId(1), TopicId(2), TopicId(1)};
  EXPECT_EQ(ids.size(), 2);
  std::ostringstream out;
  out << Offset(42);
  EXPECT_EQ(out.str(), "42");
}

struct Tracked : RefCounted<Tracked> {
  explicit Tracked(int* alive) : alive(alive) { ++*alive; }
  ~Tracked() { --*alive; }
  int* alive;
};

TEST(RefTest, DestroysWithTheLastReference) {
  int alive = 0;
  Ref<Tracked> first = MakeRef<Tracked>(&alive);
  {
    Ref<Tracked> second = first;
    Ref<Tracked> third(std::move(first));
    EXPECT_FALSE(
        first);  // NOLINT(bugprone-use-after-move): what a moved reference is, is the claim
    EXPECT_EQ(second, third);
    EXPECT_EQ(alive, 1);
    first = third;
  }
  EXPECT_EQ(alive, 1);
  first = nullptr;
  EXPECT_EQ(alive, 0);
}

TEST(RefTest, AssignsToItself) {
  int alive = 0;
  Ref<Tracked> ref = MakeRef<Tracked>(&alive);
  Ref<Tracked>& same = ref;
  ref = same;
  EXPECT_EQ(alive, 1);
  ref = std::move(same);
  EXPECT_EQ(alive, 1);
  EXPECT_TRUE(ref);
}

TEST(RefTest, GoesThroughARawPointerAndBack) {
  int alive = 0;
  Tracked* raw = MakeRef<Tracked>(&alive).Release();
  EXPECT_EQ(alive, 1);
  Ref<Tracked> again = Ref<Tracked>::Adopt(raw);
  EXPECT_EQ(again->alive, &alive);
  again = Ref<Tracked>();
  EXPECT_EQ(alive, 0);
}

TEST(RefTest, CountsReferencesOfManyThreads) {
  int alive = 0;
  Ref<Tracked> shared = MakeRef<Tracked>(&alive);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([copy = shared] {
      for (int i = 0; i < 10'000; ++i) Ref<Tracked> another = copy;
    });
  }
  for (std::thread& thread : threads) thread.join();
  threads.clear();
  EXPECT_EQ(alive, 1);
  shared = nullptr;
  EXPECT_EQ(alive, 0);
}

TEST(InstantTest, AddsAndSubtractsDurations) {
  const Instant start(1000);
  EXPECT_EQ(start + absl::Nanoseconds(5), Instant(1005));
  EXPECT_EQ(Instant(5000) - start, absl::Nanoseconds(4000));
  EXPECT_LT(start, Instant::Never());
}

TEST(InstantTest, WhatIsTooFarIsNever) {
  EXPECT_EQ(Instant(1000) + absl::InfiniteDuration(), Instant::Never());
  EXPECT_EQ(Instant::Never() + absl::Seconds(1), Instant::Never());
}

TEST(ManualClockTest, StandsStillUntilToldOtherwise) {
  ManualClock clock;
  const Instant now = clock.Now();
  const absl::Time wall = clock.WallNow();
  clock.Advance(absl::Seconds(3));
  EXPECT_EQ(clock.Now() - now, absl::Seconds(3));
  EXPECT_EQ(clock.WallNow() - wall, absl::Seconds(3));
  clock.JumpWall(-absl::Hours(1));
  EXPECT_EQ(clock.Now() - now, absl::Seconds(3));
  EXPECT_EQ(clock.WallNow() - wall, absl::Seconds(3) - absl::Hours(1));
}

TEST(SystemClockTest, NeverGoesBack) {
  const SystemClock clock;
  Instant last = clock.Now();
  for (int i = 0; i < 1000; ++i) {
    const Instant now = clock.Now();
    EXPECT_GE(now, last);
    last = now;
  }
}

TEST(QueueTest, IsFirstInFirstOutHoweverItGrows) {
  Queue<int> queue;
  int in = 0;
  int out = 0;
  for (int round = 0; round < 1000; ++round) {
    for (int i = 0; i < round % 7; ++i) queue.push_back(in++);
    for (int i = 0; i < round % 5 && !queue.empty(); ++i) {
      EXPECT_EQ(queue.front(), out++);
      queue.pop_front();
    }
    ASSERT_EQ(queue.size(), static_cast<size_t>(in - out));
    if (!queue.empty()) {
      EXPECT_EQ(queue.back(), in - 1);
    }
  }
  for (int value : queue) EXPECT_EQ(value, out++);
  EXPECT_EQ(out, in);
}

TEST(QueueTest, TakesBackWhatWasPopped) {
  Queue<int> queue;
  for (int i = 0; i < 3; ++i) queue.push_back(i);
  queue.pop_front();
  queue.push_front(10);
  queue.push_front(11);
  EXPECT_EQ(std::vector<int>(queue.begin(), queue.end()), (std::vector<int>{11, 10, 1, 2}));
  while (!queue.empty()) queue.pop_front();
  queue.push_front(12);
  EXPECT_EQ(queue.front(), 12);
  EXPECT_EQ(queue.size(), 1);
}

TEST(QueueTest, LetsGoOfWhatIsPopped) {
  int alive = 0;
  Queue<Ref<Tracked>> queue;
  queue.push_back(MakeRef<Tracked>(&alive));
  queue.push_back(MakeRef<Tracked>(&alive));
  queue.pop_front();
  EXPECT_EQ(alive, 1);
  queue.clear();
  EXPECT_EQ(alive, 0);
  EXPECT_TRUE(queue.empty());
}

TEST(ThreadNameTest, IsWhatOthersSee) {
  std::thread([] {
    NameThisThread("fifteen letters");
    std::array<char, 16> name{};
    ASSERT_EQ(pthread_getname_np(pthread_self(), name.data(), name.size()), 0);
    EXPECT_STREQ(name.data(), "fifteen letters");
  }).join();
}

}  // namespace
}  // namespace sluice
