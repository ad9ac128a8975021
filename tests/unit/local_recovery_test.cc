// What a start of the local store makes of what it finds: records twice, leases, segments without
// header, holes.
#include <atomic>
#include <filesystem>
#include <fstream>
#include <thread>

#include "core/base/error.h"
#include "core/storage/local/codec.h"
#include "core/storage/local/local_backend.h"
#include "core/storage/local/verify.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/local_store_fixture.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class LocalRecoveryTest : public LocalStoreTest {};

TEST_F(LocalRecoveryTest, ReplayingTwiceIsAsGoodAsOnce) {
  ASSERT_EQ(Open(), absl::OkStatus());
  CreateTopic();
  CreateSubscription();
  for (int i = 0; i < 5; ++i) ASSERT_EQ(Append(*log_, std::to_string(i)), absl::OkStatus());
  auto cursor = store_->OpenCursor(SubscriptionId(2));
  cursor->Failed({Offset(4), Offset(6)}, 3);
  cursor->Leased(std::vector{SavedLease{{Offset(1), Offset(6)}, LeaseId(7), 1, 1000},
                             SavedLease{{Offset(5), Offset(6)}, LeaseId(12), 1, 2000}});
  Answer<absl::Status> acked;
  cursor->Ack({OffsetRange{Offset(2), Offset(5)}}, acked.callback());
  ASSERT_EQ(acked.Wait(), absl::OkStatus());
  const CursorState expected = cursor->state();
  cursor = nullptr;
  for (int round = 0; round < 3; ++round) {
    Crash();
    ASSERT_EQ(Open(), absl::OkStatus());
    const CursorState state = store_->OpenCursor(SubscriptionId(2))->state();
    EXPECT_EQ(state.acked, expected.acked);
    EXPECT_EQ(state.failures, (std::map<Offset, uint32_t>{{Offset(5), 3}}));
    EXPECT_EQ(state.leases.size(), 2u);
    EXPECT_EQ(state.leases, expected.leases);
    EXPECT_EQ(ReadAll(*log_)->size(), 5);
  }
}

TEST_F(LocalRecoveryTest, LeasesGoWithTheNextCommitWhoeverCausesIt) {
  ASSERT_EQ(Open(), absl::OkStatus());
  CreateTopic();
  CreateSubscription();
  store_->OpenCursor(SubscriptionId(2))
      ->Leased(std::vector{SavedLease{{Offset(1), Offset(3)}, LeaseId(7), 1, 1000}});
  ASSERT_EQ(Append(*log_, "a"), absl::OkStatus());
  Crash();
  ASSERT_EQ(Open(), absl::OkStatus());
  EXPECT_EQ(store_->OpenCursor(SubscriptionId(2))->state().leases.size(), 1u);
}

TEST_F(LocalRecoveryTest, WhatALeaseWasToldBeforeAFailureDoesNotHoldAfterIt) {
  ASSERT_EQ(Open(), absl::OkStatus());
  CreateSubscription();
  auto cursor = store_->OpenCursor(SubscriptionId(2));
  // Most likely in one record.
  cursor->Leased(std::vector{SavedLease{{Offset(1), Offset(3)}, LeaseId(7), 1, 1000}});
  cursor->Failed({Offset(1), Offset(2)}, 1);
  Answer<absl::Status> acked;
  cursor->Ack({OffsetRange{Offset(9), Offset(10)}}, acked.callback());
  ASSERT_EQ(acked.Wait(), absl::OkStatus());
  const SavedLeases expected = cursor->state().leases;
  EXPECT_EQ(expected.size(), 1u);
  cursor = nullptr;
  Crash();
  ASSERT_EQ(Open(), absl::OkStatus());
  EXPECT_EQ(store_->OpenCursor(SubscriptionId(2))->state().leases, expected);
}

// Format 1 counted deliveries; whether the last one failed nobody knows.
TEST_F(LocalRecoveryTest, DeliveriesCountedByAnEarlierReleaseAreReadAsOneFailureLess) {
  VarintWriter state;
  state.PutBytes(AckSet(Offset(3)).Encode());
  for (const uint64_t value : {10, 2, 4, 0, 2, 3})
    state.Put(value);  // 4: held back; 6: delivered three times
  const auto read = DecodeCursorState(state.Take());
  ASSERT_TRUE(read);
  EXPECT_EQ(read->acked.floor(), Offset(3));
  EXPECT_EQ(read->failures, (std::map<Offset, uint32_t>{{Offset(6), 2}}));
  VarintWriter delta;
  for (const uint64_t value : {10, 1, 3, 1, 2, 6, 2, 5, 8, 1, 1}) delta.Put(value);
  const auto change = DecodeCursorDelta(delta.Take());
  ASSERT_TRUE(change);
  CursorState changed = *read;
  Apply(*change, &changed);
  EXPECT_EQ(changed.acked.floor(), Offset(4));
  EXPECT_EQ(changed.failures, (std::map<Offset, uint32_t>{{Offset(6), 4}, {Offset(7), 4}}));
}

// The promise of a deadline ends where the write begins: what is written is stored, and said to be.
TEST_F(LocalRecoveryTest, WhatDiedAfterTheCheckpointIsNotDeletedBeforeTheNext) {
  LocalOptions options = OptionsOf();
  options.maintenance.reclaim_interval = absl::Hours(1);
  ASSERT_EQ(OpenWith(options), absl::OkStatus());
  CreateTopic();
  for (int i = 0; i < 20; ++i) ASSERT_EQ(Append(*log_, std::string(10'000, 'x')), absl::OkStatus());
  ASSERT_EQ(store_->maintenance().Checkpoint(), absl::OkStatus());
  log_->Trim(Offset(20));
  store_->maintenance().RunOnce();
  Crash();
  ASSERT_EQ(OpenWith(options), absl::OkStatus());
  EXPECT_EQ(ReadAll(*log_)->size(), 20);
}

// Only programs that did not sync headers leave such a segment.
TEST_F(LocalRecoveryTest, ALastSegmentWithoutHeaderAndRecordsIsDroppedWithAWarning) {
  ASSERT_EQ(Open(), absl::OkStatus());
  CreateTopic();
  ASSERT_EQ(Append(*log_, "kept"), absl::OkStatus());
  Crash();
  for (const size_t bytes : {0, 10, 4096}) {
    const std::string path = folder_.path() + "/journal/00000000000000000002.journal";
    std::ofstream(path, std::ios::binary) << std::string(bytes, '\0');
    ASSERT_EQ(Open(), absl::OkStatus());
    EXPECT_THAT(store_->warnings(), ElementsAre(HasSubstr(path)));
    EXPECT_THAT(ReadAll(*log_).value(), ElementsAre("kept"));
    EXPECT_EQ(store_->stats().damaged_stretches, 0);
    Crash();
  }
}

// A power cut may take any part of what was not synced: without damage in what was, everything
// before the first hole is there.
TEST_F(LocalRecoveryTest, UnderOsAHoleInTheLastTwoSegmentsTakesWhatLiesBehindIt) {
  ASSERT_EQ(OpenWith(OptionsOf(Durability::kOs)), absl::OkStatus());
  CreateTopic();
  std::string first;
  for (int i = 0; i < 8; ++i) {
    if (i == 3) first = LastSegment();
    ASSERT_EQ(Append(*log_, std::to_string(i) + std::string(10'000, '.')), absl::OkStatus());
  }
  ASSERT_NE(LastSegment(), first);
  Crash();
  // In the third record.
  std::fstream(first, std::ios::binary | std::ios::in | std::ios::out)
      .seekp(22'000)
      .write(std::string(512, '\0').data(), 512);
  ASSERT_EQ(OpenWith(OptionsOf(Durability::kOs)), absl::OkStatus());
  EXPECT_EQ(LastSegment(), first);
  EXPECT_THAT(store_->warnings(), ElementsAre(HasSubstr(first)));
  EXPECT_EQ(ReadAll(*log_)->size(), 2);
  EXPECT_EQ(Append(*log_, "next"), absl::OkStatus());
  Crash();
  ASSERT_EQ(OpenWith(OptionsOf(Durability::kOs)), absl::OkStatus());
  EXPECT_EQ(ReadAll(*log_)->size(), 3);
  EXPECT_EQ(store_->stats().damaged_stretches, 0);
}

TEST_F(LocalRecoveryTest, UnderFsyncAHoleIsDamageWhateverWasWrittenUnderOsBefore) {
  ASSERT_EQ(OpenWith(OptionsOf(Durability::kOs)), absl::OkStatus());
  CreateTopic();
  for (int i = 0; i < 3; ++i)
    ASSERT_EQ(Append(*log_, std::to_string(i) + std::string(10'000, '.')), absl::OkStatus());
  Crash();
  ASSERT_EQ(Open(), absl::OkStatus());
  ASSERT_EQ(Append(*log_, "synced"), absl::OkStatus());
  Crash();
  std::fstream(LastSegment(), std::ios::binary | std::ios::in | std::ios::out)
      .seekp(22'000)
      .put('!');
  ASSERT_EQ(OpenWith(OptionsOf(Durability::kOs)), absl::OkStatus());
  EXPECT_EQ(store_->stats().damaged_stretches, 1);
  EXPECT_EQ(log_->extent().next, Offset(5));
}

TEST_F(LocalRecoveryTest, ADeadlineThatPassesDuringTheWriteChangesNothing) {
  ManualClock clock;
  auto opened = LocalBackend::Open(OptionsOf(), clock, metrics_);
  ASSERT_TRUE(opened.ok());
  store_ = *std::move(opened);
  CreateTopic();
  // So that the next commit has nothing to prepare.
  ASSERT_EQ(Append(*log_, "before"), absl::OkStatus());
  const Instant deadline = clock.Now() + absl::Seconds(1);
  files_.OnSync([&clock] { clock.Advance(absl::Seconds(10)); });
  Ref<Batch> batch = MakeBatch({"x"});
  batch->set_deadline(deadline);
  Answer<absl::Status> answer;
  log_->Append(batch, answer.callback());
  EXPECT_EQ(answer.Wait(), absl::OkStatus());
  EXPECT_GT(clock.Now(), deadline);
  files_.OnSync(nullptr);
  EXPECT_THAT(*ReadAll(*log_), ElementsAre("before", "x"));
  log_ = nullptr;
  store_ = nullptr;
}

}  // namespace
}  // namespace sluice
