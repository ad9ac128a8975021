// What a backup consists of, as the file backup.manifest in its folder: text, so that people and
// scripts can read it.
//
//   sluice-backup 1                                    the format's version
//   created 2026-01-01T12:00:00.000000Z
//   position 7 123456                                  the end of the journal: segment, offset
//   file 67108864 0123456789abcdef journal/00000000000000000006.journal
//   ...                                                size, XXH3-64, path below the folder
//   end fedcba9876543210                               XXH3-64 of everything above
//
// The file is there before all others, saying "incomplete" in its second line, and is replaced when
// they are durable: so a folder that is a backup, or was to be one, can always be told from a
// store.
//
// Thread rule: a value type and pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/storage/local/file_system.h"
#include "core/storage/local/journal/journal.h"

namespace sluice {

inline constexpr uint64_t kBackupVersion = 1;

struct BackupFile {
  // Below the backup's folder: "journal/NAME" or "view/NAME".
  std::string path;
  uint64_t size = 0;
  uint64_t checksum = 0;
};

struct BackupManifest {
  absl::Time created;
  JournalPosition position;
  std::vector<BackupFile> files;

  uint64_t bytes() const;
  // Null when it has no such file.
  const BackupFile* Find(std::string_view path) const;
};

// DATA_LOSS that names the file.
absl::Status BackupDamaged(const std::string& path, std::string_view what);

// Where a folder has its manifest.
std::string ManifestPath(const std::string& folder);

std::string Encode(const BackupManifest& manifest);
// BACKUP_INCOMPLETE, NEWER_FORMAT, DATA_LOSS. `path` is for the messages.
absl::StatusOr<BackupManifest> DecodeManifest(std::string_view text, const std::string& path);

// The same of a folder; BACKUP_NOT_FOUND when there is no such folder, BACKUP_INCOMPLETE when it
// has no manifest.
absl::StatusOr<BackupManifest> ReadManifest(FileSystem& files, const std::string& folder);
// Replaces it at once, and is durable.
absl::Status WriteManifest(FileSystem& files, const std::string& folder,
                           const BackupManifest& manifest);
// Says that what is in the folder is not finished.
absl::Status WriteIncompleteManifest(FileSystem& files, const std::string& folder);

}  // namespace sluice
