// Records what this process does to the files of one folder: every write, sync, truncation, rename,
// link and removal, by whomever, RocksDB included. The program's own definitions of the calls stand
// before those of the C library, which they call.
//
//   DiskRecorder& disk = DiskRecorder::Start(folder);    // the folder as it is then is on the disk
//   ... use the store ...
//   size_t now = disk.Mark();                            // what comes later has a higher number
//   std::vector<DiskOp> ops = disk.Stop();
//
// Not seen: what goes through FILE* or mmap. The store does neither, and of RocksDB it is the info
// log alone.
//
// Thread rule: one recording at a time; calls are recorded from any thread, in the order in which
// they took effect.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace sluice {

struct DiskOp {
  enum class Kind {
    kCreate,      // a new file `file` called `name`
    kMakeFolder,  // `name`
    kRename,      // `name` is called `to`
    kLink,        // `name` is called `to` as well
    kRemove,      // `name`
    kWrite,       // `data` at `offset` of `file`
    kResize,      // `file` is `offset` bytes long
    kGrow,        // `file` is at least `offset` bytes long
    kSync,        // what was done to `file` before number `offset` is durable
    kSyncFolder,  // names in `name` as they were before number `offset` are durable
  };
  Kind kind;
  uint64_t file = 0;
  uint64_t offset = 0;
  std::string name = {};
  std::string to = {};
  std::string data = {};
};

class DiskRecorder {
 public:
  static DiskRecorder& Start(const std::string& folder);
  size_t Mark() const;
  std::vector<DiskOp> Stop();
};

}  // namespace sluice
