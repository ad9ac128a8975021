// Backups of the running store, made for Admin.CreateCheckpoint: folders below one folder that the
// server's operator chose, so that a request can name nothing else. One at a time, on a thread of
// its own.
//
//   Backups backups(store, options.backup_dir, files, metrics.store);
//   backups.Start({.name = "monday", .base = "sunday"}, listener);
//   backups.Stop();                                       // before the store is closed
//
// Thread rule: every member may be called from any thread; Start never blocks. The listener is
// called by the backup's thread.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "core/base/mutex.h"
#include "core/metrics/metrics.h"
#include "core/storage/local/local_backend.h"

namespace sluice::server {

struct BackupOrder {
  std::string name;
  // An earlier one to share files with; none when empty.
  std::string base;
  // Once it is made, only so many of the newest stay; 0 for all.
  int keep = 0;
};

class BackupListener {
 public:
  virtual ~BackupListener() = default;
  // An error ends the backup with it.
  virtual absl::Status OnProgress(uint64_t done_bytes, uint64_t total_bytes) = 0;
  // Called once, at the end.
  virtual void OnBackup(const absl::StatusOr<BackupReport>& made) = 0;
};

class Backups {
 public:
  // `store` is null when messages are kept in memory; `folder` empty when there are to be no
  // backups. Unfinished ones in it are removed: no other server may use it.
  Backups(LocalBackend* store, std::string folder, FileSystem& files, StoreMetrics& metrics);
  ~Backups() { Stop(); }

  // INVALID_ARGUMENT, BACKUPS_DISABLED, CONCURRENT_CHANGE while another is made, DRAINING. The
  // listener is not called then.
  absl::Status Start(const BackupOrder& order, std::shared_ptr<BackupListener> listener)
      EXCLUDES(mu_);

  // Ends what is being made, and refuses more.
  void Stop() EXCLUDES(mu_);

 private:
  absl::Status Check(const BackupOrder& order) const;
  std::string PathOf(const std::string& name) const { return folder_ + "/" + name; }
  void Run(const BackupOrder& order, const std::shared_ptr<BackupListener>& listener) EXCLUDES(mu_);
  absl::StatusOr<BackupReport> Make(const BackupOrder& order, BackupListener& listener);
  // The complete ones, the newest first.
  std::vector<std::pair<absl::Time, std::string>> Complete() const;
  void RemoveOld(const BackupOrder& order);
  // What a server left that was killed while it made a backup, or removed one.
  void RemovePartial();

  LocalBackend* const store_;
  const std::string folder_;
  FileSystem& files_;
  StoreMetrics& metrics_;
  std::atomic<bool> stopping_{false};

  Mutex mu_;
  bool running_ GUARDED_BY(mu_) = false;
  std::thread thread_ GUARDED_BY(mu_);
};

}  // namespace sluice::server
