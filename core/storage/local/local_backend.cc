#include "core/storage/local/local_backend.h"

#include <utility>

#include "core/base/error.h"
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
  const bool sync = options_.durability == Durability::kFsync;
  auto lock = FolderLock::Take(options_.data_dir);
  if (!lock.ok()) return lock.status();
  lock_ = *std::move(lock);
  // The journal first: its header says whether this program may read the folder at all.
  auto journal = Journal::Open(*options_.files, options_.data_dir + "/journal",
                               {.segment_bytes = options_.segment_bytes, .sync = sync});
  if (!journal.ok()) return journal.status();
  journal_ = *std::move(journal);
  if (absl::Status status = journal_->CheckFormat(); !status.ok()) return status;
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
      [this](uint64_t segment, const DamagedStretch& stretch) {
        ++damaged_;
        if (!stretch.header || !IsNewBatch(stretch.header->kind)) return;
        if (auto log = catalogue_->Log(TopicId(stretch.header->id))) {
          log->ReplayedDamage(Offset(stretch.header->first), stretch.header->count, {segment, stretch.begin});
        }
      });
  if (!replayed.ok()) return replayed;
  for (const auto& log : catalogue_->Logs()) log->ReplayEnded();
  maintenance_ = std::make_unique<Maintenance>(*context_, *catalogue_, clock_, position, options_.maintenance);
  return absl::OkStatus();
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

std::string_view LocalBackend::durability() const {
  return options_.durability == Durability::kFsync ? "fsync" : "os";
}

}  // namespace sluice
