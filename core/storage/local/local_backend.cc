#include "core/storage/local/local_backend.h"

#include <utility>

#include "core/base/error.h"
#include "core/storage/local/backup/restore.h"
#include "fmt/format.h"

namespace sluice {
namespace {

constexpr size_t kReaderThreads = 2;
constexpr size_t kMaxQueuedReads = 20'000;
constexpr uint32_t kFirstVersionWithSnapshots = 2;

ViewOptions ViewOptionsOf(const LocalOptions& options) {
  ViewOptions view;
  view.env = options.view_env;
  if (options.on_event) {
    view.on_warning = [on_event = options.on_event](std::string_view text) {
      on_event({.kind = StoreEventKind::kView, .message = std::string(text)});
    };
  }
  return view;
}

}  // namespace

absl::StatusOr<std::unique_ptr<LocalBackend>> LocalBackend::Open(LocalOptions options,
                                                                 const Clock& clock,
                                                                 StoreMetrics& metrics) {
  if (options.files == nullptr) options.files = &PosixFileSystem();
  auto backend =
      std::unique_ptr<LocalBackend>(new LocalBackend(std::move(options), clock, metrics));
  if (absl::Status status = backend->Recover(); !status.ok()) return status;
  if (backend->options_.run_maintenance) backend->maintenance_->Start();
  return backend;
}

absl::Status LocalBackend::Recover() {
  // What is written into a backup would spoil it, and half of one would look like a store that lost
  // the rest.
  if (HoldsManifest(*options_.files, options_.data_dir)) {
    return Error(
        Reason::kDataFolderUnusable,
        fmt::format("data folder {}: a backup, or what a restore that was not finished has left; "
                    "`sluice admin restore` makes a store of a backup",
                    options_.data_dir),
        {{"path", options_.data_dir}});
  }
  const bool sync = options_.durability == Durability::kFsync;
  auto lock = FolderLock::Take(options_.data_dir);
  if (!lock.ok()) return lock.status();
  lock_ = *std::move(lock);
  // The journal first: its header says whether this program may read the folder at all.
  auto journal = Journal::Open(*options_.files, options_.data_dir + "/journal",
                               {.segment_bytes = options_.segment_bytes, .sync = sync});
  if (!journal.ok()) return journal.status();
  journal_ = *std::move(journal);
  const auto on_damage = [this](uint64_t segment, const DamagedStretch& stretch) {
    Damaged(segment, stretch);
  };
  if (absl::Status status = journal_->CheckFormat(on_damage); !status.ok()) return status;
  // The second is what RocksDB makes the first of.
  for (const std::string& left : {ViewCopy(), ViewCopy() + ".tmp"}) {
    if (absl::Status status = options_.files->RemoveFolder(left); !status.ok()) return status;
  }
  const bool missing = !journal_->segments().empty() && !options_.files->List(ViewFolder()).ok();
  auto contents = OpenView();
  if (contents.ok() && missing) contents = Error(Reason::kDataLoss, "it is missing");
  if (contents.ok() && options_.rebuild_view) contents = Error(Reason::kDataLoss, "as asked for");
  if (absl::IsDataLoss(contents.status())) contents = PutViewAside(contents.status());
  if (!contents.ok()) return contents.status();

  readers_ = std::make_unique<ReaderPool>(kReaderThreads, kMaxQueuedReads);
  committer_ = std::make_unique<Committer>(
      *journal_, metrics_, clock_, Committer::Options{.sync = sync, .on_event = options_.on_event});
  context_ = std::make_unique<LogContext>(LogContext{*journal_, *view_, *committer_, *readers_,
                                                     use_, metrics_, damaged_, options_.on_event});
  catalogue_ = std::make_shared<LocalCatalogue>(*context_);
  return RestoreView(*contents);
}

absl::StatusOr<View::Contents> LocalBackend::OpenView() {
  if (absl::Status status = options_.files->CreateFolder(ViewFolder()); !status.ok()) return status;
  auto view = View::Open(ViewFolder(), ViewOptionsOf(options_));
  if (!view.ok()) return view.status();
  view_ = *std::move(view);
  if (absl::Status status = view_->Check(); !status.ok()) return status;
  auto contents = view_->Load();
  if (!contents.ok()) return contents.status();
  const JournalPosition position = contents->position;
  if (position.segment != 0 && !journal_->segments().contains(position.segment)) {
    return Error(Reason::kDataLoss,
                 fmt::format("journal segment {}, which the view builds on, is missing",
                             SegmentName(position.segment)));
  }
  return contents;
}

absl::StatusOr<View::Contents> LocalBackend::PutViewAside(const absl::Status& why) {
  view_ = nullptr;
  if (absl::Status status = options_.files->RemoveFolder(DamagedView()); !status.ok())
    return status;
  if (absl::Status status = options_.files->Rename(ViewFolder(), DamagedView()); !status.ok())
    return status;
  warnings_.push_back(fmt::format("data folder {}: the view is made anew from the journal: {}",
                                  options_.data_dir, std::string(why.message())));
  return OpenView();
}

absl::Status LocalBackend::RestoreView(const View::Contents& contents) {
  // Also of a new store, and of one that never came to its first checkpoint: there the whole
  // journal is still there.
  const bool rebuild = contents.position.segment == 0;
  catalogue_->Restore(contents);
  if (rebuild) catalogue_->BeginRebuild();
  if (absl::Status status = Replay(contents.position); !status.ok()) return status;
  if (rebuild) {
    const uint64_t base = catalogue_->FinishRebuild();
    if (absl::Status status = NotEnough(base); !status.ok()) return status;
  }
  for (const auto& log : catalogue_->Logs()) log->ReplayEnded();
  maintenance_ = std::make_unique<Maintenance>(*context_, *catalogue_, clock_, contents.position,
                                               SnapshotDue(), options_.maintenance);
  if (!options_.files->List(DamagedView()).ok()) return absl::OkStatus();
  // So that it is made once. On a full disk it is made again at the next start.
  if (!maintenance_->Checkpoint().ok()) return absl::OkStatus();
  return options_.files->RemoveFolder(DamagedView());
}

absl::Status LocalBackend::Replay(JournalPosition from) {
  absl::Status replayed = journal_->Replay(
      from,
      [this](const JournalPosition& at, const RecordHeader& header, std::string_view payload) {
        return catalogue_->Replayed(at, header, payload);
      },
      [this](uint64_t segment, const DamagedStretch& stretch) { Damaged(segment, stretch); });
  warnings_.insert(warnings_.end(), journal_->warnings().begin(), journal_->warnings().end());
  return replayed;
}

// Whether segments are missing that a view cannot be made without. The old view is left where it
// was then.
absl::Status LocalBackend::NotEnough(uint64_t base) {
  const auto segments = journal_->segments();
  uint64_t missing = base;
  while (segments.contains(missing)) ++missing;
  if (segments.empty() || missing > segments.rbegin()->first) return absl::OkStatus();
  committer_->Stop();
  catalogue_ = nullptr;
  view_ = nullptr;
  if (options_.files->List(DamagedView()).ok()) {
    if (absl::Status status = options_.files->RemoveFolder(ViewFolder()); !status.ok())
      return status;
    if (absl::Status status = options_.files->Rename(DamagedView(), ViewFolder()); !status.ok())
      return status;
  }
  return Error(Reason::kDataLoss,
               fmt::format("data folder {}: the view (RocksDB, in {}) is empty, missing or "
                           "damaged, and the journal is not enough to "
                           "make it anew: {} is missing. Put the view back, or restore a backup",
                           options_.data_dir, ViewFolder(), SegmentName(missing)),
               {{"path", options_.data_dir}});
}

// Segments that a program without state snapshots may have deleted.
bool LocalBackend::SnapshotDue() const {
  const auto segments = journal_->segments();
  if (segments.empty() || segments.begin()->first == 1) return false;
  const auto header = journal_->HeaderOf(segments.begin()->first);
  return header.ok() && header->version < kFirstVersionWithSnapshots;
}

void LocalBackend::Damaged(uint64_t segment, const DamagedStretch& stretch) {
  ++damaged_;
  const std::string what =
      catalogue_ == nullptr ? "the segment's header" : catalogue_->ReplayedDamage(segment, stretch);
  constexpr size_t kMost = 20;
  if (warnings_.size() >= kMost) return;
  warnings_.push_back(fmt::format("{}/journal/{}: bytes {} to {} are damaged{}{}",
                                  options_.data_dir, SegmentName(segment), stretch.begin,
                                  stretch.end, what.empty() ? "" : ": ", what));
}

LocalBackend::~LocalBackend() {
  if (!closed_) Close().IgnoreError();
}

std::shared_ptr<TopicLog> LocalBackend::OpenLog(TopicId id) { return catalogue_->Log(id); }

std::shared_ptr<Cursor> LocalBackend::OpenCursor(SubscriptionId id) {
  return catalogue_->CursorOf(id);
}

BackendStats LocalBackend::stats() const {
  BackendStats stats;
  for (const auto& [segment, bytes] : journal_->segments()) stats.disk_bytes += bytes;
  stats.disk_free_bytes = options_.files->FreeBytes(options_.data_dir).value_or(0);
  stats.writable = committer_->writable() && !committer_->full() && journal_->has_spare();
  stats.damaged_stretches = damaged_;
  return stats;
}

absl::Status LocalBackend::Close() {
  closed_ = true;
  // An open that failed half way has nothing to save.
  if (maintenance_ == nullptr) return absl::OkStatus();
  maintenance_->Stop();
  committer_->Stop();
  readers_->Stop();
  if (!committer_->writable()) {
    return Error(Reason::kStorageUnavailable,
                 "closed after a failed write; what was acknowledged is in the journal");
  }
  if (absl::Status status = journal_->SyncAll(); !status.ok()) return status;
  // The journal has all of it: without a checkpoint the next start replays more. Why there is none
  // was told.
  maintenance_->Checkpoint().IgnoreError();
  return absl::OkStatus();
}

absl::StatusOr<std::vector<BackupSource>> LocalBackend::SourcesUpTo(JournalPosition end) const {
  std::vector<BackupSource> sources;
  const auto add = [&](const std::string& path, const std::string& from,
                       bool frozen) -> absl::Status {
    auto file = options_.files->OpenToRead(from);
    if (!file.ok()) return file.status();
    auto size = (*file)->Size();
    if (!size.ok()) return size.status();
    sources.push_back({path, from, frozen ? *size : end.offset, frozen});
    return absl::OkStatus();
  };
  for (const auto& [segment, bytes] : journal_->segments()) {
    if (segment > end.segment) break;
    const std::string path = "journal/" + SegmentName(segment);
    if (absl::Status status = add(path, options_.data_dir + "/" + path, segment < end.segment);
        !status.ok())
      return status;
  }
  auto names = options_.files->List(ViewCopy());
  if (!names.ok()) return names.status();
  for (const std::string& name : *names) {
    if (absl::Status status = add("view/" + name, ViewCopy() + "/" + name, true); !status.ok())
      return status;
  }
  return sources;
}

absl::StatusOr<BackupReport> LocalBackend::Backup(BackupRequest request) {
  if (!committer_->writable()) {
    return Error(Reason::kStorageUnavailable,
                 "after a failed write it is unknown what is on the disk; restart the server");
  }
  request.created = clock_.WallNow();
  BackupWriter writer(*options_.files, std::move(request));
  if (absl::Status status = writer.Begin(); !status.ok()) return status;
  if (absl::Status status = options_.files->RemoveFolder(ViewCopy()); !status.ok()) return status;
  const auto make = [&]() -> absl::StatusOr<BackupReport> {
    if (absl::Status status = maintenance_->BeginBackup(ViewCopy()); !status.ok()) return status;
    // Not before what the view reflects, and all of it on the disk.
    const JournalPosition end = journal_->end();
    if (absl::Status status = journal_->SyncAll(); !status.ok()) return status;
    auto sources = SourcesUpTo(end);
    if (!sources.ok()) return sources.status();
    return writer.Write(end, *sources, [this](const BackupSource& source) {
      if (const auto segment =
              SegmentSequence(std::string_view(source.path).substr(source.path.find('/') + 1))) {
        maintenance_->KeepFrom(*segment + 1);
      }
    });
  };
  auto made = make();
  maintenance_->EndBackup();
  options_.files->RemoveFolder(ViewCopy()).IgnoreError();
  return made;
}

std::string_view LocalBackend::durability() const {
  return options_.durability == Durability::kFsync ? "fsync" : "os";
}

}  // namespace sluice
