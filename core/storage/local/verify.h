// Reads a stopped store, or a backup, through, from the first byte to the last, and reports what it
// found: every segment, every record and its checksum, every batch record, and every entry of the
// view against the journal; of a backup before all that every file against its manifest. Changes
// nothing in a backup.
//
// Thread rule: a function; the folder must not be in use (DATA_FOLDER_IN_USE).
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace sluice {

struct VerifyReport {
  // Files of a backup; 0 for a store.
  uint64_t backup_files = 0;
  uint64_t segments = 0;
  uint64_t records = 0;
  uint64_t batches = 0;
  uint64_t messages = 0;
  uint64_t bytes = 0;
  uint64_t topics = 0;
  uint64_t subscriptions = 0;
  // What cannot be read at the very end, gone with the next start: a write that was cut off, which
  // was never acknowledged under fsync; or a damaged one, which may have been.
  bool torn_tail = false;
  uint64_t torn_bytes = 0;
  // One line each: the file, the place, what is wrong.
  std::vector<std::string> damages;
};

// `progress` is told the share that is done, 0 to 1.
absl::StatusOr<VerifyReport> Verify(const std::string& data_dir,
                                    const std::function<void(double)>& progress);

}  // namespace sluice
