// The store for one machine: a folder with a journal, which is the truth, and a RocksDB view of it.
//
//   auto store = LocalBackend::Open({.data_dir = "/var/lib/sluice"}, clock, metrics.store);
//
//   LOCK      held by the process that has the folder open
//   journal/  segments (journal/journal.h)
//   view/     RocksDB (view/view.h)
//   view.backup/  a second name of the view while a backup is made
//   view.damaged/ the view that was, while it is made anew
//
// Opening takes the view as it was at its last checkpoint and replays the journal from there. What
// a crash cut off at the very end of the journal was never acknowledged (under os: may be lost) and
// goes; a record that is damaged anywhere else is DATA_LOSS for those who read it, everything else
// is served. A view that is missing or damaged is made anew: the journal is read from its first
// record on, of which state snapshots (state_snapshot.h) see to it that it is enough.
//
// Thread rule: as storage/backend.h says.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "core/base/clock.h"
#include "core/storage/backend.h"
#include "core/storage/local/backup/backup.h"
#include "core/storage/local/folder_lock.h"
#include "core/storage/local/maintenance.h"
#include "core/storage/local/store_event.h"

namespace rocksdb {
class Env;
}

namespace sluice {

enum class Durability {
  // What is acknowledged survives the machine.
  kFsync,
  // What is acknowledged survives the process.
  kOs,
};

struct LocalOptions {
  std::string data_dir;
  Durability durability = Durability::kFsync;
  uint64_t segment_bytes = uint64_t{64} << 20;
  MaintenanceOptions maintenance = {};
  // False where a test runs maintenance by hand.
  bool run_maintenance = true;
  // Make the view anew, whatever state it is in.
  bool rebuild_view = false;
  FileSystem* files = nullptr;       // the machine's own when null
  rocksdb::Env* view_env = nullptr;  // the same, for the view
  // Told what fails; may be null.
  StoreListener on_event = nullptr;
};

class LocalBackend final : public Backend {
 public:
  // Fails with DATA_FOLDER_IN_USE, DATA_FOLDER_UNUSABLE, NEWER_FORMAT, DATA_LOSS.
  static absl::StatusOr<std::unique_ptr<LocalBackend>> Open(LocalOptions options,
                                                            const Clock& clock,
                                                            StoreMetrics& metrics);
  ~LocalBackend() override;

  Catalogue& catalogue() override { return *catalogue_; }
  std::shared_ptr<TopicLog> OpenLog(TopicId id) override;
  std::shared_ptr<Cursor> OpenCursor(SubscriptionId id) override;
  BackendStats stats() const override;
  absl::Status Close() override;
  std::string_view durability() const override;

  // Makes a backup while everything else goes on; what was durable when it began is in it. One at a
  // time, and ended before Close(). Blocks for as long as the disk takes. `created` of the request
  // is set here. Errors as BackupWriter gives them, STORAGE_UNAVAILABLE, STORAGE_FULL.
  absl::StatusOr<BackupReport> Backup(BackupRequest request);

  // What opening found that an administrator should know: one sentence each, with place and bytes.
  const std::vector<std::string>& warnings() const { return warnings_; }

  Maintenance& maintenance() { return *maintenance_; }

 private:
  LocalBackend(LocalOptions options, const Clock& clock, StoreMetrics& metrics)
      : options_(std::move(options)), clock_(clock), metrics_(metrics) {}

  absl::Status Recover();
  // DATA_LOSS for a view that is damaged, or does not fit the journal.
  absl::StatusOr<View::Contents> OpenView();
  absl::StatusOr<View::Contents> PutViewAside(const absl::Status& why);
  absl::Status RestoreView(const View::Contents& contents);
  absl::Status Replay(JournalPosition from);
  absl::Status NotEnough(uint64_t base);
  bool SnapshotDue() const;
  void Damaged(uint64_t segment, const DamagedStretch& stretch);
  std::string ViewFolder() const { return options_.data_dir + "/view"; }
  std::string DamagedView() const { return options_.data_dir + "/view.damaged"; }
  std::string ViewCopy() const { return options_.data_dir + "/view.backup"; }
  // What a backup consists of, behind the position where the journal ends in it.
  absl::StatusOr<std::vector<BackupSource>> SourcesUpTo(JournalPosition end) const;

  const LocalOptions options_;
  const Clock& clock_;
  StoreMetrics& metrics_;
  std::atomic<uint64_t> damaged_ = 0;
  std::vector<std::string> warnings_;
  bool closed_ = false;

  // In the order in which they need each other.
  std::unique_ptr<FolderLock> lock_;
  SegmentUse use_;
  std::unique_ptr<View> view_;
  std::unique_ptr<Journal> journal_;
  std::unique_ptr<ReaderPool> readers_;
  std::unique_ptr<Committer> committer_;
  std::unique_ptr<LogContext> context_;
  std::shared_ptr<LocalCatalogue> catalogue_;
  std::unique_ptr<Maintenance> maintenance_;
};

}  // namespace sluice
