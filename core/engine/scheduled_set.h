// Messages that wait for a time of day, as ranges. Those of the next tenth of a second are at hand
// in the order of their times; later ones are packed by the tenth of a second they are due in, a
// few bytes each: five million messages that are due in an hour cost some tens of megabytes.
//
//   set.Add({offsets, attempts, priority}, deliver_at_us);
//   set.TakeDue(wall_us, [&](const ReadyRange& range) {...});
//
// Thread rule: a plain container; the subscription locks.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/types/span.h"
#include "core/engine/ready_range.h"

namespace sluice {

// Until when a range waits.
struct ScheduledEntry {
  ReadyRange range;
  int64_t until_us = 0;
};
// Entries of one tenth of a second: `last` as it is, those before it as distances from one to the
// next.
struct ScheduledSlot {
  std::string packed;
  // The last one packed.
  ScheduledEntry base;
  ScheduledEntry last;
  Offset lowest, highest;
  int64_t first_us = std::numeric_limits<int64_t>::max();
};

class ScheduledSet {
 public:
  static constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

  // Until a time in microseconds since 1970.
  void Add(const ReadyRange& range, int64_t until_us);

  // Takes out what is due by now. Returns whether there was any.
  bool TakeDue(int64_t wall_us, const std::function<void(const ReadyRange&)>& due);

  // Takes out what lies in these ranges, which rise and do not touch.
  void Take(absl::Span<const OffsetRange> wanted, std::vector<ReadyRange>* taken);

  // Forgets everything below `offset`.
  void DropBefore(Offset offset);

  // When the first is due; kNever when there is none.
  int64_t next_due_us() const;
  uint64_t count() const { return count_; }
  bool empty() const { return count_ == 0; }
  // Estimated.
  size_t memory_bytes() const;

 private:
  using Entry = ScheduledEntry;
  using Slot = ScheduledSlot;
  using Slots = absl::btree_map<int64_t, Slot>;

  static int64_t SlotOf(int64_t until_us);
  static void PackLast(Slot* slot);
  static void Unpack(const Slot& slot, const std::function<void(const Entry&)>& each);
  void Put(const Entry& entry);
  // Calls fn(entry), which may Put it again, for all entries of slots that have anything in
  // [lowest, highest).
  void Rebuild(OffsetRange range, const std::function<void(const Entry&)>& fn);
  void AddNear(const Entry& entry);

  // Exact: everything up to the end of this slot.
  int64_t near_slot_ = std::numeric_limits<int64_t>::min();
  absl::btree_multimap<int64_t, ReadyRange> near_;
  Slots slots_;
  uint64_t count_ = 0;
  size_t packed_bytes_ = 0;
};

}  // namespace sluice
