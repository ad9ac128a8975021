// Makes a store of a backup again, and checks a backup without making anything of it.
//
//   Restore(PosixFileSystem(), "/backups/monday", "/var/lib/sluice", progress);
//
// Until the new folder is complete it has a manifest that says "incomplete", so that no server
// opens half of it.
//
// Thread rule: functions; they block for as long as the disk takes.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/storage/local/backup/manifest.h"

namespace sluice {

// `to` must be missing or empty (DATA_FOLDER_UNUSABLE). Errors of the backup name the file:
// DATA_LOSS for one that is missing, too short or not what it was; BACKUP_NOT_FOUND,
// BACKUP_INCOMPLETE, NEWER_FORMAT. `progress` is told the share that is done.
absl::StatusOr<BackupManifest> Restore(FileSystem& files, const std::string& from,
                                       const std::string& to,
                                       const std::function<void(double)>& progress);

// One line for each file of the backup that is missing or damaged. Errors as above, of the
// manifest.
absl::StatusOr<std::vector<std::string>> CheckBackup(FileSystem& files, const std::string& folder,
                                                     const std::function<void(double)>& progress);

// Whether the folder is a backup, or was to be one: not to be opened as a store.
bool HoldsManifest(FileSystem& files, const std::string& folder);

}  // namespace sluice
