// Backups of the local store: what is in them, what is shared, what is refused, and what faults
// leave behind.
#include <filesystem>
#include <fstream>
#include <thread>

#include "core/base/error.h"
#include "core/storage/local/backup/restore.h"
#include "core/storage/local/local_backend.h"
#include "core/storage/local/verify.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/answer.h"
#include "tests/support/batches.h"
#include "tests/support/fault_files.h"
#include "tests/support/temp_folder.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr uint64_t kSegmentBytes = 64 << 10;

class LocalBackupTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(Open(data_), absl::OkStatus());
    CreateTopic(1);
  }

  LocalOptions OptionsOf(const std::string& data_dir) {
    LocalOptions options;
    options.data_dir = data_dir;
    options.segment_bytes = kSegmentBytes;
    options.run_maintenance = false;
    options.files = &files_;
    return options;
  }
  absl::Status Open(const std::string& data_dir) {
    log_ = nullptr;
    store_ = nullptr;
    auto opened = LocalBackend::Open(OptionsOf(data_dir), clock_, metrics_);
    if (!opened.ok()) return opened.status();
    store_ = *std::move(opened);
    log_ = store_->OpenLog(TopicId(1));
    return absl::OkStatus();
  }
  void Crash() {
    files_.StopWorld();
    log_ = nullptr;
    store_ = nullptr;
    files_.StartWorld();
  }
  void CreateTopic(uint64_t id) {
    Answer<absl::Status> answer;
    store_->catalogue().PutTopic({TopicId(id), "topic"}, answer.callback());
    ASSERT_EQ(answer.Wait(), absl::OkStatus());
    log_ = store_->OpenLog(TopicId(1));
  }
  absl::Status Append(const std::string& payload) {
    Answer<absl::Status> answer;
    log_->Append(MakeBatch({payload}), answer.callback());
    return answer.Wait();
  }
  // Some segments of messages, each of which is `letter` and a number.
  std::vector<std::string> Fill(const std::string& letter, int count = 150) {
    std::vector<std::string> sent;
    for (int i = 0; i < count; ++i) {
      sent.push_back(letter + std::to_string(i) + std::string(1500, '.'));
      EXPECT_EQ(Append(sent.back()), absl::OkStatus());
    }
    return sent;
  }
  std::vector<std::string> ReadAll() {
    std::vector<std::string> all;
    for (Offset at = log_->extent().first;;) {
      Answer<absl::StatusOr<std::vector<Ref<Batch>>>> answer;
      log_->Read(at, size_t{1} << 20, answer.callback());
      auto read = answer.Wait();
      EXPECT_EQ(read.status(), absl::OkStatus());
      if (!read.ok() || read->empty()) return all;
      for (const auto& batch : *read) {
        for (uint32_t i = 0; i < batch->count(); ++i)
          all.emplace_back(MessageView(batch->message(i)).data());
        at = batch->end();
      }
    }
  }
  absl::StatusOr<BackupReport> Backup(const std::string& name, const std::string& base = "") {
    return store_->Backup(
        {.folder = FolderOf(name), .base = base.empty() ? "" : FolderOf(base), .created = {}});
  }
  std::string FolderOf(const std::string& name) const {
    return folder_.path() + "/backups/" + name;
  }
  // Of the backup's segments, how many have another name elsewhere.
  int SharedSegments(const std::string& name) const {
    int shared = 0;
    for (const auto& entry : fs::directory_iterator(FolderOf(name) + "/journal")) {
      shared += fs::hard_link_count(entry.path()) > 1 ? 1 : 0;
    }
    return shared;
  }
  absl::Status RestoreTo(const std::string& name, const std::string& to) {
    return Restore(files_, FolderOf(name), to, nullptr).status();
  }
  std::vector<std::string> DamagesOf(const std::string& folder) {
    auto report = Verify(folder, nullptr);
    EXPECT_EQ(report.status(), absl::OkStatus());
    return report.ok() ? report->damages : std::vector<std::string>{"not verified"};
  }
  std::string FirstSegmentOf(const std::string& name) const {
    std::string first = "~";
    for (const auto& entry : fs::directory_iterator(FolderOf(name) + "/journal")) {
      first = std::min(first, entry.path().string());
    }
    return first;
  }

  TempFolder folder_;
  const std::string data_ = folder_.path() + "/data";
  const std::string restored_ = folder_.path() + "/restored";
  FaultFiles files_;
  SystemClock clock_;
  StoreMetrics metrics_;
  std::unique_ptr<LocalBackend> store_;
  std::shared_ptr<TopicLog> log_;
};

TEST_F(LocalBackupTest, ARestoredStoreHasWhatWasThereWhenTheBackupBegan) {
  std::vector<std::string> sent = Fill("a");
  auto report = Backup("one");
  ASSERT_EQ(report.status(), absl::OkStatus());
  Fill("b");
  EXPECT_THAT(DamagesOf(FolderOf("one")), IsEmpty());
  ASSERT_EQ(RestoreTo("one", restored_), absl::OkStatus());
  EXPECT_THAT(DamagesOf(restored_), IsEmpty());
  ASSERT_EQ(Open(restored_), absl::OkStatus());
  EXPECT_EQ(ReadAll(), sent);
  // And goes on.
  sent.push_back("more");
  EXPECT_EQ(Append("more"), absl::OkStatus());
  EXPECT_EQ(ReadAll(), sent);
}

TEST_F(LocalBackupTest, FinishedSegmentsAreSharedWithTheStoreAndTheLastOneIsNot) {
  Fill("a");
  auto report = Backup("one");
  ASSERT_EQ(report.status(), absl::OkStatus());
  EXPECT_GE(report->linked_bytes, 3 * kSegmentBytes);
  EXPECT_LE(report->copied_bytes, kSegmentBytes);
  EXPECT_EQ(report->bytes, report->linked_bytes + report->copied_bytes);
  EXPECT_EQ(SharedSegments("one"), 3);
}

TEST_F(LocalBackupTest, WhatABackupLinksIsSynced) {
  Fill("a");
  ASSERT_EQ(Backup("one").status(), absl::OkStatus());
  const auto synced = files_.synced();
  for (const auto& entry : fs::directory_iterator(FolderOf("one") + "/journal")) {
    const std::string path =
        PartialFolder(FolderOf("one")) + "/journal/" + entry.path().filename().string();
    EXPECT_TRUE(synced.contains(path)) << path;
  }
}

TEST_F(LocalBackupTest, WithoutLinksTheSecondBackupCopiesOnlyWhatIsNew) {
  files_.SetNoLinks(true);
  Fill("a");
  auto full = Backup("one");
  ASSERT_EQ(full.status(), absl::OkStatus());
  EXPECT_EQ(full->linked_bytes, 0);
  // Between backups there are links; from the store there are none.
  files_.SetNoLinks(false);
  files_.SetNoLinksFrom(data_);
  Fill("b", 30);
  auto second = Backup("two", "one");
  ASSERT_EQ(second.status(), absl::OkStatus());
  EXPECT_GE(second->linked_bytes, 3 * kSegmentBytes - 4096);
  EXPECT_LE(second->copied_bytes, full->copied_bytes / 2);
  EXPECT_EQ(SharedSegments("two"), 3);
  // Each is complete by itself.
  const std::vector<std::string> all = ReadAll();
  fs::remove_all(FolderOf("one"));
  ASSERT_EQ(RestoreTo("two", restored_), absl::OkStatus());
  ASSERT_EQ(Open(restored_), absl::OkStatus());
  EXPECT_EQ(ReadAll(), all);
}

TEST_F(LocalBackupTest, TheBaseIsAskedForContentsAndNotForNames) {
  Fill("a");
  ASSERT_EQ(Backup("one").status(), absl::OkStatus());
  // Another history with segments of the same numbers and sizes.
  ASSERT_EQ(Open(folder_.path() + "/other"), absl::OkStatus());
  CreateTopic(1);
  const std::vector<std::string> sent = Fill("z");
  files_.SetNoLinksFrom(folder_.path() + "/other");
  ASSERT_EQ(Backup("two", "one").status(), absl::OkStatus());
  ASSERT_EQ(RestoreTo("two", restored_), absl::OkStatus());
  ASSERT_EQ(Open(restored_), absl::OkStatus());
  EXPECT_EQ(ReadAll(), sent);
}

TEST_F(LocalBackupTest, SegmentsStayWhileTheyAreCopiedAndGoAfterwards) {
  files_.SetNoLinks(true);
  const std::vector<std::string> sent = Fill("a");
  const uint64_t before = store_->stats().disk_bytes;
  bool trimmed = false;
  BackupRequest request{.folder = FolderOf("one"), .base = "", .created = {}};
  request.progress = [&](uint64_t, uint64_t) {
    if (!std::exchange(trimmed, true)) {
      log_->Trim(log_->extent().next);
      EXPECT_EQ(store_->maintenance().Checkpoint(), absl::OkStatus());
      store_->maintenance().RunOnce();
      EXPECT_EQ(store_->stats().disk_bytes, before);
    }
    return absl::OkStatus();
  };
  ASSERT_EQ(store_->Backup(std::move(request)).status(), absl::OkStatus());
  store_->maintenance().RunOnce();
  EXPECT_LT(store_->stats().disk_bytes, before / 2);
  ASSERT_EQ(RestoreTo("one", restored_), absl::OkStatus());
  ASSERT_EQ(Open(restored_), absl::OkStatus());
  EXPECT_EQ(ReadAll(), sent);
}

// Which segments are deleted is a matter of what they hold, not of their order.
TEST_F(LocalBackupTest, AJournalWithAGapIsBackedUpAndVerifiedAsWell) {
  Fill("a", 50);
  CreateTopic(2);
  const std::shared_ptr<TopicLog> other = store_->OpenLog(TopicId(2));
  for (int i = 0; i < 4; ++i) {
    // Each in a segment of its own, and longer than what is in the one before.
    Answer<absl::Status> answer;
    other->Append(MakeBatch({std::string(60'000, '.')}), answer.callback());
    ASSERT_EQ(answer.Wait(), absl::OkStatus());
  }
  Fill("b", 50);
  other->Trim(other->extent().next);
  ASSERT_EQ(store_->maintenance().Checkpoint(), absl::OkStatus());
  store_->maintenance().RunOnce();
  const std::vector<std::string> sent = ReadAll();
  ASSERT_EQ(sent.size(), 100);
  ASSERT_EQ(Backup("one").status(), absl::OkStatus());
  std::vector<uint64_t> segments;
  for (const auto& entry : fs::directory_iterator(FolderOf("one") + "/journal")) {
    segments.push_back(*SegmentSequence(entry.path().filename().string()));
  }
  std::sort(segments.begin(), segments.end());
  ASSERT_GT(segments.back() - segments.front() + 1, segments.size()) << "there should be a gap";
  EXPECT_THAT(DamagesOf(FolderOf("one")), IsEmpty());
  ASSERT_EQ(RestoreTo("one", restored_), absl::OkStatus());
  ASSERT_EQ(Open(restored_), absl::OkStatus());
  EXPECT_EQ(ReadAll(), sent);
}

TEST_F(LocalBackupTest, ABackupIsNoStore) {
  Fill("a", 3);
  ASSERT_EQ(Backup("one").status(), absl::OkStatus());
  const absl::Status status = Open(FolderOf("one"));
  EXPECT_EQ(ReasonOf(status), Reason::kDataFolderUnusable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("sluice admin restore"));
  EXPECT_FALSE(fs::exists(FolderOf("one") + "/LOCK"));
}

TEST_F(LocalBackupTest, VerifyingChangesNothingInABackup) {
  Fill("a");
  ASSERT_EQ(Backup("one").status(), absl::OkStatus());
  const auto names = [&] {
    std::vector<std::string> all;
    for (const auto& entry : fs::recursive_directory_iterator(FolderOf("one"))) {
      all.push_back(entry.path().string() + " " +
                    (entry.is_regular_file() ? std::to_string(entry.file_size()) : ""));
    }
    std::sort(all.begin(), all.end());
    return all;
  };
  const std::vector<std::string> before = names();
  auto report = Verify(FolderOf("one"), nullptr);
  ASSERT_EQ(report.status(), absl::OkStatus());
  EXPECT_GT(report->backup_files, 5);
  EXPECT_EQ(report->messages, 150);
  EXPECT_EQ(report->topics, 1);
  EXPECT_EQ(names(), before);
}

TEST_F(LocalBackupTest, ANameIsTakenOnce) {
  ASSERT_EQ(Backup("one").status(), absl::OkStatus());
  EXPECT_EQ(ReasonOf(Backup("one").status()), Reason::kBackupExists);
  EXPECT_EQ(ReasonOf(Backup("two", "none").status()), Reason::kBackupNotFound);
  EXPECT_FALSE(fs::exists(PartialFolder(FolderOf("two"))));
}

TEST_F(LocalBackupTest, ARestoreNeedsAnEmptyFolder) {
  Fill("a", 3);
  ASSERT_EQ(Backup("one").status(), absl::OkStatus());
  fs::create_directories(restored_);
  std::ofstream(restored_ + "/precious") << "x";
  const absl::Status status = RestoreTo("one", restored_);
  EXPECT_EQ(ReasonOf(status), Reason::kDataFolderUnusable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("precious"));
  EXPECT_TRUE(fs::exists(restored_ + "/precious"));
}

TEST_F(LocalBackupTest, DamageInABackupIsToldWithItsFile) {
  Fill("a");
  ASSERT_EQ(Backup("one").status(), absl::OkStatus());
  const std::string segment = FirstSegmentOf("one");
  // A copy of its own, so that the store's stays well.
  fs::copy_file(segment, segment + ".copy");
  fs::rename(segment + ".copy", segment);
  const auto expect_told = [&](const std::string& what) {
    const absl::Status status = RestoreTo("one", restored_);
    EXPECT_EQ(ReasonOf(status), Reason::kDataLoss);
    EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr(segment), HasSubstr(what)));
    EXPECT_FALSE(fs::exists(restored_ + "/journal"));
    EXPECT_THAT(DamagesOf(FolderOf("one")),
                ElementsAre(AllOf(HasSubstr(segment), HasSubstr(what))));
  };
  {
    std::fstream file(segment, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(5000);
    file.put('#');
  }
  expect_told("checksum");
  fs::resize_file(segment, 5000);
  expect_told("5000 bytes");
  fs::remove(segment);
  expect_told("missing");
}

TEST_F(LocalBackupTest, AManifestThatIsMissingCutOffOrNewerIsRefused) {
  Fill("a", 3);
  ASSERT_EQ(Backup("one").status(), absl::OkStatus());
  const std::string path = ManifestPath(FolderOf("one"));
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  const auto write = [&](const std::string& changed) { std::ofstream(path) << changed; };
  for (size_t size = 0; size < text.str().size(); ++size) {
    write(text.str().substr(0, size));
    EXPECT_FALSE(RestoreTo("one", restored_).ok()) << size;
  }
  for (size_t at = 0; at < text.str().size(); ++at) {
    std::string changed = text.str();
    changed[at] = static_cast<char>(changed[at] ^ 1);
    write(changed);
    EXPECT_FALSE(RestoreTo("one", restored_).ok()) << at;
  }
  write("sluice-backup 2\nwhatever\n");
  const absl::Status newer = RestoreTo("one", restored_);
  EXPECT_EQ(ReasonOf(newer), Reason::kNewerFormat);
  EXPECT_THAT(std::string(newer.message()),
              HasSubstr("backup format 2, but this program knows formats up to 1"));
  fs::remove(path);
  EXPECT_EQ(ReasonOf(RestoreTo("one", restored_)), Reason::kBackupIncomplete);
  EXPECT_EQ(ReasonOf(RestoreTo("none", restored_)), Reason::kBackupNotFound);
}

TEST_F(LocalBackupTest, AFullDiskEndsTheBackupAndNothingElse) {
  files_.SetNoLinks(true);
  std::vector<std::string> sent = Fill("a");
  files_.SetFull(true);
  EXPECT_EQ(ReasonOf(Backup("one").status()), Reason::kStorageFull);
  files_.SetFull(false);
  EXPECT_FALSE(fs::exists(FolderOf("one")));
  EXPECT_FALSE(fs::exists(PartialFolder(FolderOf("one"))));
  EXPECT_FALSE(fs::exists(data_ + "/view.backup"));
  for (const std::string& more : Fill("b")) sent.push_back(more);
  EXPECT_EQ(ReadAll(), sent);
  EXPECT_EQ(Backup("one").status(), absl::OkStatus());
}

TEST_F(LocalBackupTest, ABackupThatIsToldToEndLeavesNothing) {
  Fill("a");
  BackupRequest request{.folder = FolderOf("one"), .base = "", .created = {}};
  request.progress = [](uint64_t, uint64_t) {
    return Error(Reason::kDraining, "the server is shutting down");
  };
  EXPECT_EQ(ReasonOf(store_->Backup(std::move(request)).status()), Reason::kDraining);
  EXPECT_TRUE(fs::is_empty(folder_.path() + "/backups"));
}

// Killed before each of the steps of a backup: there is none of its name then, what is left of it
// is no backup and no store, and the store has everything.
TEST_F(LocalBackupTest, KilledAnywhereItLeavesNoHalfBackup) {
  files_.SetNoLinks(true);
  std::vector<std::string> sent = Fill("a", 50);
  bool done = false;
  int kills = 0;
  for (; !done; ++kills) {
    files_.StopWorldAfter(kills);
    done = Backup("one").ok();
    Crash();
    const std::string partial = PartialFolder(FolderOf("one"));
    if (!done && fs::exists(FolderOf("one"))) {
      // Only the name was not yet durable.
      EXPECT_EQ(ReadManifest(files_, FolderOf("one")).status(), absl::OkStatus());
      fs::remove_all(FolderOf("one"));
    }
    if (fs::exists(partial)) {
      const auto manifest = ReadManifest(files_, partial);
      EXPECT_TRUE(manifest.ok() || ReasonOf(manifest.status()) == Reason::kBackupIncomplete ||
                  ReasonOf(manifest.status()) == Reason::kDataLoss);
      if (fs::exists(partial + "/journal")) {
        EXPECT_EQ(ReasonOf(Open(partial)), Reason::kDataFolderUnusable);
      }
    }
    ASSERT_EQ(Open(data_), absl::OkStatus());
    ASSERT_EQ(ReadAll(), sent);
    EXPECT_FALSE(fs::exists(data_ + "/view.backup"));
  }
  EXPECT_GT(kills, 20);
  ASSERT_EQ(RestoreTo("one", restored_), absl::OkStatus());
  ASSERT_EQ(Open(restored_), absl::OkStatus());
  EXPECT_EQ(ReadAll(), sent);
}

TEST_F(LocalBackupTest, ARestoreThatIsKilledLeavesNoStore) {
  Fill("a", 50);
  ASSERT_EQ(Backup("one").status(), absl::OkStatus());
  int refused = 0;
  for (int kill = 0;; ++kill) {
    files_.StopWorldAfter(kill);
    const bool done = RestoreTo("one", restored_).ok();
    files_.StartWorld();
    if (done) break;
    if (fs::exists(restored_ + "/journal")) {
      const absl::Status status = Open(restored_);
      // Complete but for the last sync.
      if (!status.ok()) {
        EXPECT_EQ(ReasonOf(status), Reason::kDataFolderUnusable);
        ++refused;
      }
    }
    log_ = nullptr;
    store_ = nullptr;
    fs::remove_all(restored_);
  }
  EXPECT_GT(refused, 5);
}

// Publishing at full speed while backups are made one after the other, each upon the one before.
TEST_F(LocalBackupTest, BackupsUnderLoadAreConsistent) {
  store_ = nullptr;
  LocalOptions options = OptionsOf(data_);
  options.run_maintenance = true;
  options.maintenance.checkpoint_bytes = 128 << 10;
  auto opened = LocalBackend::Open(options, clock_, metrics_);
  ASSERT_EQ(opened.status(), absl::OkStatus());
  store_ = *std::move(opened);
  log_ = store_->OpenLog(TopicId(1));
  std::atomic<bool> stop{false};
  std::atomic<int> acknowledged{0};
  std::thread publisher([&] {
    for (int i = 0; !stop; ++i) {
      EXPECT_EQ(Append(std::to_string(i) + "-" + std::string(2000, '.')), absl::OkStatus());
      acknowledged = i + 1;
    }
  });
  std::vector<int> before;
  constexpr int kBackups = 6;
  for (int i = 0; i < kBackups; ++i) {
    while (acknowledged < (i + 1) * 60) std::this_thread::yield();
    before.push_back(acknowledged);
    ASSERT_EQ(Backup(std::to_string(i), i == 0 ? "" : std::to_string(i - 1)).status(),
              absl::OkStatus());
  }
  stop = true;
  publisher.join();
  for (int i = 0; i < kBackups; ++i) {
    const std::string restored = restored_ + std::to_string(i);
    EXPECT_THAT(DamagesOf(FolderOf(std::to_string(i))), IsEmpty());
    ASSERT_EQ(RestoreTo(std::to_string(i), restored), absl::OkStatus());
    ASSERT_EQ(Open(restored), absl::OkStatus());
    const std::vector<std::string> all = ReadAll();
    EXPECT_GE(all.size(), static_cast<size_t>(before[i]));
    for (size_t at = 0; at < all.size(); ++at)
      EXPECT_EQ(all[at].substr(0, all[at].find('-')), std::to_string(at));
  }
}

}  // namespace
}  // namespace sluice
