// Leases as a store keeps them, so that they outlive the engine that gave them (docs/adr/0029):
// which messages are out, under which ids, until when. At most one per message; runs of messages
// with consecutive ids are one entry.
//
//   SavedLeases leases;
//   leases.Put({.offsets = {Offset(7), Offset(10)}, .first = LeaseId(1), .incarnation = 4711, .until_ms = 1'000'000});
//   leases.Erase({Offset(8), Offset(9)});      // 7 and 9 are out
//
// Thread rule: a plain container; the owner locks.
#pragma once

#include <cstdint>
#include <map>

#include "core/base/named_type.h"
#include "core/storage/ack_set.h"

namespace sluice {

struct SavedLease {
  OffsetRange offsets;
  // Of the first message; those of the others follow.
  LeaseId first = LeaseId(0);
  // Of the engine that gave it.
  uint32_t incarnation = 0;
  // Milliseconds since 1970; kOver: it has ended.
  int64_t until_ms = kOver;

  static constexpr int64_t kOver = 0;
  bool over() const { return until_ms == kOver; }
  // REQUIRES: `part` lies within `offsets`.
  SavedLease Part(OffsetRange part) const {
    SavedLease lease = *this;
    lease.offsets = part;
    lease.first += part.begin - offsets.begin;
    return lease;
  }
  bool operator==(const SavedLease&) const = default;
};

class SavedLeases {
 public:
  // In place of what there is of these messages. REQUIRES: the range is not empty.
  void Put(const SavedLease& lease);
  // Returns whether there was anything.
  bool Erase(OffsetRange range);

  bool empty() const { return runs_.empty(); }
  size_t size() const { return runs_.size(); }
  // By their first offsets; disjoint.
  const std::map<Offset, SavedLease>& runs() const { return runs_; }

  bool operator==(const SavedLeases&) const = default;

 private:
  std::map<Offset, SavedLease> runs_;
};

}  // namespace sluice
