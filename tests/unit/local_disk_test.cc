// The local store on disks that fail: what closes it and what it recovers from, and what it tells.
#include <algorithm>
#include <filesystem>
#include <fstream>

#include "core/base/error.h"
#include "core/storage/local/local_backend.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/answer.h"
#include "tests/support/batches.h"
#include "tests/support/fault_files.h"
#include "tests/support/latch.h"
#include "tests/support/temp_folder.h"
#include "tests/support/view_faults.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

const rocksdb::IOStatus kNoSpace = rocksdb::IOStatus::NoSpace("No space left on device");
const rocksdb::IOStatus kBroken = rocksdb::IOStatus::IOError("Input/output error");

class LocalDiskTest : public testing::Test {
 protected:
  absl::Status Open(Durability durability = Durability::kFsync) {
    log_ = nullptr;
    store_ = nullptr;
    LocalOptions options;
    options.data_dir = folder_.path() + "/made/data";
    options.durability = durability;
    options.segment_bytes = 64 << 10;
    options.run_maintenance = false;
    options.maintenance.checkpoint_batches = 1;
    options.files = &files_;
    options.view_env = view_.env();
    options.on_event = [this](const StoreEvent& event) {
      MutexLock lock(mu_);
      events_.push_back(event);
    };
    auto opened = LocalBackend::Open(options, clock_, metrics_);
    if (!opened.ok()) return opened.status();
    store_ = *std::move(opened);
    log_ = store_->OpenLog(TopicId(1));
    return absl::OkStatus();
  }
  void OpenWithTopic(Durability durability = Durability::kFsync) {
    ASSERT_EQ(Open(durability), absl::OkStatus());
    Answer<absl::Status> made;
    store_->catalogue().PutTopic({TopicId(1), "topic"}, made.callback());
    ASSERT_EQ(made.Wait(), absl::OkStatus());
    log_ = store_->OpenLog(TopicId(1));
    // So that the next commit has nothing to prepare.
    store_->maintenance().RunOnce();
  }
  void Crash() {
    files_.StopWorld();
    log_ = nullptr;
    store_ = nullptr;
    files_.StartWorld();
  }
  absl::Status Append(const std::string& payload) {
    Answer<absl::Status> answer;
    log_->Append(MakeBatch({payload}), answer.callback());
    return answer.Wait();
  }
  // Its sync waits for `held`, so that what is appended meanwhile is written together.
  Answer<absl::Status> AppendHeld(
      const std::string& payload, Latch& began, Latch& held, std::function<void()> then = [] {}) {
    files_.OnSync([&began, &held, then = std::move(then)] {
      began.CountDown();
      held.Wait();
      then();
    });
    Answer<absl::Status> answer;
    log_->Append(MakeBatch({payload}), answer.callback());
    began.Wait();
    return answer;
  }
  absl::StatusOr<std::vector<std::string>> ReadAll() {
    std::vector<std::string> all;
    for (Offset at = log_->extent().first;;) {
      Answer<absl::StatusOr<std::vector<Ref<Batch>>>> answer;
      log_->Read(at, size_t{1} << 20, answer.callback());
      auto read = answer.Wait();
      if (!read.ok()) return read.status();
      if (read->empty()) return all;
      for (const auto& batch : *read) {
        all.emplace_back(MessageView(batch->message(0)).data());
        at = batch->end();
      }
    }
  }
  // The events so far, without what the view's database says.
  std::vector<StoreEvent> Events() {
    MutexLock lock(mu_);
    std::vector<StoreEvent> events = events_;
    std::erase_if(events,
                  [](const StoreEvent& event) { return event.kind == StoreEventKind::kView; });
    return events;
  }
  std::vector<StoreEventKind> Kinds() {
    std::vector<StoreEventKind> kinds;
    for (const StoreEvent& event : Events()) kinds.push_back(event.kind);
    return kinds;
  }
  std::string ViewFolder() const { return folder_.path() + "/made/data/view"; }

  TempFolder folder_;
  FaultFiles files_;
  ViewFaults view_;
  ManualClock clock_;
  StoreMetrics metrics_;
  Mutex mu_;
  std::vector<StoreEvent> events_ GUARDED_BY(mu_);
  std::unique_ptr<LocalBackend> store_;
  std::shared_ptr<TopicLog> log_;
};

TEST_F(LocalDiskTest, TheViewHasNoLogFile) {
  OpenWithTopic();
  std::ofstream(ViewFolder() + "/LOG.old.1") << "of an earlier release";
  ASSERT_EQ(Open(), absl::OkStatus());
  for (const auto& entry : fs::directory_iterator(ViewFolder())) {
    EXPECT_FALSE(entry.path().filename().string().starts_with("LOG")) << entry.path();
  }
}

TEST_F(LocalDiskTest, AFullDiskKeepsNoStoreFromOpeningAndBeingRead) {
  OpenWithTopic();
  ASSERT_EQ(Append("a"), absl::OkStatus());
  ASSERT_EQ(store_->maintenance().Checkpoint(), absl::OkStatus());
  Crash();
  view_.Fail(kNoSpace);
  ASSERT_EQ(Open(), absl::OkStatus());
  EXPECT_THAT(ReadAll().value(), ElementsAre("a"));
  ASSERT_EQ(Append("b"), absl::OkStatus());
  EXPECT_EQ(ReasonOf(store_->maintenance().Checkpoint()), Reason::kStorageFull);
  EXPECT_THAT(ReadAll().value(), ElementsAre("a", "b"));
  view_.Heal();
  EXPECT_EQ(store_->maintenance().Checkpoint(), absl::OkStatus());
  Crash();
  ASSERT_EQ(Open(), absl::OkStatus());
  EXPECT_THAT(ReadAll().value(), ElementsAre("a", "b"));
}

TEST_F(LocalDiskTest, AFailedCheckpointIsTriedAgainAndTold) {
  OpenWithTopic();
  ASSERT_EQ(Append("a"), absl::OkStatus());
  for (const auto& error : {kNoSpace, kBroken}) {
    const uint64_t failed = metrics_.checkpoints_failed.value();
    const uint64_t made = metrics_.checkpoints_made.value();
    view_.Fail(error);
    ASSERT_EQ(Append("b"), absl::OkStatus());
    for (int i = 0; i < 100; ++i) {
      store_->maintenance().RunOnce();
      clock_.Advance(absl::Seconds(1));
    }
    // After 0, 1, 3, 7, 15, 31, 63 seconds.
    EXPECT_EQ(metrics_.checkpoints_failed.value(), failed + 7);
    EXPECT_EQ(Kinds(), std::vector<StoreEventKind>(7, StoreEventKind::kCheckpointFailed));
    EXPECT_EQ(Events().front().operation, "checkpoint");
    EXPECT_THAT(Events().front().message, HasSubstr(error.ToString().substr(10)));
    EXPECT_EQ(metrics_.checkpoints_made.value(), made);
    // What was written before can be read meanwhile.
    EXPECT_EQ(ReadAll()->front(), "a");
    view_.Heal();
    clock_.Advance(absl::Minutes(1));
    store_->maintenance().RunOnce();
    EXPECT_EQ(metrics_.checkpoints_made.value(), made + 1);
    EXPECT_EQ(Kinds().back(), StoreEventKind::kCheckpointMade);
    MutexLock lock(mu_);
    events_.clear();
  }
  Crash();
  ASSERT_EQ(Open(), absl::OkStatus());
  EXPECT_THAT(ReadAll().value(), ElementsAre("a", "b", "b"));
}

// Each operation that a checkpoint and the opening after it do on the disk fails once, and all from
// there on.
TEST_F(LocalDiskTest, NoFailureOfTheViewLosesAMessageOrEndsTheProcess) {
  OpenWithTopic();
  std::vector<std::string> sent;
  for (int after = 0;; ++after) {
    bool failed = false;
    for (const auto& error : {kNoSpace, kBroken}) {
      sent.push_back(std::to_string(sent.size()));
      ASSERT_EQ(Append(sent.back()), absl::OkStatus());
      view_.FailOnce(after, error);
      store_->maintenance().Checkpoint().IgnoreError();
      failed |= view_.failed();
      view_.Fail(error);
      store_->maintenance().Checkpoint().IgnoreError();
      ASSERT_EQ(ReadAll().value(), sent) << after;
      // Healed, it works again; or all of it is found again after a crash.
      view_.Heal();
      if (after % 2 == 0) {
        ASSERT_EQ(store_->maintenance().Checkpoint(), absl::OkStatus()) << after;
      } else {
        Crash();
        ASSERT_EQ(Open(), absl::OkStatus()) << after;
      }
      ASSERT_EQ(ReadAll().value(), sent) << after;
    }
    if (!failed) break;
  }
}

TEST_F(LocalDiskTest, ItClosesWithoutAnErrorWhenTheJournalHasAll) {
  OpenWithTopic();
  ASSERT_EQ(Append("a"), absl::OkStatus());
  view_.Fail(kBroken);
  EXPECT_EQ(store_->Close(), absl::OkStatus());
  EXPECT_THAT(Kinds(), ElementsAre(StoreEventKind::kCheckpointFailed));
  view_.Heal();
  ASSERT_EQ(Open(), absl::OkStatus());
  EXPECT_THAT(ReadAll().value(), ElementsAre("a"));
}

TEST_F(LocalDiskTest, AFailedWriteIsToldOnceWithOperationPathAndNumber) {
  OpenWithTopic();
  files_.FailSyncs(true);
  EXPECT_EQ(ReasonOf(Append("a")), Reason::kStorageUnavailable);
  EXPECT_EQ(ReasonOf(Append("b")), Reason::kStorageUnavailable);
  ASSERT_THAT(Kinds(), ElementsAre(StoreEventKind::kClosed));
  EXPECT_EQ(Events()[0].operation, "fdatasync");
  EXPECT_THAT(Events()[0].path, HasSubstr("/journal/"));
  EXPECT_EQ(Events()[0].error_number, "5");
}

TEST_F(LocalDiskTest, AFileIsNamedAsItIsCalledNow) {
  const std::string folder = folder_.path() + "/made";
  ASSERT_EQ(PosixFileSystem().CreateFolder(folder), absl::OkStatus());
  auto file = PosixFileSystem().Create(folder + "/spare");
  ASSERT_TRUE(file.ok());
  ASSERT_EQ(PosixFileSystem().Rename(folder + "/spare", folder + "/7.journal"), absl::OkStatus());
  (*file)->Renamed(folder + "/7.journal");
  auto read_only = PosixFileSystem().OpenToRead(folder + "/7.journal");
  (*read_only)->Renamed("the new name");
  const absl::Status refused = (*read_only)->Truncate(1);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("truncate the new name: "));
  EXPECT_THAT(MetadataOf(refused), testing::Contains(testing::Pair("operation", "truncate")));
}

TEST_F(LocalDiskTest, AReadThatFailsIsCountedAndTold) {
  OpenWithTopic();
  ASSERT_EQ(Append("a"), absl::OkStatus());
  files_.FailReads(true);
  EXPECT_EQ(ReasonOf(ReadAll().status()), Reason::kStorageUnavailable);
  files_.FailReads(false);
  EXPECT_EQ(metrics_.read_errors.value(), 1u);
  ASSERT_THAT(Kinds(), ElementsAre(StoreEventKind::kReadFailed));
  EXPECT_EQ(Events()[0].operation, "read");
  EXPECT_THAT(Events()[0].path, HasSubstr(".journal"));
  EXPECT_THAT(ReadAll().value(), ElementsAre("a"));
}

// As on btrfs, which may have no space for a write where space was allocated.
TEST_F(LocalDiskTest, AWriteWithoutSpaceIsTakenBackAndTheStoreGoesOn) {
  for (const Durability durability : {Durability::kFsync, Durability::kOs}) {
    OpenWithTopic(durability);
    const auto before = ReadAll().value();
    files_.SetNoSpace(true);
    EXPECT_EQ(ReasonOf(Append("refused")), Reason::kStorageFull);
    EXPECT_FALSE(store_->stats().writable);
    files_.SetNoSpace(false);
    // For a while, so that acknowledgements find room first.
    EXPECT_EQ(ReasonOf(Append("refused")), Reason::kStorageFull);
    clock_.Advance(absl::Seconds(1));
    ASSERT_EQ(Append("after"), absl::OkStatus());
    EXPECT_TRUE(store_->stats().writable);
    EXPECT_THAT(Kinds(), ElementsAre(StoreEventKind::kFull, StoreEventKind::kWritable));
    auto expected = before;
    expected.emplace_back("after");
    EXPECT_EQ(ReadAll().value(), expected);
    Crash();
    ASSERT_EQ(Open(durability), absl::OkStatus());
    EXPECT_EQ(ReadAll().value(), expected);
    EXPECT_EQ(metrics_.write_errors.value(), durability == Durability::kFsync ? 1u : 2u);
    MutexLock lock(mu_);
    events_.clear();
  }
}

TEST_F(LocalDiskTest, ADiskWithoutSpaceIsTriedLessAndLess) {
  OpenWithTopic();
  files_.SetNoSpace(true);
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(ReasonOf(Append("refused")), Reason::kStorageFull);
    clock_.Advance(absl::Seconds(1));
  }
  // After 0, 1, 3, 7, 15, 31, 61, 91 seconds.
  EXPECT_EQ(metrics_.write_errors.value(), 8u);
  const auto kinds = Kinds();
  EXPECT_EQ(std::count(kinds.begin(), kinds.end(), StoreEventKind::kFull), 8);
}

// What a failed write left behind must not continue a shorter one: the second of its records would
// be read as stored.
TEST_F(LocalDiskTest, NothingOfAWriteWithoutSpaceIsEverRead) {
  OpenWithTopic();
  // Held up, so that those behind it come into one write.
  Latch began(1);
  Latch held(1);
  Answer<absl::Status> holding = AppendHeld("held", began, held);
  // Of these the first two get there.
  std::vector<Answer<absl::Status>> answers(4);
  for (auto& answer : answers) log_->Append(MakeBatch({"old"}), answer.callback());
  files_.SetNoSpace(true);
  held.CountDown();
  for (auto& answer : answers) EXPECT_EQ(ReasonOf(answer.Wait()), Reason::kStorageFull);
  files_.OnSync(nullptr);
  files_.SetNoSpace(false);
  clock_.Advance(absl::Seconds(1));
  ASSERT_EQ(Append("new"), absl::OkStatus());
  Crash();
  ASSERT_EQ(Open(), absl::OkStatus());
  EXPECT_THAT(ReadAll().value(), ElementsAre("held", "new"));
}

// Of a sync nobody knows how much it wrote, whatever it failed for.
TEST_F(LocalDiskTest, ASyncWithoutSpaceClosesTheStore) {
  OpenWithTopic();
  files_.FailSyncs(true, Reason::kStorageFull);
  EXPECT_EQ(ReasonOf(Append("a")), Reason::kStorageUnavailable);
  files_.FailSyncs(false);
  clock_.Advance(absl::Minutes(1));
  EXPECT_EQ(ReasonOf(Append("b")), Reason::kStorageUnavailable);
  EXPECT_THAT(Kinds(), ElementsAre(StoreEventKind::kClosed));
}

// The system says it once, so a checkpoint that hears it is the last to.
TEST_F(LocalDiskTest, ASyncThatFailsForACheckpointClosesTheStore) {
  OpenWithTopic(Durability::kOs);
  ASSERT_EQ(Append("a"), absl::OkStatus());
  files_.FailSyncs(true);
  EXPECT_FALSE(store_->maintenance().Checkpoint().ok());
  files_.FailSyncs(false);
  EXPECT_EQ(ReasonOf(Append("b")), Reason::kStorageUnavailable);
  EXPECT_THAT(Kinds(), ElementsAre(StoreEventKind::kClosed, StoreEventKind::kCheckpointFailed));
}

// A commit that goes on in the next segment: what fails there fails what was written before it too.
TEST_F(LocalDiskTest, NothingIsAcknowledgedWhenTheSyncBetweenTwoSegmentsFails) {
  for (const Reason reason : {Reason::kStorageUnavailable, Reason::kStorageFull}) {
    OpenWithTopic();
    Latch began(1);
    Latch held(1);
    Answer<absl::Status> holding =
        AppendHeld("held", began, held, [this, reason] { files_.FailSyncs(true, reason); });
    std::vector<std::unique_ptr<Answer<absl::Status>>> answers;
    for (int i = 0; i < 4; ++i) {
      answers.push_back(std::make_unique<Answer<absl::Status>>());
      log_->Append(MakeBatch({std::string(25'000, 'x')}), answers.back()->callback());
    }
    held.CountDown();
    EXPECT_EQ(holding.Wait(), absl::OkStatus());
    for (const auto& answer : answers)
      EXPECT_EQ(ReasonOf(answer->Wait()), Reason::kStorageUnavailable);
    files_.OnSync(nullptr);
    Crash();
    files_.FailSyncs(false);
  }
}

// An acknowledgement that a full disk refused is saved with the next one.
TEST_F(LocalDiskTest, AcknowledgementsThatHadNoSpaceAreNotForgotten) {
  OpenWithTopic();
  const CursorState start = {.acked = AckSet(Offset(1)), .failures = {}};
  Answer<absl::Status> made;
  store_->catalogue().PutSubscription({SubscriptionId(2), "sub"}, &start, made.callback());
  ASSERT_EQ(made.Wait(), absl::OkStatus());
  for (int i = 0; i < 3; ++i) ASSERT_EQ(Append("x"), absl::OkStatus());
  auto cursor = store_->OpenCursor(SubscriptionId(2));
  files_.SetNoSpace(true);
  Answer<absl::Status> refused;
  cursor->Ack({OffsetRange{Offset(1), Offset(2)}}, refused.callback());
  EXPECT_EQ(ReasonOf(refused.Wait()), Reason::kStorageFull);
  files_.SetNoSpace(false);
  Answer<absl::Status> taken;
  cursor->Ack({OffsetRange{Offset(2), Offset(3)}}, taken.callback());
  EXPECT_EQ(taken.Wait(), absl::OkStatus());
  cursor = nullptr;
  Crash();
  ASSERT_EQ(Open(), absl::OkStatus());
  EXPECT_EQ(store_->OpenCursor(SubscriptionId(2))->state().acked.floor(), Offset(3));
}

}  // namespace
}  // namespace sluice
