// The messages of a subscription that were delivered before and wait to be delivered again: those that may go now, in
// offset order, and those that must wait until a time. Kept as ranges with equal numbers of attempts.
//
// Thread rule: a plain container; the subscription locks.
#pragma once

#include <map>
#include <optional>

#include "absl/container/btree_map.h"
#include "core/base/clock.h"
#include "core/storage/ack_set.h"

namespace sluice {

class ReadySet {
 public:
  struct Range {
    OffsetRange offsets;
    // How often it was delivered.
    uint32_t attempts = 0;
  };

  // REQUIRES: none of the offsets is in the set.
  void Add(Range range);
  void AddDelayed(Range range, Instant until) { delayed_.emplace(until, range); }

  // Moves what has waited long enough. Returns whether there was any.
  bool Promote(Instant now);

  // The lowest range that may go now.
  std::optional<Range> Front() const;
  // Takes `count` offsets off the front. REQUIRES: Front() has as many.
  void PopFront(uint64_t count);

  // Forgets everything below `offset`.
  void DropBefore(Offset offset);

  // When the next delayed one may go; Never() when there is none.
  Instant next_due() const { return delayed_.empty() ? Instant::Never() : delayed_.begin()->first; }
  bool empty() const { return ready_.empty() && delayed_.empty(); }

 private:
  struct Tail {
    Offset end;
    uint32_t attempts = 0;
  };
  // begin -> (end, attempts); disjoint.
  absl::btree_map<Offset, Tail> ready_;
  std::multimap<Instant, Range> delayed_;
};

}  // namespace sluice
