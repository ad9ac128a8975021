// Messages that wait in a subscription: behind others of their key, or for their time. However
// many, they stop nobody.
#include <random>

#include "core/engine/offset_list.h"
#include "core/engine/scheduled_set.h"
#include "tests/support/engine_fixture.h"

namespace sluice {
namespace {

TEST(OffsetListTest, GivesBackWhatWasPutIn) {
  std::mt19937_64 random(1);
  OffsetList list;
  std::vector<Offset> expected;
  Offset next(1);
  for (int i = 0; i < 100'000; ++i) {
    next += 1 + random() % (i % 3 == 0 ? 1'000'000 : 3);
    list.PushBack(next);
    expected.push_back(next);
  }
  for (const Offset offset : expected) {
    ASSERT_EQ(list.front(), offset);
    list.PopFront();
  }
  EXPECT_TRUE(list.empty());
  list.PushBack(Offset(5));
  EXPECT_EQ(list.front(), Offset(5));
}

// Beside a plain vector, from both ends and out of the middle.
TEST(OffsetListTest, LosesWhatIsErasedAndNothingElse) {
  std::mt19937_64 random(3);
  OffsetList list;
  std::vector<Offset> expected;
  Offset next(1);
  for (int step = 0; step < 20'000; ++step) {
    const uint64_t choice = random() % 10;
    if (choice < 6 || expected.empty()) {
      next += 1 + random() % 300;
      list.PushBack(next);
      expected.push_back(next);
    } else if (choice < 8) {
      ASSERT_EQ(list.front(), expected.front());
      list.PopFront();
      expected.erase(expected.begin());
    } else {
      const auto at = expected.begin() + static_cast<ptrdiff_t>(random() % expected.size());
      ASSERT_FALSE(list.Erase(*at + 1) &&
                   !std::binary_search(expected.begin(), expected.end(), *at + 1));
      const bool was_next = at + 1 != expected.end() && *(at + 1) == *at + 1;
      if (was_next) {
        expected.erase(at + 1);
      } else {
        ASSERT_TRUE(list.Erase(*at));
        expected.erase(at);
      }
    }
    ASSERT_EQ(list.size(), expected.size());
    if (!expected.empty()) {
      ASSERT_EQ(list.front(), expected.front());
      ASSERT_EQ(list.back(), expected.back());
    }
  }
  for (const Offset offset : expected) {
    ASSERT_EQ(list.front(), offset);
    list.PopFront();
  }
  EXPECT_TRUE(list.empty());
}

// Beside a plain map of times.
TEST(ScheduledSetTest, GivesEachMessageWhenItIsDueAndNotBefore) {
  std::mt19937_64 random(2);
  ScheduledSet set;
  std::multimap<int64_t, Offset> expected;
  constexpr int64_t kStart = 1'700'000'000'000'000;
  Offset next(1);
  const auto add = [&](int64_t until_us) {
    const auto count = 1 + random() % 3;
    set.Add({{next, next + count},
             static_cast<uint32_t>(random() % 5),
             static_cast<uint8_t>(random() % 10)},
            until_us);
    for (uint64_t i = 0; i < count; ++i) expected.emplace(until_us, next + i);
    next += count;
  };
  for (int i = 0; i < 5'000; ++i) add(kStart + static_cast<int64_t>(random() % 2'000'000));
  Offset dropped(1);
  for (int64_t now = kStart; now < kStart + 2'100'000;
       now += static_cast<int64_t>(random() % 30'000)) {
    if (random() % 10 == 0) add(now + static_cast<int64_t>(random() % 300'000));
    if (random() % 10 == 0) {
      dropped += 20;
      set.DropBefore(dropped);
      std::erase_if(expected, [&](const auto& entry) { return entry.second < dropped; });
    }
    if (random() % 10 == 0 && !expected.empty()) {
      const OffsetRange wanted{expected.begin()->second, expected.begin()->second + 5};
      std::vector<ReadyRange> taken;
      set.Take({&wanted, 1}, &taken);
      size_t count = 0;
      for (const ReadyRange& range : taken) count += range.offsets.size();
      ASSERT_EQ(count, std::erase_if(expected, [&](const auto& entry) {
                  return wanted.begin <= entry.second && entry.second < wanted.end;
                }));
    }
    ASSERT_EQ(set.count(), expected.size());
    ASSERT_EQ(set.next_due_us(), expected.empty() ? ScheduledSet::kNever : expected.begin()->first);
    std::vector<Offset> due, wanted;
    set.TakeDue(now, [&](const ReadyRange& range) {
      for (Offset at = range.offsets.begin; at < range.offsets.end; ++at) due.push_back(at);
    });
    while (!expected.empty() && expected.begin()->first <= now) {
      wanted.push_back(expected.begin()->second);
      expected.erase(expected.begin());
    }
    std::sort(due.begin(), due.end());
    std::sort(wanted.begin(), wanted.end());
    ASSERT_EQ(due, wanted);
  }
}

TEST(ScheduledSetTest, AMillionForOneHourTakeAFewBytesEach) {
  constexpr int64_t kStart = 1'700'000'000'000'000;
  ScheduledSet set;
  for (uint64_t i = 1; i <= 1'000'000; ++i) {
    set.Add({{Offset(i), Offset(i + 1)}, 0, 0}, kStart + static_cast<int64_t>(i) * 3'600);
  }
  EXPECT_LT(set.memory_bytes(), 16u << 20);
}

class EngineHeldTest : public EngineFixture {
 protected:
  static constexpr int kBatch = 1000;

  Wired WireOrdered(int64_t credit) {
    EXPECT_TRUE(CreateTopic("orders").ok());
    SubscriptionConfig config;
    config.name = SubscriptionNamed("billing");
    config.topic = TopicNamed("orders");
    config.ordered = true;
    EXPECT_TRUE(CreateSubscription(config).ok());
    return Connect("billing", credit);
  }
  void PublishOne(const OutgoingMessage& message, int copies = 1) {
    BatchBuilder builder;
    for (int i = 0; i < copies; ++i) ASSERT_TRUE(builder.Add(message).ok());
    FindTopic("orders")->Publish(*builder.Build(),
                                 [](const auto& published) { ASSERT_TRUE(published.ok()); });
  }
  // Takes and acknowledges what came; returns the payloads.
  static std::vector<std::string> Consume(const Wired& wired) {
    wired.subscription->Ack(wired.id, Leases(wired.consumer->deliveries()));
    return wired.consumer->TakeData();
  }
  void PublishMany(int count, const OutgoingMessage& message) {
    for (int sent = 0; sent < count; sent += kBatch) PublishOne(message, kBatch);
  }
};

TEST_F(EngineHeldTest, AKeyWithManyMessagesBehindItsHeadStopsNoOtherKey) {
  const Wired wired = WireOrdered(1);
  PublishMany(kBatch, {.data = "x", .ordering_key = "stuck"});
  const std::vector<Delivery> head = wired.consumer->Take();
  wired.subscription->Nack(wired.id, head[0].leases(), absl::Seconds(600));
  wired.subscription->Grant(wired.id, 5 * kBatch, Subscription::kNoByteLimit);
  PublishMany(600'000, {.data = "x", .ordering_key = "stuck"});
  ASSERT_TRUE(wired.consumer->Take().empty());
  PublishMany(kBatch, {.data = "y", .ordering_key = "free"});
  EXPECT_EQ(Consume(wired).size(), static_cast<size_t>(kBatch));
  EXPECT_EQ(wired.subscription->stats().held_messages, 600'000u + kBatch);
  Advance(absl::Seconds(601));
  EXPECT_EQ(wired.consumer->TakeData().size(), 4u * kBatch) << "as many as there is credit left";
}

TEST_F(EngineHeldTest, ManyMessagesThatAreDueLaterStopNothingThatIsDueNow) {
  const Wired wired = Wire();
  PublishMany(600'000, {.data = "x", .deliver_at = clock_.WallNow() + absl::Hours(1)});
  PublishMany(kBatch, {.data = "y"});
  EXPECT_EQ(Consume(wired).size(), static_cast<size_t>(kBatch));
  EXPECT_EQ(wired.subscription->stats().held_messages, 600'000u);
  Advance(absl::Hours(1));
  EXPECT_EQ(Consume(wired).size(), 600'000u);
}

class EngineHeldFullTest : public EngineHeldTest {
 protected:
  EngineHeldFullTest() {
    options_.on_held_full = [this](const std::string& subscription) {
      told_.push_back(subscription);
    };
    Reopen();
  }
  std::vector<std::string> told_;
};

// Many keys, each with a message that is due later.
TEST_F(EngineHeldFullTest, WhoHoldsBackAllItMayIsToldOfOnceUntilThatIsOver) {
  const Wired wired = WireOrdered(1'000'000);
  const auto fill = [&] {
    BatchBuilder builder;
    for (int i = 0; i < 200'000; ++i) {
      ASSERT_TRUE(builder
                      .Add({.data = "x",
                            .ordering_key = std::to_string(i),
                            .deliver_at = clock_.WallNow() + absl::Minutes(1)})
                      .ok());
      if (builder.count() < kBatch) continue;
      FindTopic("orders")->Publish(*builder.Build(),
                                   [](const auto& published) { ASSERT_TRUE(published.ok()); });
    }
    PublishOne({.data = "due", .ordering_key = "other"});
    Advance(absl::ZeroDuration());
  };
  fill();
  EXPECT_TRUE(wired.consumer->Take().empty());
  EXPECT_EQ(told_, std::vector<std::string>{SubscriptionNamed("billing").full()});
  EXPECT_EQ(metrics_.engine.held_full.value(), 1u);
  Advance(absl::Minutes(1));
  EXPECT_EQ(Consume(wired).size(), 200'001u);
  fill();
  EXPECT_EQ(told_.size(), 2u);
}

TEST_F(EngineHeldTest, AKeyThatIsDueLaterHoldsWhatComesBehindItAndIsReleasedInOrder) {
  const Wired wired = WireOrdered(1'000'000);
  PublishOne(
      {.data = "first", .ordering_key = "a", .deliver_at = clock_.WallNow() + absl::Minutes(1)});
  PublishOne(
      {.data = "second", .ordering_key = "a", .deliver_at = clock_.WallNow() + absl::Minutes(2)});
  PublishOne({.data = "third", .ordering_key = "a"});
  EXPECT_TRUE(wired.consumer->Take().empty());
  Advance(absl::Minutes(1));
  EXPECT_EQ(Consume(wired), std::vector<std::string>{"first"});
  Advance(absl::Minutes(1));
  EXPECT_EQ(Consume(wired), (std::vector<std::string>{"second", "third"}));
}

// Both kinds, with a key and without.
TEST_F(EngineHeldTest, AWallClockThatIsSetAheadIsNoticedWithoutAnythingElse) {
  const Wired wired = WireOrdered(1'000'000);
  for (const char* key : {"", "a"}) {
    PublishOne({.data = "x", .ordering_key = key, .deliver_at = clock_.WallNow() + absl::Hours(1)});
  }
  Advance(absl::Minutes(1));
  EXPECT_TRUE(wired.consumer->Take().empty());
  clock_.JumpWall(absl::Hours(1));
  engine_->timers().RunDue();
  EXPECT_EQ(Consume(wired).size(), 2u);
}

}  // namespace
}  // namespace sluice
