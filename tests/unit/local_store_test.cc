// What only the local store promises: recovery, damage, full disks, deletion.
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

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

TEST_F(LocalStoreTest, WhatWasAcknowledgedSurvivesACrash) {
  ASSERT_EQ(Open(), absl::OkStatus());
  CreateTopic();
  std::vector<std::string> sent;
  for (int i = 0; i < 200; ++i) {
    sent.push_back(std::to_string(i) + std::string(1000, '.'));
    ASSERT_EQ(Append(*log_, sent.back()), absl::OkStatus());
    if (i == 100) {
      ASSERT_EQ(store_->maintenance().Checkpoint(), absl::OkStatus());
    }
  }
  Crash();
  ASSERT_EQ(Open(), absl::OkStatus());
  EXPECT_EQ(ReadAll(*log_).value(), sent);
  EXPECT_EQ(log_->extent().next, Offset(201));
}

TEST_F(LocalStoreTest, ATornLastWriteIsCutAtEveryByte) {
  ASSERT_EQ(Open(), absl::OkStatus());
  CreateTopic();
  ASSERT_EQ(Append(*log_, "kept"), absl::OkStatus());
  const std::string segment = LastSegment();
  const auto begin = static_cast<std::streamoff>(DiskBytes());
  ASSERT_EQ(Append(*log_, "torn"), absl::OkStatus());
  const auto end = static_cast<std::streamoff>(DiskBytes());
  Crash();
  std::string whole(static_cast<size_t>(end - begin), '\0');
  std::ifstream(segment, std::ios::binary).seekg(begin).read(whole.data(), end - begin);
  for (size_t cut = 0; cut < whole.size(); ++cut) {
    std::string torn = whole.substr(0, cut);
    torn.resize(whole.size(), '\0');
    std::fstream(segment, std::ios::binary | std::ios::in | std::ios::out)
        .seekp(begin)
        .write(torn.data(), end - begin);
    ASSERT_EQ(Open(), absl::OkStatus()) << cut;
    // The padding behind the payload is no part of the record.
    const bool complete = torn.substr(0, whole.find_last_not_of('\0') + 1) ==
                          whole.substr(0, whole.find_last_not_of('\0') + 1);
    if (complete) {
      EXPECT_THAT(ReadAll(*log_).value(), ElementsAre("kept", "torn")) << cut;
    } else {
      EXPECT_THAT(ReadAll(*log_).value(), ElementsAre("kept")) << cut;
    }
    Crash();
  }
  ASSERT_EQ(Open(), absl::OkStatus());
}

// A batch that acknowledges others is there with its acknowledgement or not at all, wherever the
// crash cuts it off.
TEST_F(LocalStoreTest, ATornBatchAndAckDoesBothOrNeither) {
  ASSERT_EQ(Open(), absl::OkStatus());
  CreateTopic();
  CreateSubscription();
  const std::string segment = LastSegment();
  const auto begin = static_cast<std::streamoff>(DiskBytes());
  Answer<absl::Status> moved;
  log_->AppendAndAck(MakeBatch({"moved"}), store_->OpenCursor(SubscriptionId(2)),
                     {{Offset(1), Offset(3)}}, moved.callback());
  ASSERT_EQ(moved.Wait(), absl::OkStatus());
  const auto end = static_cast<std::streamoff>(DiskBytes());
  Crash();
  std::string whole(static_cast<size_t>(end - begin), '\0');
  std::ifstream(segment, std::ios::binary).seekg(begin).read(whole.data(), end - begin);
  const size_t last = whole.find_last_not_of('\0');
  for (size_t cut = 0; cut <= whole.size(); ++cut) {
    std::string torn = whole.substr(0, cut);
    torn.resize(whole.size(), '\0');
    std::fstream(segment, std::ios::binary | std::ios::in | std::ios::out)
        .seekp(begin)
        .write(torn.data(), end - begin);
    ASSERT_EQ(Open(), absl::OkStatus()) << cut;
    const bool complete = cut > last;
    EXPECT_EQ(ReadAll(*log_)->size(), complete ? 1u : 0u) << cut;
    EXPECT_EQ(store_->OpenCursor(SubscriptionId(2))->state().acked.floor(),
              Offset(complete ? 3 : 1))
        << cut;
    Crash();
  }
}

TEST_F(LocalStoreTest, AfterATornTailWritingGoesOn) {
  ASSERT_EQ(Open(), absl::OkStatus());
  CreateTopic();
  ASSERT_EQ(Append(*log_, "kept"), absl::OkStatus());
  const auto end = static_cast<std::streamoff>(DiskBytes());
  const std::string segment = LastSegment();
  Crash();
  std::fstream(segment, std::ios::binary | std::ios::in | std::ios::out)
      .seekp(end)
      .write("SLJR garbage", 12);
  ASSERT_EQ(Open(), absl::OkStatus());
  ASSERT_EQ(Append(*log_, "after"), absl::OkStatus());
  Crash();
  ASSERT_EQ(Open(), absl::OkStatus());
  EXPECT_THAT(ReadAll(*log_).value(), ElementsAre("kept", "after"));
}

// A flipped bit anywhere in a record that later commits follow is DATA_LOSS for its topic, and for
// no other.
TEST_F(LocalStoreTest, ADamagedRecordFencesItsTopicAlone) {
  ASSERT_EQ(Open(), absl::OkStatus());
  CreateTopic(1);
  CreateTopic(2);
  auto other = store_->OpenLog(TopicId(2));
  ASSERT_EQ(Append(*log_, "before"), absl::OkStatus());
  const auto begin = static_cast<std::streamoff>(DiskBytes());
  ASSERT_EQ(Append(*log_, "damaged"), absl::OkStatus());
  const auto end = static_cast<std::streamoff>(DiskBytes());
  ASSERT_EQ(Append(*log_, "after"), absl::OkStatus());
  ASSERT_EQ(Append(*other, "other"), absl::OkStatus());
  const std::string segment = LastSegment();
  other = nullptr;
  Crash();
  for (std::streamoff at = begin; at < begin + 48 + 16 + 4 + 2 + 7; ++at) {
    std::fstream file(segment, std::ios::binary | std::ios::in | std::ios::out);
    const char original = static_cast<char>(file.seekg(at).get());
    file.seekp(at).put(static_cast<char>(original ^ 0x10)).flush();
    ASSERT_EQ(Open(), absl::OkStatus());
    EXPECT_EQ(store_->stats().damaged_stretches, 1) << at - begin;
    EXPECT_EQ(ReasonOf(ReadAll(*log_).status()), Reason::kDataLoss) << at - begin;
    EXPECT_THAT(ReadAll(*store_->OpenLog(TopicId(2))).value(), ElementsAre("other"));
    EXPECT_EQ(log_->extent().next, Offset(4)) << at - begin;
    Crash();
    file.seekp(at).put(original).flush();
  }
  ASSERT_LT(begin, end);
  ASSERT_EQ(Open(), absl::OkStatus());
  EXPECT_THAT(ReadAll(*log_).value(), ElementsAre("before", "damaged", "after"));
}

TEST_F(LocalStoreTest, VerifyNamesTheDamage) {
  ASSERT_EQ(Open(), absl::OkStatus());
  CreateTopic();
  ASSERT_EQ(Append(*log_, "a"), absl::OkStatus());
  const auto begin = static_cast<std::streamoff>(DiskBytes());
  ASSERT_EQ(Append(*log_, "b"), absl::OkStatus());
  ASSERT_EQ(Append(*log_, "c"), absl::OkStatus());
  const std::string segment = LastSegment();
  log_ = nullptr;
  store_ = nullptr;
  auto sound = Verify(folder_.path(), nullptr);
  ASSERT_TRUE(sound.ok()) << sound.status();
  EXPECT_THAT(sound->damages, IsEmpty());
  EXPECT_EQ(sound->messages, 3);
  EXPECT_EQ(sound->topics, 1);
  std::fstream(segment, std::ios::binary | std::ios::in | std::ios::out).seekp(begin + 70).put('!');
  auto damaged = Verify(folder_.path(), nullptr);
  ASSERT_TRUE(damaged.ok()) << damaged.status();
  ASSERT_FALSE(damaged->damages.empty());
  EXPECT_THAT(damaged->damages.front(), HasSubstr("00000000000000000001.journal"));
}

// The world stops after the n-th operation on files, for every n until a whole life of the store
// passes undisturbed: writes, rolls, checkpoints, deletions, relocations. Whatever was acknowledged
// before must be there afterwards.
TEST_F(LocalStoreTest, ACrashBetweenAnyTwoFileOperationsLosesNothing) {
  for (const Durability durability : {Durability::kFsync, Durability::kOs}) {
    for (int operations = 1;; operations += 1 + operations / 6) {
      std::filesystem::remove_all(folder_.path());
      LocalOptions options = OptionsOf(durability);
      options.maintenance.reclaim_interval = absl::ZeroDuration();
      options.maintenance.min_live_share = 0.5;
      files_.StopWorldAfter(operations);
      std::vector<std::string> acknowledged;
      Offset trimmed(1);
      bool created = false;
      if (OpenWith(options).ok()) {
        Answer<absl::Status> put;
        store_->catalogue().PutTopic({TopicId(1), "topic"}, put.callback());
        created = put.Wait().ok();
        log_ = created ? store_->OpenLog(TopicId(1)) : nullptr;
        for (int i = 0; created && i < 30; ++i) {
          const std::string payload = std::to_string(i) + std::string(8000, '.');
          if (!Append(*log_, payload).ok()) break;
          acknowledged.push_back(payload);
          if (i % 10 == 9) {
            trimmed = Offset(static_cast<uint64_t>(i) - 2);
            log_->Trim(trimmed);
            store_->maintenance().RunOnce();
          }
        }
      }
      const bool undisturbed = !files_.stopped();
      // Under fsync the machine may lose power; under os only the process dies.
      if (durability == Durability::kFsync) files_.LoseUnsynced();
      log_ = nullptr;
      store_ = nullptr;
      files_.StartWorld();
      ASSERT_EQ(OpenWith(options), absl::OkStatus()) << operations;
      if (created) {
        ASSERT_NE(log_, nullptr) << operations;
        // From wherever it starts now, at or before what was trimmed, nothing is missing.
        const Offset first = log_->extent().first;
        ASSERT_LE(first, trimmed) << operations;
        auto read = ReadAll(*log_);
        ASSERT_TRUE(read.ok()) << operations << " " << read.status();
        const auto skipped = static_cast<std::ptrdiff_t>(
            (*read).size() > acknowledged.size() ? 0 : acknowledged.size() - (*read).size());
        ASSERT_LE(skipped, static_cast<std::ptrdiff_t>(trimmed - Offset(1))) << operations;
        const std::vector<std::string> expected(acknowledged.begin() + skipped, acknowledged.end());
        ASSERT_GE(read->size(), expected.size());
        ASSERT_TRUE(std::equal(expected.begin(), expected.end(), read->begin())) << operations;
      }
      if (undisturbed) break;
    }
  }
}

TEST_F(LocalStoreTest, AFullDiskRefusesMessagesTakesAcksAndRecoversByItself) {
  LocalOptions options = OptionsOf();
  ASSERT_EQ(OpenWith(options), absl::OkStatus());
  CreateTopic();
  CreateSubscription();
  files_.SetFull(true);
  const std::string payload(10'000, 'x');
  absl::Status status;
  int stored = 0;
  while ((status = Append(*log_, payload)).ok()) ++stored;
  EXPECT_GT(stored, 0);
  EXPECT_EQ(ReasonOf(status), Reason::kStorageFull);
  EXPECT_FALSE(store_->stats().writable);
  // Reading and acknowledging go on.
  EXPECT_EQ(ReadAll(*log_)->size(), static_cast<size_t>(stored));
  Answer<absl::Status> acked;
  store_->OpenCursor(SubscriptionId(2))->Ack({OffsetRange{Offset(1), Offset(3)}}, acked.callback());
  EXPECT_EQ(acked.Wait(), absl::OkStatus());
  files_.SetFull(false);
  EXPECT_EQ(Append(*log_, payload), absl::OkStatus());
  EXPECT_TRUE(store_->stats().writable);
}

TEST_F(LocalStoreTest, AfterAFailedSyncNothingMoreIsWrittenAndReadingGoesOn) {
  ASSERT_EQ(Open(), absl::OkStatus());
  CreateTopic();
  ASSERT_EQ(Append(*log_, "a"), absl::OkStatus());
  files_.FailSyncs(true);
  EXPECT_EQ(ReasonOf(Append(*log_, "b")), Reason::kStorageUnavailable);
  files_.FailSyncs(false);
  EXPECT_EQ(ReasonOf(Append(*log_, "c")), Reason::kStorageUnavailable);
  EXPECT_FALSE(store_->stats().writable);
  EXPECT_THAT(ReadAll(*log_).value(), ElementsAre("a"));
}

TEST_F(LocalStoreTest, SpaceComesBackWhenEverythingIsTrimmed) {
  LocalOptions options = OptionsOf();
  options.maintenance.reclaim_interval = absl::ZeroDuration();
  ASSERT_EQ(OpenWith(options), absl::OkStatus());
  CreateTopic();
  for (int i = 0; i < 100; ++i)
    ASSERT_EQ(Append(*log_, std::string(10'000, 'x')), absl::OkStatus());
  EXPECT_GT(DiskBytes(), 900'000);
  log_->Trim(Offset(101));
  store_->maintenance().RunOnce();
  EXPECT_LE(DiskBytes(), options.segment_bytes);
  EXPECT_GT(metrics_.segments_deleted.value(), 10);
}

TEST_F(LocalStoreTest, WhatLivesInAMostlyDeadSegmentMovesOn) {
  LocalOptions options = OptionsOf();
  options.maintenance.reclaim_interval = absl::ZeroDuration();
  ASSERT_EQ(OpenWith(options), absl::OkStatus());
  CreateTopic(1);
  CreateTopic(2);
  auto busy = store_->OpenLog(TopicId(2));
  std::vector<std::string> kept;
  for (int i = 0; i < 60; ++i) {
    if (i % 12 == 0) {
      kept.push_back("kept " + std::to_string(i));
      ASSERT_EQ(Append(*log_, kept.back()), absl::OkStatus());
    }
    ASSERT_EQ(Append(*busy, std::string(10'000, 'x')), absl::OkStatus());
  }
  busy->Trim(Offset(61));
  for (int i = 0; i < 30; ++i) store_->maintenance().RunOnce();
  EXPECT_LE(DiskBytes(), 2 * options.segment_bytes);
  EXPECT_GT(metrics_.relocated_bytes.value(), 0);
  EXPECT_EQ(ReadAll(*log_).value(), kept);
  busy = nullptr;
  Crash();
  ASSERT_EQ(OpenWith(options), absl::OkStatus());
  EXPECT_EQ(ReadAll(*log_).value(), kept);
}

// The writer makes a segment of the spare while maintenance makes the next spare.
TEST_F(LocalStoreTest, ASegmentIsNeverTakenForTheSpare) {
  ASSERT_EQ(OpenWith(OptionsOf(Durability::kOs)), absl::OkStatus());
  CreateTopic();
  std::atomic<bool> stop{false};
  std::thread maintenance([&] {
    while (!stop) store_->maintenance().RunOnce();
  });
  std::vector<std::string> sent;
  for (int i = 0; i < 300; ++i) {
    sent.push_back(std::to_string(i) + std::string(30'000, '.'));
    EXPECT_EQ(Append(*log_, sent.back()), absl::OkStatus());
  }
  stop = true;
  maintenance.join();
  Crash();
  ASSERT_EQ(OpenWith(OptionsOf(Durability::kOs)), absl::OkStatus());
  EXPECT_EQ(ReadAll(*log_).value(), sent);
}

TEST_F(LocalStoreTest, ASecondProcessIsRefusedByName) {
  ASSERT_EQ(Open(), absl::OkStatus());
  auto second = LocalBackend::Open(OptionsOf(), clock_, metrics_);
  EXPECT_EQ(ReasonOf(second.status()), Reason::kDataFolderInUse);
  EXPECT_THAT(std::string(second.status().message()), HasSubstr(folder_.path()));
  EXPECT_THAT(std::string(second.status().message()), HasSubstr(std::to_string(getpid())));
}

TEST_F(LocalStoreTest, ANewerFormatIsRefusedAndLeftAlone) {
  ASSERT_EQ(Open(), absl::OkStatus());
  CreateTopic();
  const std::string segment = LastSegment();
  log_ = nullptr;
  store_ = nullptr;
  const auto write_header = [&](uint32_t version) {
    const std::string header = EncodeSegmentHeader({.sequence = 1, .version = version});
    std::fstream(segment, std::ios::binary | std::ios::in | std::ios::out)
        .write(header.data(), static_cast<std::streamsize>(header.size()));
  };
  write_header(kJournalVersion + 1);
  const absl::Status refused = Open();
  EXPECT_EQ(ReasonOf(refused), Reason::kNewerFormat);
  EXPECT_THAT(std::string(refused.message()), HasSubstr(segment));
  write_header(kJournalVersion);
  EXPECT_EQ(Open(), absl::OkStatus());
}

TEST_F(LocalStoreTest, AFolderThatCannotBeIsRefused) {
  LocalOptions options = OptionsOf();
  std::ofstream(folder_.path() + "/file") << "not a folder";
  options.data_dir = folder_.path() + "/file/store";
  EXPECT_EQ(ReasonOf(OpenWith(options)), Reason::kDataFolderUnusable);
}

}  // namespace
}  // namespace sluice
