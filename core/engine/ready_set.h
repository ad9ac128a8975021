// The messages of a subscription that may be delivered and are not new: those that were delivered
// before, and those that were passed over. Some may go now, in offset order or higher priorities
// first; others wait until a time. Kept as ranges with equal numbers of attempts, failed by the
// same consumer.
//
// By priority, one message of ten is the oldest one there is, whatever its priority, so that none
// waits for ever. Where the messages' own priorities do not count, the subscription has others:
// what fails often goes last.
//
// Thread rule: a plain container; the subscription locks.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/types/span.h"
#include "core/base/clock.h"
#include "core/engine/ready_range.h"
#include "core/engine/scheduled_set.h"
#include "core/message/limits.h"
#include "core/storage/ack_set.h"

namespace sluice {

class ReadySet {
 public:
  using Range = ReadyRange;
  static constexpr uint32_t kOldestEvery = 10;

  // REQUIRES: none of the offsets is in the set, priority <= kMaxPriority.
  void Add(const Range& range);
  void AddDelayed(const Range& range, Instant until) { delayed_.emplace(until, range); }
  // Until a time of day, in microseconds since 1970: for messages that are not to be delivered
  // before.
  void AddScheduled(const Range& range, int64_t until_us) { scheduled_.Add(range, until_us); }

  // Moves what has waited long enough. Returns whether there was any.
  bool Promote(Instant now, int64_t wall_us);

  // What may go next.
  std::optional<Range> Front() const;
  // Takes `count` offsets off the front. REQUIRES: Front() has as many.
  void PopFront(uint64_t count);

  // Takes out what it has of `wanted`, in order and disjoint.
  std::vector<Range> Take(absl::Span<const OffsetRange> wanted);

  // Forgets everything below `offset`.
  void DropBefore(Offset offset);

  // When the next one may go of those that wait by the steady clock, and of those that wait for a
  // time of day; Never() and ScheduledSet::kNever when there is none.
  Instant next_due() const { return delayed_.empty() ? Instant::Never() : delayed_.begin()->first; }
  int64_t next_scheduled_us() const { return scheduled_.next_due_us(); }
  bool empty() const { return count_ == 0 && delayed_.empty() && scheduled_.empty(); }
  // Messages that may go now, and those that wait for a time of day.
  uint64_t count() const { return count_; }
  uint64_t scheduled() const { return scheduled_.count(); }
  // Of what waits for a time of day, estimated.
  size_t scheduled_bytes() const { return scheduled_.memory_bytes(); }

 private:
  struct Tail {
    Offset end;
    uint32_t attempts = 0;
    ConsumerId failed_by = kAnyone;

    bool Joins(const Range& range) const {
      return attempts == range.attempts && failed_by == range.failed_by;
    }
  };
  // begin -> (end, attempts); disjoint.
  using Shelf = absl::btree_map<Offset, Tail>;

  void TakeFrom(uint8_t priority, OffsetRange wanted, std::vector<Range>* taken);

  // The shelf that is next.
  const Shelf* NextShelf() const;

  // By priority, as far up as there were any: most subscriptions know none, and an idle one has not
  // even the first.
  std::vector<Shelf> shelves_;
  // Shelves with anything on them, as bits.
  uint32_t occupied_ = 0;
  uint64_t count_ = 0;
  // Taken since the oldest was.
  uint32_t since_oldest_ = 0;
  absl::btree_multimap<Instant, Range> delayed_;
  ScheduledSet scheduled_;
};

}  // namespace sluice
