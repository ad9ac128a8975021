// What there is to tell of a store, for a log: core/ has none itself.
//
// Thread rule: value types. A listener is called from any thread, without a lock of the store (a
// kView event under RocksDB's), and must not block nor call the store.
#pragma once

#include <functional>
#include <string>

#include "absl/status/status.h"

namespace sluice {

enum class StoreEventKind {
  // The first write or sync that leaves it unknown what is on the disk: the store takes no more
  // writes.
  kClosed,
  // Messages are refused for want of a place to write them, and taken again.
  kFull,
  kWritable,
  // Each one that failed, also those that are tried again.
  kReadFailed,
  // A reader, or the upkeep, came upon messages that are damaged; told once for each stretch of
  // them.
  kDamaged,
  kCheckpointFailed,
  // The first checkpoint after failed ones.
  kCheckpointMade,
  // Giving space back, or getting it in advance, failed.
  kUpkeepFailed,
  // What the view's database warns of, in its words.
  kView,
};

struct StoreEvent {
  StoreEventKind kind = StoreEventKind::kView;
  // What was tried ("write", "fdatasync"), of which file, and the system's error number; empty and
  // 0 where that is not known.
  std::string operation = {};
  std::string path = {};
  std::string error_number = {};
  // All of it in words.
  std::string message = {};
};

using StoreListener = std::function<void(const StoreEvent&)>;

// With what the metadata of `status` say.
StoreEvent StoreEventOf(StoreEventKind kind, const absl::Status& status);

}  // namespace sluice
