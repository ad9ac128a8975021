// The folder as a disk may have it when the power goes after some of the recorded operations: what
// was synced is there, of what was not each write may be lost, whole, or there in some of its
// sectors, and each change of a name may be lost.
//
//   DiskImage image(ops, cut, random);
//   image.WriteTo(recorded_folder, new_folder);
//
// Thread rule: one thread.
#pragma once

#include <map>
#include <random>
#include <string>
#include <vector>

#include "tests/fault/disk_recorder.h"

namespace sluice {

class DiskImage {
 public:
  // After the first `cut` operations.
  DiskImage(const std::vector<DiskOp>& ops, size_t cut, std::mt19937& random);
  // `to` is made.
  void WriteTo(const std::string& from, const std::string& to) const;

 private:
  using Pending = std::vector<size_t>;

  void Apply(const std::vector<DiskOp>& ops, size_t at);
  void ApplyData(const DiskOp& op);
  void ApplyName(const DiskOp& op);
  void LoseData(const std::vector<DiskOp>& ops, const Pending& pending);
  void LoseNames(const std::vector<DiskOp>& ops, const Pending& pending);
  void Tear(const DiskOp& op);
  bool OneIn(int n) { return random_() % static_cast<uint32_t>(n) == 0; }

  std::mt19937& random_;
  // What is on the disk: bytes by file, files by name, folders.
  std::map<uint64_t, std::string> data_;
  std::map<std::string, uint64_t> names_;
  std::vector<std::string> folders_;
  // Not synced yet, by file and by folder.
  std::map<uint64_t, Pending> unsynced_data_;
  std::map<std::string, Pending> unsynced_names_;
};

}  // namespace sluice
