// Keeps a second process away from a data folder: a lock on the file LOCK in it, which the system
// releases however the process ends.
//
// Thread rule: constant after construction.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace sluice {

class FolderLock {
 public:
  // Creates the folder when missing. DATA_FOLDER_IN_USE names the folder and the process that has
  // it.
  static absl::StatusOr<std::unique_ptr<FolderLock>> Take(const std::string& folder);
  ~FolderLock();
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

 private:
  explicit FolderLock(int fd) : fd_(fd) {}
  const int fd_;
};

}  // namespace sluice
