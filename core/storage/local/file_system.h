// The few operations on files that the journal and its backups need, as an interface, so that tests
// can make any of them fail or stop the world between two of them.
//
// Thread rule: a FileSystem may be used from any thread; a File from several for reading, from one
// for writing.
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace sluice {

class File {
 public:
  virtual ~File() = default;
  // Writes all of `parts` at `offset`. RESOURCE_EXHAUSTED (STORAGE_FULL) when the disk is full;
  // after any error it is unknown how much was written. `parts` may be changed.
  virtual absl::Status Write(uint64_t offset, std::vector<iovec>& parts) = 0;
  // Reads up to `size` bytes; fewer only at the end of the file.
  virtual absl::StatusOr<size_t> Read(uint64_t offset, char* out, size_t size) const = 0;
  // fdatasync.
  virtual absl::Status Sync() = 0;
  // Begins to write out what a later Sync waits for.
  virtual void BeginSync() {}
  // Gives the file this size; bytes beyond the old size are zeros, with disk space behind them.
  virtual absl::Status Allocate(uint64_t size) = 0;
  virtual absl::Status Truncate(uint64_t size) = 0;
  virtual absl::StatusOr<uint64_t> Size() const = 0;
  // Says what it is called now, for errors.
  virtual void Renamed(const std::string& /*path*/) {}
};

class FileSystem {
 public:
  virtual ~FileSystem() = default;
  // Names, without the folder, sorted.
  virtual absl::StatusOr<std::vector<std::string>> List(const std::string& folder) = 0;
  // With those above it; the names of what was made are durable.
  virtual absl::Status CreateFolder(const std::string& folder) = 0;
  virtual absl::StatusOr<std::unique_ptr<File>> Create(const std::string& path) = 0;
  virtual absl::StatusOr<std::unique_ptr<File>> Open(const std::string& path) = 0;
  // For what need not be writable, on a disk that need not be either.
  virtual absl::StatusOr<std::unique_ptr<File>> OpenToRead(const std::string& path) = 0;
  virtual absl::Status Rename(const std::string& from, const std::string& to) = 0;
  virtual absl::Status Remove(const std::string& path) = 0;
  // With all that is in it; OK when there is none.
  virtual absl::Status RemoveFolder(const std::string& folder) = 0;
  // Gives the file a second name. False where that cannot be: on another file system, or on one
  // without such names.
  virtual absl::StatusOr<bool> Link(const std::string& from, const std::string& to) = 0;
  // Whether both are names of one file; false when either is missing.
  virtual bool SameFile(const std::string& a, const std::string& b) = 0;
  // fsync of a folder: names in it are then durable.
  virtual absl::Status SyncFolder(const std::string& folder) = 0;
  virtual absl::StatusOr<uint64_t> FreeBytes(const std::string& folder) = 0;
};

// The machine's own.
FileSystem& PosixFileSystem();

}  // namespace sluice
