#include "server/backup/backups.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/base/thread_name.h"
#include "fmt/format.h"
#include "server/log/log.h"

namespace sluice::server {
namespace {

constexpr size_t kMaxNameBytes = 64;
constexpr std::string_view kNameCharacters =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";

absl::Status CheckName(std::string_view field, const std::string& name) {
  if (!name.empty() && name.size() <= kMaxNameBytes && name.front() != '-' &&
      name.find_first_not_of(kNameCharacters) == std::string::npos) {
    return absl::OkStatus();
  }
  return Error(Reason::kInvalidName,
               fmt::format("{}: must be 1 to {} letters, digits, _ and -, not beginning with -",
                           field, kMaxNameBytes),
               {{"field", std::string(field)}, {"value", name}});
}

}  // namespace

Backups::Backups(LocalBackend* store, std::string folder, FileSystem& files, StoreMetrics& metrics)
    : store_(store), folder_(std::move(folder)), files_(files), metrics_(metrics) {
  if (folder_.empty()) return;
  RemovePartial();
  // What was made before a restart counts.
  const auto made = Complete();
  if (!made.empty()) metrics_.last_backup_time.Set(absl::ToUnixSeconds(made.front().first));
}

absl::Status Backups::Check(const BackupOrder& order) const {
  if (absl::Status status = CheckName("name", order.name); !status.ok()) return status;
  if (!order.base.empty()) {
    if (absl::Status status = CheckName("base", order.base); !status.ok()) return status;
  }
  if (order.keep < 0) {
    return Error(Reason::kInvalidRange,
                 fmt::format("keep: {}, but it must not be negative", order.keep),
                 {{"field", "keep"}, {"value", std::to_string(order.keep)}});
  }
  if (store_ == nullptr) {
    return Error(Reason::kBackupsDisabled,
                 "the server keeps messages in memory: there is nothing to back up");
  }
  if (folder_.empty()) {
    return Error(
        Reason::kBackupsDisabled,
        "the server has no folder for backups; its setting backup_dir (--backup-dir) names one",
        {{"field", "backup_dir"}});
  }
  return absl::OkStatus();
}

absl::Status Backups::Start(const BackupOrder& order, std::shared_ptr<BackupListener> listener) {
  if (absl::Status status = Check(order); !status.ok()) return status;
  MutexLock lock(mu_);
  if (stopping_) return Error(Reason::kDraining, "the server is shutting down");
  if (running_) return Error(Reason::kConcurrentChange, "another backup is being made");
  // The one before has ended, but for its thread.
  if (thread_.joinable()) thread_.join();
  running_ = true;
  thread_ = std::thread([this, order, listener = std::move(listener)] { Run(order, listener); });
  return absl::OkStatus();
}

void Backups::Stop() {
  std::thread thread;
  {
    MutexLock lock(mu_);
    stopping_ = true;
    thread = std::move(thread_);
  }
  if (thread.joinable()) thread.join();
}

void Backups::Run(const BackupOrder& order, const std::shared_ptr<BackupListener>& listener) {
  NameThisThread("backup");
  const absl::Time begin = absl::Now();
  const auto made = Make(order, *listener);
  if (made.ok()) {
    metrics_.backups_made.Add();
    metrics_.last_backup_time.Set(absl::ToUnixSeconds(made->created));
    Log("backup made",
        {{"name", order.name},
         {"bytes", std::to_string(made->bytes)},
         {"copied_bytes", std::to_string(made->copied_bytes)},
         {"seconds", fmt::format("{:.1f}", absl::ToDoubleSeconds(absl::Now() - begin))}});
    RemoveOld(order);
  } else {
    metrics_.backups_failed.Add();
    LogWarning("backup failed",
               {{"name", order.name}, {"error", std::string(made.status().message())}});
  }
  // Before the answer: whoever has it may ask for the next one.
  {
    MutexLock lock(mu_);
    running_ = false;
  }
  listener->OnBackup(made);
}

absl::StatusOr<BackupReport> Backups::Make(const BackupOrder& order, BackupListener& listener) {
  BackupRequest request;
  request.folder = PathOf(order.name);
  if (!order.base.empty()) request.base = PathOf(order.base);
  request.progress = [this, &listener](uint64_t done, uint64_t total) {
    if (stopping_) return Error(Reason::kDraining, "the server is shutting down");
    return listener.OnProgress(done, total);
  };
  return store_->Backup(std::move(request));
}

std::vector<std::pair<absl::Time, std::string>> Backups::Complete() const {
  std::vector<std::pair<absl::Time, std::string>> complete;
  const auto names = files_.List(folder_);
  if (!names.ok()) return complete;
  for (const std::string& name : *names) {
    // Only what a request may have made.
    if (!CheckName("name", name).ok()) continue;
    const auto manifest = ReadManifest(files_, PathOf(name));
    if (manifest.ok()) complete.emplace_back(manifest->created, name);
  }
  std::sort(complete.rbegin(), complete.rend());
  return complete;
}

void Backups::RemovePartial() {
  const auto names = files_.List(folder_);
  if (!names.ok()) return;
  for (const std::string& name : *names) {
    const auto backup = NameOfPartial(name);
    if (!backup || !CheckName("name", std::string(*backup)).ok() ||
        !LooksLikeBackup(files_, PathOf(name)))
      continue;
    const absl::Status status = files_.RemoveFolder(PathOf(name));
    if (status.ok()) {
      Log("unfinished backup removed", {{"name", name}});
    } else {
      LogWarning("an unfinished backup stays",
                 {{"name", name}, {"error", std::string(status.message())}});
    }
  }
}

void Backups::RemoveOld(const BackupOrder& order) {
  if (order.keep == 0) return;
  const auto complete = Complete();
  for (size_t i = static_cast<size_t>(order.keep); i < complete.size(); ++i) {
    const std::string& name = complete[i].second;
    if (name == order.name) continue;
    // First under another name, so that what is left of it after a kill is no backup and is removed
    // at the next start.
    absl::Status status = files_.Rename(PathOf(name), PartialFolder(PathOf(name)));
    if (status.ok()) status = files_.RemoveFolder(PartialFolder(PathOf(name)));
    if (status.ok()) {
      Log("old backup removed", {{"name", name}});
    } else {
      LogWarning("an old backup stays", {{"name", name}, {"error", std::string(status.message())}});
    }
  }
}

}  // namespace sluice::server
