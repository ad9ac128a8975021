// Writes a backup: a folder from which a store can be made again (restore.h), complete by itself.
//
//   BackupWriter writer(files, request);
//   writer.Begin();                                   // NAME.partial is there, and says that it is
//   incomplete writer.Write(position, sources, done_with);       // the files, the manifest, and
//   its name
//
// A file that does not change any more gets a second name where that can be, so that it costs no
// space; else it is copied, unless the base, an earlier backup beside this one, has the same: then
// that one gets a second name. The manifest comes last, and only then the folder its name.
//
// Thread rule: one thread; it blocks for as long as the disk takes.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "core/storage/local/backup/copy.h"
#include "core/storage/local/backup/manifest.h"

namespace sluice {

struct BackupRequest {
  // To be made; its parent is made when missing.
  std::string folder;
  // An earlier backup that shares files with this one; none when empty.
  std::string base;
  // Now, by the wall clock.
  absl::Time created;
  // Told how far it is, in bytes; an error ends the backup with it. May be null.
  std::function<absl::Status(uint64_t done, uint64_t total)> progress = {};
};

struct BackupReport {
  absl::Time created;
  JournalPosition position;
  uint64_t files = 0;
  uint64_t bytes = 0;
  // Of these: written anew, and shared with the store or with the base.
  uint64_t copied_bytes = 0;
  uint64_t linked_bytes = 0;
};

// A file that belongs into a backup.
struct BackupSource {
  // Its path there and the file that it is now.
  std::string path;
  std::string from;
  uint64_t size = 0;
  // Will never change; else the first `size` bytes will not.
  bool frozen = true;
};

// How an unfinished backup is called, and one that is being removed.
std::string PartialFolder(const std::string& folder);
// The backup's name in the name of its unfinished folder; nothing for another name.
std::optional<std::string_view> NameOfPartial(std::string_view name);
// Whether `folder` holds nothing that does not belong into a backup.
bool LooksLikeBackup(FileSystem& files, const std::string& folder);

class BackupWriter {
 public:
  BackupWriter(FileSystem& files, BackupRequest request)
      : files_(files), request_(std::move(request)) {}
  // Removes what was not finished.
  ~BackupWriter();

  // BACKUP_EXISTS; for the base BACKUP_NOT_FOUND, BACKUP_INCOMPLETE, DATA_LOSS.
  absl::Status Begin();
  // `done_with` is told of each source, in their order, when it is not needed any more. REQUIRES:
  // Begin() was OK.
  absl::StatusOr<BackupReport> Write(JournalPosition position,
                                     const std::vector<BackupSource>& sources,
                                     const std::function<void(const BackupSource&)>& done_with);

 private:
  std::string Partial() const { return PartialFolder(request_.folder); }
  std::string TargetOf(const BackupSource& source) const { return Partial() + "/" + source.path; }
  absl::StatusOr<bool> Link(const std::string& from, const std::string& to);
  absl::Status LinkWhatCan(const std::vector<BackupSource>& sources);
  absl::Status CheckSpace(const std::vector<BackupSource>& sources) const;
  absl::StatusOr<BackupFile> Take(const BackupSource& source, bool linked);
  absl::StatusOr<bool> TakeFromBase(const BackupSource& source, const BackupFile& of_base);
  absl::Status Finish(const BackupManifest& manifest);
  absl::Status Advanced(uint64_t bytes);

  FileSystem& files_;
  const BackupRequest request_;
  bool begun_ = false;
  bool finished_ = false;
  std::optional<BackupManifest> base_;
  std::vector<bool> linked_;
  BackupReport report_;
  uint64_t done_ = 0;
};

}  // namespace sluice
