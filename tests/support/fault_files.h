// A file system that can be told to fail: to stop the world after so many operations, to lose what
// was not synced, to be full, to fail syncs.
//
// Thread rule: every member may be called from any thread.
#pragma once

#include <atomic>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/base/mutex.h"
#include "core/storage/local/file_system.h"

namespace sluice {

class FaultFiles final : public FileSystem {
 public:
  // From now on (after so many more changing operations) nothing changes on the disk any more.
  void StopWorld() { left_ = 0; }
  void StopWorldAfter(int operations) {
    left_ = operations;
    MutexLock lock(mu_);
    unsynced_.clear();
  }
  void StartWorld() { left_ = kForever; }
  bool stopped() const { return left_ <= 0; }

  // Power is lost: what was written to a file since its last sync is undone.
  void LoseUnsynced() EXCLUDES(mu_) {
    MutexLock lock(mu_);
    for (auto it = unsynced_.rbegin(); it != unsynced_.rend(); ++it) {
      auto file = real_.Open(*it->name);
      if (!file.ok()) continue;
      std::vector<iovec> parts = {{it->before.data(), it->before.size()}};
      (*file)->Write(it->offset, parts).IgnoreError();
    }
    unsynced_.clear();
  }

  // No file can grow.
  void SetFull(bool full) { full_ = full; }
  // Nothing can be written, not even where space was allocated, as on btrfs: half of it is, and
  // then there is no space.
  void SetNoSpace(bool no_space) { no_space_ = no_space; }
  void FailSyncs(bool fail, Reason why = Reason::kStorageUnavailable) {
    sync_reason_ = why;
    fail_syncs_ = fail;
  }
  // Reading fails, as of a disk with a bad place.
  void FailReads(bool fail) { fail_reads_ = fail; }
  // As if every folder were on a file system of its own.
  void SetNoLinks(bool no_links) { no_links_ = no_links; }
  // As if this folder were.
  void SetNoLinksFrom(const std::string& folder) EXCLUDES(mu_) {
    MutexLock lock(mu_);
    no_links_from_ = folder;
  }
  // Paths of the files that were synced, as they were opened.
  std::set<std::string> synced() EXCLUDES(mu_) {
    MutexLock lock(mu_);
    return synced_;
  }
  // Called when a sync begins.
  void OnSync(std::function<void()> fn) EXCLUDES(mu_) {
    MutexLock lock(mu_);
    on_sync_ = std::move(fn);
  }

  absl::StatusOr<std::vector<std::string>> List(const std::string& folder) override {
    return real_.List(folder);
  }
  absl::Status CreateFolder(const std::string& folder) override {
    return real_.CreateFolder(folder);
  }
  absl::StatusOr<std::unique_ptr<File>> Create(const std::string& path) override {
    if (!MayChange()) return Stopped();
    {
      MutexLock lock(mu_);
      names_.erase(path);
    }
    return Wrap(real_.Create(path), path);
  }
  absl::StatusOr<std::unique_ptr<File>> Open(const std::string& path) override {
    return Wrap(real_.Open(path), path);
  }
  absl::StatusOr<std::unique_ptr<File>> OpenToRead(const std::string& path) override {
    return Wrap(real_.OpenToRead(path), path);
  }
  absl::Status Rename(const std::string& from, const std::string& to) override EXCLUDES(mu_) {
    if (!MayChange()) return Stopped();
    MutexLock lock(mu_);
    if (auto it = names_.find(from); it != names_.end()) {
      *it->second = to;
      names_[to] = std::move(it->second);
      names_.erase(it);
    }
    return real_.Rename(from, to);
  }
  absl::Status Remove(const std::string& path) override {
    return MayChange() ? real_.Remove(path) : Stopped();
  }
  absl::Status RemoveFolder(const std::string& folder) override {
    return MayChange() ? real_.RemoveFolder(folder) : Stopped();
  }
  absl::StatusOr<bool> Link(const std::string& from, const std::string& to) override {
    if (!MayChange()) return Stopped();
    MutexLock lock(mu_);
    const bool apart =
        no_links_ || (!no_links_from_.empty() && from.rfind(no_links_from_ + "/", 0) == 0);
    return apart ? false : real_.Link(from, to);
  }
  bool SameFile(const std::string& a, const std::string& b) override {
    return real_.SameFile(a, b);
  }
  absl::Status SyncFolder(const std::string& folder) override {
    return MayChange() ? real_.SyncFolder(folder) : Stopped();
  }
  absl::StatusOr<uint64_t> FreeBytes(const std::string& folder) override {
    return real_.FreeBytes(folder);
  }

 private:
  static constexpr int kForever = 1 << 30;

  // What a file is called now; shared by all who have it open.
  using Name = std::shared_ptr<std::string>;

  struct Undo {
    Name name;
    uint64_t offset = 0;
    std::string before;
  };

  class FaultFile final : public File {
   public:
    FaultFile(FaultFiles& files, std::unique_ptr<File> real, Name name)
        : files_(files), real_(std::move(real)), name_(std::move(name)) {}

    absl::Status Write(uint64_t offset, std::vector<iovec>& parts) override {
      if (!files_.MayChange()) return Stopped();
      size_t size = 0;
      for (const iovec& part : parts) size += part.iov_len;
      if (files_.full_ && offset + size > real_->Size().value_or(0)) {
        return Error(Reason::kStorageFull, "write: no space left on device");
      }
      if (files_.no_space_) return WriteHalf(offset, parts);
      Undo undo{name_, offset, std::string(size, '\0')};
      if (auto read = real_->Read(offset, undo.before.data(), size); !read.ok())
        return read.status();
      {
        MutexLock lock(files_.mu_);
        files_.unsynced_.push_back(std::move(undo));
      }
      return real_->Write(offset, parts);
    }
    absl::StatusOr<size_t> Read(uint64_t offset, char* out, size_t size) const override {
      if (files_.fail_reads_) {
        return Error(Reason::kStorageUnavailable, "read: input/output error",
                     {{"path", *name_}, {"operation", "read"}, {"errno", "5"}});
      }
      return real_->Read(offset, out, size);
    }
    absl::Status Sync() override {
      if (files_.fail_syncs_) {
        return Error(files_.sync_reason_, "fdatasync: input/output error",
                     {{"path", *name_}, {"operation", "fdatasync"}, {"errno", "5"}});
      }
      if (!files_.MayChange()) return Stopped();
      MutexLock lock(files_.mu_);
      if (files_.on_sync_) files_.on_sync_();
      files_.synced_.insert(*name_);
      std::erase_if(files_.unsynced_, [this](const Undo& undo) { return undo.name == name_; });
      return absl::OkStatus();
    }
    absl::Status Allocate(uint64_t size) override {
      if (files_.full_) return Error(Reason::kStorageFull, "fallocate: no space left on device");
      return files_.MayChange() ? real_->Allocate(size) : Stopped();
    }
    absl::Status Truncate(uint64_t size) override {
      return files_.MayChange() ? real_->Truncate(size) : Stopped();
    }
    absl::StatusOr<uint64_t> Size() const override { return real_->Size(); }

    void Renamed(const std::string& path) override { real_->Renamed(path); }

   private:
    absl::Status WriteHalf(uint64_t offset, std::vector<iovec>& parts) {
      parts.resize((parts.size() + 1) / 2);
      if (absl::Status status = real_->Write(offset, parts); !status.ok()) return status;
      return Error(Reason::kStorageFull, "write: no space left on device",
                   {{"path", *name_}, {"operation", "write"}, {"errno", "28"}});
    }

    FaultFiles& files_;
    const std::unique_ptr<File> real_;
    const Name name_;
  };

  bool MayChange() { return left_ > 0 && left_.fetch_sub(1) > 0; }
  static absl::Status Stopped() {
    return Error(Reason::kStorageUnavailable, "the world stands still");
  }
  absl::StatusOr<std::unique_ptr<File>> Wrap(absl::StatusOr<std::unique_ptr<File>> real,
                                             const std::string& path) {
    if (!real.ok()) return real.status();
    MutexLock lock(mu_);
    Name& name = names_[path];
    if (name == nullptr) name = std::make_shared<std::string>(path);
    return std::make_unique<FaultFile>(*this, *std::move(real), name);
  }

  FileSystem& real_ = PosixFileSystem();
  std::atomic<int> left_{kForever};
  std::atomic<bool> full_{false};
  std::atomic<bool> fail_syncs_{false};
  std::atomic<Reason> sync_reason_{Reason::kStorageUnavailable};
  std::atomic<bool> no_links_{false};
  std::atomic<bool> no_space_{false};
  std::atomic<bool> fail_reads_{false};

  Mutex mu_;
  std::map<std::string, Name> names_ GUARDED_BY(mu_);
  std::vector<Undo> unsynced_ GUARDED_BY(mu_);
  std::set<std::string> synced_ GUARDED_BY(mu_);
  std::function<void()> on_sync_ GUARDED_BY(mu_);
  std::string no_links_from_ GUARDED_BY(mu_);
};

}  // namespace sluice
