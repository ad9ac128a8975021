#include "core/storage/local/backup/restore.h"

#include <algorithm>

#include "core/base/error.h"
#include "core/storage/local/backup/copy.h"
#include "fmt/format.h"

namespace sluice {
namespace {

// Whether the file is there in its size.
absl::Status CheckSize(FileSystem& files, const std::string& folder, const BackupFile& file) {
  const std::string path = folder + "/" + file.path;
  auto opened = files.OpenToRead(path);
  if (!opened.ok())
    return BackupDamaged(path, "this file of the backup is missing or cannot be read");
  auto size = (*opened)->Size();
  if (!size.ok()) return size.status();
  if (*size == file.size) return absl::OkStatus();
  return BackupDamaged(
      path, fmt::format("{} bytes, but the backup's manifest says {}", *size, file.size));
}

absl::Status CheckChecksum(const std::string& path, uint64_t checksum, const BackupFile& file) {
  if (checksum == file.checksum) return absl::OkStatus();
  return BackupDamaged(
      path, fmt::format("its checksum is {:016x}, but the backup's manifest says {:016x}", checksum,
                        file.checksum));
}

// A folder that nobody keeps anything in; that of a new file system has one of its own.
absl::Status CheckEmpty(FileSystem& files, const std::string& folder) {
  const auto names = files.List(folder);
  if (!names.ok()) return absl::OkStatus();
  for (const std::string& name : *names) {
    if (name == "lost+found") continue;
    return Error(Reason::kDataFolderUnusable,
                 fmt::format("{}: not empty, it holds {}; a backup is restored into a new folder",
                             folder, name),
                 {{"path", folder}});
  }
  return absl::OkStatus();
}

class Share {
 public:
  Share(uint64_t total, const std::function<void(double)>& progress)
      : total_(total), progress_(progress) {}
  absl::Status operator()(uint64_t bytes) {
    done_ += bytes;
    if (progress_)
      progress_(static_cast<double>(done_) / static_cast<double>(std::max<uint64_t>(total_, 1)));
    return absl::OkStatus();
  }

 private:
  const uint64_t total_;
  const std::function<void(double)>& progress_;
  uint64_t done_ = 0;
};

absl::Status CopyAll(FileSystem& files, const std::string& from, const std::string& to,
                     const BackupManifest& manifest, const Advance& advance) {
  for (const BackupFile& file : manifest.files) {
    const std::string source = from + "/" + file.path;
    auto checksum = Copy(files, source, to + "/" + file.path, file.size, advance);
    if (!checksum.ok()) return checksum.status();
    if (absl::Status status = CheckChecksum(source, *checksum, file); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status RemoveAll(FileSystem& files, const std::string& to) {
  for (const char* folder : {"/journal", "/view"}) {
    if (absl::Status status = files.RemoveFolder(to + folder); !status.ok()) return status;
  }
  return files.Remove(ManifestPath(to));
}

}  // namespace

absl::StatusOr<BackupManifest> Restore(FileSystem& files, const std::string& from,
                                       const std::string& to,
                                       const std::function<void(double)>& progress) {
  auto manifest = ReadManifest(files, from);
  if (!manifest.ok()) return manifest.status();
  if (absl::Status status = CheckEmpty(files, to); !status.ok()) return status;
  // What costs nothing to see is seen before anything is written.
  for (const BackupFile& file : manifest->files) {
    if (absl::Status status = CheckSize(files, from, file); !status.ok()) return status;
  }
  if (absl::Status status = files.CreateFolder(to); !status.ok()) return status;
  if (absl::Status status = WriteIncompleteManifest(files, to); !status.ok()) return status;
  for (const char* folder : {"/journal", "/view"}) {
    if (absl::Status status = files.CreateFolder(to + folder); !status.ok()) return status;
  }
  Share share(manifest->bytes(), progress);
  absl::Status status =
      CopyAll(files, from, to, *manifest, [&](uint64_t bytes) { return share(bytes); });
  if (!status.ok()) {
    RemoveAll(files, to).IgnoreError();
    return status;
  }
  for (const char* folder : {"/journal", "/view", "/..", ""}) {
    if (absl::Status synced = files.SyncFolder(to + folder); !synced.ok()) return synced;
  }
  if (absl::Status removed = files.Remove(ManifestPath(to)); !removed.ok()) return removed;
  if (absl::Status synced = files.SyncFolder(to); !synced.ok()) return synced;
  return manifest;
}

absl::StatusOr<std::vector<std::string>> CheckBackup(FileSystem& files, const std::string& folder,
                                                     const std::function<void(double)>& progress) {
  auto manifest = ReadManifest(files, folder);
  if (!manifest.ok()) return manifest.status();
  Share share(manifest->bytes(), progress);
  std::vector<std::string> damages;
  for (const BackupFile& file : manifest->files) {
    absl::Status status = CheckSize(files, folder, file);
    if (status.ok()) {
      const std::string path = folder + "/" + file.path;
      auto checksum =
          ChecksumOf(files, path, file.size, [&](uint64_t bytes) { return share(bytes); });
      status = checksum.ok() ? CheckChecksum(path, *checksum, file) : checksum.status();
    }
    if (!status.ok()) damages.emplace_back(status.message());
  }
  return damages;
}

bool HoldsManifest(FileSystem& files, const std::string& folder) {
  return files.OpenToRead(ManifestPath(folder)).ok();
}

}  // namespace sluice
