#include <map>

#include "tests/conformance/store_test.h"

namespace sluice {
namespace {

using Failures = std::map<Offset, uint32_t>;

class CursorTest : public StoreTest {
 protected:
  CursorTest()
      : subscription_(NewSubscription(StateAt(1))), cursor_(backend_->OpenCursor(subscription_)) {}

  void ReopenCursor() {
    cursor_ = nullptr;
    Reopen();
    cursor_ = backend_->OpenCursor(subscription_);
  }

  const SubscriptionId subscription_;
  std::shared_ptr<Cursor> cursor_;
};
INSTANTIATE_TEST_SUITE_P(Stores, CursorTest, testing::ValuesIn(AllStores()), StoreName);

TEST_P(CursorTest, StartsFromItsInitialState) {
  CursorState initial = StateAt(100);
  initial.acked.Add(Range(110, 120));
  initial.acked.Add(Range(1'000'000, 2'000'000));
  initial.failures = {{Offset(130), 2}, {Offset(131), 7}};
  const SubscriptionId id = NewSubscription(initial);
  EXPECT_TRUE(backend_->OpenCursor(id)->state() == initial);
  Reopen();
  EXPECT_TRUE(backend_->OpenCursor(id)->state() == initial);
}

TEST_P(CursorTest, RemembersAcksInAnyOrder) {
  ASSERT_EQ(Ack(*cursor_, {Range(5, 8), Range(20, 21)}), absl::OkStatus());
  ASSERT_EQ(Ack(*cursor_, {Range(6, 10)}), absl::OkStatus());
  for (int round = 0; round < 2; ++round) {
    const AckSet acked = cursor_->state().acked;
    EXPECT_EQ(acked.floor(), Offset(1));
    EXPECT_EQ(acked.above_floor(), 6);
    EXPECT_EQ(acked.Ranges().size(), 2);
    ReopenCursor();
  }
  ASSERT_EQ(Ack(*cursor_, {Range(1, 5)}), absl::OkStatus());
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(cursor_->state().acked.floor(), Offset(10));
    EXPECT_TRUE(cursor_->state().acked.Contains(Offset(20)));
    EXPECT_EQ(cursor_->state().acked.above_floor(), 1);
    ReopenCursor();
  }
}

TEST_P(CursorTest, AnAckTwiceIsAnAckOnce) {
  for (int i = 0; i < 3; ++i)
    ASSERT_EQ(Ack(*cursor_, {Range(3, 6), Range(4, 5)}), absl::OkStatus());
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(cursor_->state().acked.above_floor(), 3);
    ReopenCursor();
  }
}

TEST_P(CursorTest, AnAckOfNothingIsAnswered) {
  EXPECT_EQ(Ack(*cursor_, {}), absl::OkStatus());
  EXPECT_EQ(Ack(*cursor_, {Range(5, 5)}), absl::OkStatus());
  EXPECT_TRUE(cursor_->state() == StateAt(1));
}

TEST_P(CursorTest, AnAckIsAnsweredOnce) {
  std::vector<Answer<absl::Status>> answers(50);
  for (size_t i = 0; i < answers.size(); ++i) {
    cursor_->Ack(std::vector{Range(2 * i + 1, 2 * i + 2)}, answers[i].callback());
  }
  for (auto& answer : answers) EXPECT_EQ(answer.Wait(), absl::OkStatus());
  ReopenCursor();
  for (const auto& answer : answers) EXPECT_EQ(answer.calls(), 1);
  EXPECT_EQ(cursor_->state().acked.floor(), Offset(2));
  EXPECT_EQ(cursor_->state().acked.above_floor(), 49);
}

TEST_P(CursorTest, AcksWithoutACallbackAreSavedByClose) {
  cursor_->Ack(std::vector{Range(1, 4), Range(7, 9)}, nullptr);
  EXPECT_EQ(cursor_->state().acked.floor(), Offset(4));
  ReopenCursor();
  EXPECT_EQ(cursor_->state().acked.floor(), Offset(4));
  EXPECT_EQ(cursor_->state().acked.above_floor(), 2);
}

TEST_P(CursorTest, RemembersThousandsOfHoles) {
  std::vector<OffsetRange> ranges;
  for (uint64_t i = 1; i <= 20'000; ++i) ranges.push_back(Range(2 * i, 2 * i + 1));
  ASSERT_EQ(Ack(*cursor_, ranges), absl::OkStatus());
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(cursor_->state().acked.Ranges().size(), 20'000);
    EXPECT_EQ(cursor_->state().acked.above_floor(), 20'000);
    ReopenCursor();
  }
}

TEST_P(CursorTest, RemembersHowOftenADeliveryFailed) {
  cursor_->Failed(Range(10, 13), 2);
  cursor_->Failed(Range(11, 12), 3);
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(cursor_->state().failures,
              (Failures{{Offset(10), 2}, {Offset(11), 3}, {Offset(12), 2}}));
    ReopenCursor();
  }
}

TEST_P(CursorTest, ForgetsTheFailuresOfWhatIsAcknowledged) {
  cursor_->Failed(Range(10, 20), 2);
  ASSERT_EQ(Ack(*cursor_, {Range(1, 12), Range(13, 19)}), absl::OkStatus());
  cursor_->Failed(Range(15, 17), 3);
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(cursor_->state().failures, (Failures{{Offset(12), 2}, {Offset(19), 2}}));
    ReopenCursor();
  }
}

SavedLease LeaseOf(uint64_t begin, uint64_t end, uint64_t first = 100, int64_t until_ms = 5000) {
  return {.offsets = Range(begin, end),
          .first = LeaseId(first),
          .incarnation = 4'000'000'000,
          .until_ms = until_ms};
}

std::vector<SavedLease> LeasesIn(const Cursor& cursor) {
  std::vector<SavedLease> leases;
  const CursorState state = cursor.state();
  for (const auto& [begin, lease] : state.leases.runs()) leases.push_back(lease);
  return leases;
}

TEST_P(CursorTest, RemembersLeasesAndTheirNewDeadlines) {
  cursor_->Leased(std::vector{LeaseOf(10, 20), LeaseOf(30, 31, 1)});
  cursor_->Leased(std::vector{LeaseOf(12, 14, 102, 9000)});
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(LeasesIn(*cursor_), (std::vector{LeaseOf(10, 12), LeaseOf(12, 14, 102, 9000),
                                               LeaseOf(14, 20, 104), LeaseOf(30, 31, 1)}));
    ReopenCursor();
  }
}

TEST_P(CursorTest, ForgetsTheLeasesOfWhatIsAcknowledgedFailedOrGivenBack) {
  ASSERT_EQ(Ack(*cursor_, {Range(1, 11)}), absl::OkStatus());
  cursor_->Leased(std::vector{LeaseOf(10, 20)});
  ASSERT_EQ(Ack(*cursor_, {Range(12, 13)}), absl::OkStatus());
  cursor_->Failed(Range(15, 16), 1);
  cursor_->Leased(std::vector{SavedLease{.offsets = Range(17, 18)}});
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(LeasesIn(*cursor_), (std::vector{LeaseOf(11, 12, 101), LeaseOf(13, 15, 103),
                                               LeaseOf(16, 17, 106), LeaseOf(18, 20, 108)}));
    ReopenCursor();
  }
}

TEST_P(CursorTest, ASecondLeaseTakesThePlaceOfOneThatFailed) {
  cursor_->Leased(std::vector{LeaseOf(10, 11, 1)});
  cursor_->Failed(Range(10, 11), 1);
  cursor_->Leased(std::vector{LeaseOf(10, 11, 2)});
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(LeasesIn(*cursor_), (std::vector{LeaseOf(10, 11, 2)}));
    ReopenCursor();
  }
}

TEST_P(CursorTest, ASeekEndsLeases) {
  cursor_->Leased(std::vector{LeaseOf(10, 20)});
  Answer<absl::Status> sought;
  cursor_->Seek(StateAt(5), sought.callback());
  ASSERT_EQ(sought.Wait(), absl::OkStatus());
  for (int round = 0; round < 2; ++round) {
    EXPECT_TRUE(LeasesIn(*cursor_).empty());
    ReopenCursor();
  }
}

TEST_P(CursorTest, ASeekReplacesEverything) {
  cursor_->Failed(Range(10, 20), 2);
  ASSERT_EQ(Ack(*cursor_, {Range(1, 5), Range(300, 400)}), absl::OkStatus());
  CursorState back = StateAt(3);
  back.acked.Add(Range(7, 8));
  back.failures = {{Offset(4), 9}};
  Answer<absl::Status> answer;
  cursor_->Seek(back, answer.callback());
  ASSERT_EQ(answer.Wait(), absl::OkStatus());
  for (int round = 0; round < 2; ++round) {
    EXPECT_TRUE(cursor_->state() == back);
    ReopenCursor();
  }
  EXPECT_EQ(answer.calls(), 1);
}

TEST_P(CursorTest, GoesOnFromWhereItSoughtTo) {
  ASSERT_EQ(Ack(*cursor_, {Range(1, 100)}), absl::OkStatus());
  Answer<absl::Status> answer;
  cursor_->Seek(StateAt(1), answer.callback());
  cursor_->Ack(std::vector{Range(1, 3)}, nullptr);
  cursor_->Failed(Range(5, 6), 2);
  ASSERT_EQ(answer.Wait(), absl::OkStatus());
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(cursor_->state().acked, AckSet(Offset(3)));
    EXPECT_EQ(cursor_->state().failures, (Failures{{Offset(5), 2}}));
    ReopenCursor();
  }
}

TEST_P(CursorTest, SubscriptionsDoNotSeeEachOther) {
  const SubscriptionId other = NewSubscription(StateAt(1));
  ASSERT_EQ(Ack(*backend_->OpenCursor(other), {Range(1, 9)}), absl::OkStatus());
  for (int round = 0; round < 2; ++round) {
    EXPECT_TRUE(cursor_->state() == StateAt(1));
    EXPECT_EQ(backend_->OpenCursor(other)->state().acked.floor(), Offset(9));
    ReopenCursor();
  }
}

TEST_P(CursorTest, ARemovedSubscriptionLeavesNothingToItsSuccessor) {
  ASSERT_EQ(Ack(*cursor_, {Range(1, 9)}), absl::OkStatus());
  cursor_ = nullptr;
  ASSERT_EQ(RemoveSubscription(subscription_), absl::OkStatus());
  const SubscriptionId successor = NewSubscription(StateAt(4));
  EXPECT_NE(successor, subscription_);
  for (int round = 0; round < 2; ++round) {
    EXPECT_TRUE(backend_->OpenCursor(successor)->state() == StateAt(4));
    Reopen();
  }
}

}  // namespace
}  // namespace sluice
