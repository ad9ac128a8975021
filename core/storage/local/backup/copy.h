// Copies files of a backup, or only reads them, and gives their checksums on the way.
//
// Thread rule: functions; they block for as long as the disk takes.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/storage/local/file_system.h"

namespace sluice {

// Told after each piece how many bytes it had; an error ends the work with it.
using Advance = std::function<absl::Status(uint64_t bytes)>;

// XXH3-64 of the first `size` bytes of a file. DATA_LOSS when it has fewer.
absl::StatusOr<uint64_t> ChecksumOf(FileSystem& files, const std::string& path, uint64_t size,
                                    const Advance& advance);

// Makes `to` of the first `size` bytes of `from`, durable but for its name; gives their checksum.
absl::StatusOr<uint64_t> Copy(FileSystem& files, const std::string& from, const std::string& to,
                              uint64_t size, const Advance& advance);

}  // namespace sluice
