// Which offsets of a subscription are acknowledged: everything below a floor, and ranges above it. It costs memory for
// holes, not for messages, and every operation is O(log n) in the number of ranges.
//
//   AckSet acked(Offset(1));
//   acked.Add({Offset(3), Offset(5)});      // 3 and 4
//   acked.Add({Offset(1), Offset(3)});      // floor() is now 5
//
// Thread rule: a plain container; the owner locks.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/container/btree_map.h"
#include "core/base/named_type.h"

namespace sluice {

// Offsets begin to end, `end` excluded.
struct OffsetRange {
  Offset begin;
  Offset end;

  uint64_t size() const { return end - begin; }
  bool empty() const { return begin >= end; }
  bool operator==(const OffsetRange&) const = default;
};

class AckSet {
 public:
  explicit AckSet(Offset floor = Offset(1)) : floor_(floor) {}

  // Everything below is acknowledged.
  Offset floor() const { return floor_; }

  // Returns how many offsets of `range` were not acknowledged before.
  uint64_t Add(OffsetRange range);
  bool Contains(Offset offset) const;

  // The first offset at or after `from` that is not acknowledged.
  Offset NextUnacked(Offset from) const;
  // The end of the stretch of unacknowledged offsets that begins at `from`; at most `limit`.
  // REQUIRES: !Contains(from).
  Offset UnackedEnd(Offset from, Offset limit) const;

  // Offsets acknowledged above the floor.
  uint64_t above_floor() const { return above_floor_; }
  // Ranges above the floor.
  size_t holes() const { return ranges_.size(); }
  const absl::btree_map<Offset, Offset>& ranges() const { return ranges_; }

  // Bytes as described in docs/format.md ("ack state"): varints, each range as distances.
  std::string Encode() const;
  static std::optional<AckSet> Decode(std::string_view bytes);

  bool operator==(const AckSet&) const = default;

 private:
  Offset floor_;
  // begin -> end; disjoint, not touching, all above floor_.
  absl::btree_map<Offset, Offset> ranges_;
  uint64_t above_floor_ = 0;
};

}  // namespace sluice
