// The containers that the engine is made of.
#include <map>
#include <random>

#include "core/engine/lease_table.h"
#include "core/engine/ready_set.h"
#include "core/engine/tail_cache.h"
#include "core/engine/time_index.h"
#include "gmock/gmock.h"
#include "tests/support/engine_fixture.h"

namespace sluice {
namespace {

Lease LeaseOf(Offset offset, uint32_t count, ConsumerId consumer, Instant deadline) {
  return {.first = {},
          .offset = offset,
          .count = count,
          .consumer = consumer,
          .deadline = deadline,
          .attempt = 1};
}

// Random operations on runs against one entry per message.
TEST(LeaseTableTest, AgreesWithOneEntryPerMessage) {
  struct Entry {
    Offset offset;
    ConsumerId consumer;
    Instant deadline;
  };
  std::mt19937 random(7);
  const auto pick = [&](uint64_t n) { return static_cast<uint64_t>(random()) % n; };
  LeaseTable table;
  std::map<LeaseId, Entry> model;
  Offset next{1};
  uint64_t now = 1;
  LeaseRange newest{LeaseId(1), LeaseId(1)};
  for (int step = 0; step < 20'000; ++step) {
    const ConsumerId consumer(1 + pick(3));
    LeaseRange range{LeaseId(pick(next.value() + 1)), LeaseId(pick(next.value() + 20))};
    // Often just what came last, as it came.
    if (pick(3) == 0) range = newest;
    const auto in_range = [&](const auto& entry) {
      return entry.first >= range.first && entry.first <= range.last &&
             entry.second.consumer == consumer;
    };
    switch (pick(4)) {
      case 0: {
        const auto count = static_cast<uint32_t>(1 + pick(30));
        const Instant deadline(static_cast<int64_t>(now + pick(50)));
        const LeaseId first = table.Add(LeaseOf(next, count, consumer, deadline));
        for (uint32_t i = 0; i < count; ++i) model[first + i] = {next + i, consumer, deadline};
        next += count;
        newest = {first, first + (count - 1)};
        break;
      }
      case 1:
        table.Take(consumer, range, [&](const Lease& part) {
          for (uint32_t i = 0; i < part.count; ++i) {
            auto it = model.find(part.first + i);
            ASSERT_NE(it, model.end());
            EXPECT_EQ(it->second.offset, part.offset + i);
            EXPECT_TRUE(in_range(*it));
            model.erase(it);
          }
        });
        EXPECT_TRUE(std::none_of(model.begin(), model.end(), in_range));
        break;
      case 2: {
        const Instant deadline(static_cast<int64_t>(now + pick(100)));
        uint64_t expected = 0;
        for (auto& entry : model) {
          if (!in_range(entry)) continue;
          entry.second.deadline = deadline;
          ++expected;
        }
        EXPECT_EQ(table.Extend(consumer, range, deadline), expected);
        break;
      }
      default: {
        now += pick(10);
        const Instant instant(static_cast<int64_t>(now));
        table.TakeExpired(instant, [&](const Lease& part) {
          for (uint32_t i = 0; i < part.count; ++i) EXPECT_EQ(model.erase(part.first + i), 1);
        });
        for (const auto& entry : model) EXPECT_GT(entry.second.deadline, instant);
      }
    }
    ASSERT_EQ(table.count(), model.size());
  }
}

TEST(LeaseTableTest, ABatchSettledWholeLeavesNothing) {
  LeaseTable table;
  const LeaseId first = table.Add(LeaseOf(Offset(1), 100, ConsumerId(1), Instant(5)));
  EXPECT_EQ(table.runs(), 1);
  EXPECT_EQ(table.Take(ConsumerId(1), {first, first + 99}, [](const Lease&) {}), 100);
  EXPECT_EQ(table.runs(), 0);
  EXPECT_EQ(table.next_deadline(), Instant::Never());
}

TEST(ReadySetTest, GivesLowestOffsetsFirstAndJoinsNeighbours) {
  ReadySet ready;
  ready.Add({{Offset(10), Offset(12)}, 1});
  ready.Add({{Offset(5), Offset(7)}, 1});
  ready.Add({{Offset(7), Offset(10)}, 1});
  ready.Add({{Offset(12), Offset(13)}, 2});
  EXPECT_EQ(ready.Front()->offsets, (OffsetRange{Offset(5), Offset(12)}));
  ready.PopFront(7);
  EXPECT_EQ(ready.Front()->attempts, 2);
}

TEST(ReadySetTest, DelayedRangesComeWhenTheirTimeHasCome) {
  ReadySet ready;
  ready.AddDelayed({{Offset(1), Offset(2)}, 1}, Instant(100));
  EXPECT_FALSE(ready.Promote(Instant(99), 0));
  EXPECT_FALSE(ready.Front().has_value());
  EXPECT_EQ(ready.next_due(), Instant(100));
  EXPECT_TRUE(ready.Promote(Instant(100), 0));
  EXPECT_TRUE(ready.Front().has_value());
}

TEST(ReadySetTest, ForgetsWhatLiesBelow) {
  ReadySet ready;
  ready.Add({{Offset(1), Offset(10)}, 1});
  ready.AddDelayed({{Offset(20), Offset(30)}, 1}, Instant(1));
  ready.DropBefore(Offset(25));
  EXPECT_FALSE(ready.Front().has_value());
  ready.Promote(Instant(1), 0);
  EXPECT_EQ(ready.Front()->offsets, (OffsetRange{Offset(25), Offset(30)}));
}

Ref<Batch> BatchAt(Offset first, size_t payload = 100) {
  Ref<Batch> batch = MakeBatch({std::string(payload, 'x')});
  batch->set_first(first);
  return batch;
}

TEST(TailCacheTest, StaysWithinItsBytesAndLosesTheOldestFirst) {
  MemoryLedger ledger(0);
  const size_t each = BatchAt(Offset(1))->memory_bytes();
  TailCache cache(3 * each, ledger);
  for (uint64_t i = 1; i <= 5; ++i) cache.Insert(TopicId(1), BatchAt(Offset(i)));
  EXPECT_EQ(ledger.used(MemoryPart::kTailCache), 3 * each);
  EXPECT_TRUE(cache.Find(TopicId(1), Offset(2), SIZE_MAX).empty());
  EXPECT_EQ(cache.Find(TopicId(1), Offset(3), SIZE_MAX).size(), 3);
  EXPECT_EQ(cache.Find(TopicId(1), Offset(3), 0).size(), 1);
}

TEST(TailCacheTest, OneTopicMakesRoomForAnother) {
  MemoryLedger ledger(0);
  const size_t each = BatchAt(Offset(1))->memory_bytes();
  TailCache cache(2 * each, ledger);
  cache.Insert(TopicId(1), BatchAt(Offset(1)));
  cache.Insert(TopicId(2), BatchAt(Offset(1)));
  cache.Insert(TopicId(2), BatchAt(Offset(2)));
  EXPECT_TRUE(cache.Find(TopicId(1), Offset(1), SIZE_MAX).empty());
  EXPECT_EQ(cache.Find(TopicId(2), Offset(1), SIZE_MAX).size(), 2);
}

TEST(TailCacheTest, AHoleIsNeverTakenForAStretch) {
  MemoryLedger ledger(0);
  TailCache cache(1 << 20, ledger);
  cache.Insert(TopicId(1), BatchAt(Offset(1)));
  cache.Insert(TopicId(1), BatchAt(Offset(3)));
  EXPECT_TRUE(cache.Find(TopicId(1), Offset(1), SIZE_MAX).empty());
  EXPECT_EQ(cache.Find(TopicId(1), Offset(3), SIZE_MAX).size(), 1);
}

TEST(TailCacheTest, DroppingGivesTheMemoryBack) {
  MemoryLedger ledger(0);
  TailCache cache(1 << 20, ledger);
  for (uint64_t i = 1; i <= 5000; ++i) {
    cache.Insert(TopicId(1), BatchAt(Offset(i)));
    cache.DropBefore(TopicId(1), Offset(i + 1));
  }
  EXPECT_EQ(ledger.used(MemoryPart::kTailCache), 0u);
}

TEST(TailCacheTest, GivesWayToPublishesAndDoesWithoutWhereThereIsNoRoom) {
  const size_t each = BatchAt(Offset(1))->memory_bytes();
  MemoryLedger ledger(3 * each);
  TailCache cache(1 << 20, ledger);
  ledger.SetReclaim([&cache](size_t bytes) { cache.Shrink(bytes); });
  for (uint64_t i = 1; i <= 4; ++i) cache.Insert(TopicId(1), BatchAt(Offset(i)));
  EXPECT_TRUE(cache.Find(TopicId(1), Offset(1), SIZE_MAX).empty())
      << "the oldest made room for the newest";
  EXPECT_EQ(cache.Find(TopicId(1), Offset(2), SIZE_MAX).size(), 3);
  ASSERT_TRUE(ledger.Take(MemoryPart::kPublishes, 2 * each));
  EXPECT_EQ(cache.Find(TopicId(1), Offset(4), SIZE_MAX).size(), 1);
  ASSERT_TRUE(ledger.Take(MemoryPart::kPublishes, each));
  cache.Insert(TopicId(1), BatchAt(Offset(5)));
  EXPECT_TRUE(cache.Find(TopicId(1), Offset(4), SIZE_MAX).empty());
  EXPECT_TRUE(cache.Find(TopicId(1), Offset(5), SIZE_MAX).empty());
  EXPECT_EQ(ledger.used(), 3 * each);
}

TEST(TimeIndexTest, TellsTheTimeOfAnyOffsetFromBoundedSamples) {
  TimeIndex index;
  for (uint64_t i = 1; i <= 100'000; ++i) index.Add(Offset(i), static_cast<int64_t>(i) * 1'000'000);
  for (uint64_t i : {1u, 50'000u, 99'999u}) {
    const auto time = index.TimeOf(Offset(i));
    ASSERT_TRUE(time.has_value());
    EXPECT_NEAR(static_cast<double>(*time), static_cast<double>(i) * 1e6, 500e6) << i;
  }
  index.DropBefore(Offset(100'000));
  EXPECT_TRUE(index.TimeOf(Offset(100'000)).has_value());
}

TEST(TimeIndexTest, AnEmptyOneKnowsNothingAndASeedComesFirst) {
  TimeIndex index;
  EXPECT_FALSE(index.TimeOf(Offset(1)).has_value());
  index.Add(Offset(10), 500);
  index.Seed(Offset(3), 100);
  EXPECT_EQ(index.TimeOf(Offset(5)), 100);
  EXPECT_EQ(index.TimeOf(Offset(11)), 500);
}

}  // namespace
}  // namespace sluice
