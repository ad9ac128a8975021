#include "core/storage/local/local_backend.h"

#include <utility>

#include "core/base/error.h"
#include "core/storage/local/backup/restore.h"
#include "fmt/format.h"

namespace sluice {
namespace {

constexpr size_t kReaderThreads = 2;
constexpr size_t kMaxQueuedReads = 20'000;

}  // namespace

absl::StatusOr<std::unique_ptr<LocalBackend>> LocalBackend::Open(LocalOptions options, const Clock& clock,
                                                                 StoreMetrics& metrics) {
  if (options.files == nullptr) options.files = &PosixFileSystem();
  auto backend = std::unique_ptr<LocalBackend>(new LocalBackend(std::move(options), clock, metrics));
  if (absl::Status status = backend->Recover(); !status.ok()) return status;
  if (backend->options_.run_maintenance) backend->maintenance_->Start();
  return backend;
}

absl::Status LocalBackend::Recover() {
  // What is written into a backup would spoil it, and half of one would look like a store that lost the rest.
  if (HoldsManifest(*options_.files, options_.data_dir)) {
    return Error(Reason::kDataFolderUnusable,
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
  const auto on_damage = [this](uint64_t segment, const DamagedStretch& stretch) { Damaged(segment, stretch); };
  if (absl::Status status = journal_->CheckFormat(on_damage); !status.ok()) return status;
  if (absl::Status status = options_.files->RemoveFolder(ViewCopy()); !status.ok()) return status;
  auto view = View::Open(options_.data_dir + "/view");
  if (!view.ok()) return view.status();
  view_ = *std::move(view);
  auto contents = view_->Load();
  if (!contents.ok()) return contents.status();

  readers_ = std::make_unique<ReaderPool>(kReaderThreads, kMaxQueuedReads);
  committer_ = std::make_unique<Committer>(*journal_, metrics_, clock_, Committer::Options{.sync = sync});
  context_ = std::make_unique<LogContext>(LogContext{*journal_, *view_, *committer_, *readers_, use_, metrics_});
  catalogue_ = std::make_shared<LocalCatalogue>(*context_);
  const JournalPosition position = contents->position;
  if (position.segment != 0 && !journal_->segments().contains(position.segment)) {
    return Error(Reason::kDataLoss,
                 fmt::format("data folder {}: journal segment {}, which the view builds on, is missing",
                             options_.data_dir, SegmentName(position.segment)),
                 {{"path", options_.data_dir}});
  }
  catalogue_->Restore(*contents);
  absl::Status replayed = journal_->Replay(
      position,
      [this](const JournalPosition& at, const RecordHeader& header, std::string_view payload) {
        return catalogue_->Replayed(at, header, payload);
      },
      on_damage);
  if (!replayed.ok()) return replayed;
  warnings_.insert(warnings_.end(), journal_->warnings().begin(), journal_->warnings().end());
  for (const auto& log : catalogue_->Logs()) log->ReplayEnded();
  maintenance_ = std::make_unique<Maintenance>(*context_, *catalogue_, clock_, position, options_.maintenance);
  return absl::OkStatus();
}

void LocalBackend::Damaged(uint64_t segment, const DamagedStretch& stretch) {
  ++damaged_;
  const std::string what = catalogue_ == nullptr ? "the segment's header" : catalogue_->ReplayedDamage(segment, stretch);
  constexpr size_t kMost = 20;
  if (warnings_.size() >= kMost) return;
  warnings_.push_back(fmt::format("{}/journal/{}: bytes {} to {} are damaged{}{}", options_.data_dir, SegmentName(segment),
                                  stretch.begin, stretch.end, what.empty() ? "" : ": ", what));
}

LocalBackend::~LocalBackend() {
  if (!closed_) Close().IgnoreError();
}

std::shared_ptr<TopicLog> LocalBackend::OpenLog(TopicId id) { return catalogue_->Log(id); }

std::shared_ptr<Cursor> LocalBackend::OpenCursor(SubscriptionId id) { return catalogue_->CursorOf(id); }

BackendStats LocalBackend::stats() const {
  BackendStats stats;
  for (const auto& [segment, bytes] : journal_->segments()) stats.disk_bytes += bytes;
  stats.disk_free_bytes = options_.files->FreeBytes(options_.data_dir).value_or(0);
  stats.writable = committer_->writable() && journal_->has_spare();
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
    return Error(Reason::kStorageUnavailable, "closed after a failed write; what was acknowledged is in the journal");
  }
  return maintenance_->Checkpoint();
}

absl::StatusOr<std::vector<BackupSource>> LocalBackend::SourcesUpTo(JournalPosition end) const {
  std::vector<BackupSource> sources;
  const auto add = [&](const std::string& path, const std::string& from, bool frozen) -> absl::Status {
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
    if (absl::Status status = add(path, options_.data_dir + "/" + path, segment < end.segment); !status.ok()) return status;
  }
  auto names = options_.files->List(ViewCopy());
  if (!names.ok()) return names.status();
  for (const std::string& name : *names) {
    if (absl::Status status = add("view/" + name, ViewCopy() + "/" + name, true); !status.ok()) return status;
  }
  return sources;
}

absl::StatusOr<BackupReport> LocalBackend::Backup(BackupRequest request) {
  if (!committer_->writable()) {
    return Error(Reason::kStorageUnavailable, "after a failed write it is unknown what is on the disk; restart the server");
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
      if (const auto segment = SegmentSequence(std::string_view(source.path).substr(source.path.find('/') + 1))) {
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
