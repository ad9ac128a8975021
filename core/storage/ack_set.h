// Which offsets of a subscription are acknowledged: everything below a floor, and ranges above it.
// It costs memory for holes, not for messages: some 20 bytes each, or a bit for each message where
// there are many. Operations are O(log n) in what is stored, for each block of 4,096 offsets that
// they touch.
//
//   AckSet acked(Offset(1));
//   acked.Add({Offset(3), Offset(5)});      // 3 and 4
//   acked.Add({Offset(1), Offset(3)});      // floor() is now 5
//
// Thread rule: a plain container; the owner locks.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/btree_map.h"
#include "core/base/named_type.h"
#include "core/storage/dense_block.h"

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
  bool Contains(Offset offset) const { return NextUnacked(offset) != offset; }

  // The first offset at or after `from` that is not acknowledged.
  Offset NextUnacked(Offset from) const;
  // The end of the stretch of unacknowledged offsets that begins at `from`; at most `limit`.
  // REQUIRES: !Contains(from).
  Offset UnackedEnd(Offset from, Offset limit) const;

  // Offsets acknowledged above the floor.
  uint64_t above_floor() const { return above_floor_; }
  // The end of the last range; the floor when there is none above it.
  Offset end() const;
  // What is acknowledged above the floor, in order: ranges that do not touch.
  template <class Fn>
  void ForEachRange(Fn&& fn) const {
    for (Offset at = floor_;;) {
      const Offset begin = UnackedEnd(at, kNoEnd);
      if (begin == kNoEnd) return;
      at = NextUnacked(begin);
      fn(OffsetRange{begin, at});
    }
  }
  std::vector<OffsetRange> Ranges() const;

  // Bytes as described in docs/format.md ("ack state"): varints, each range as distances.
  std::string Encode() const;
  static std::optional<AckSet> Decode(std::string_view bytes);

  bool operator==(const AckSet& other) const {
    return floor_ == other.floor_ && Ranges() == other.Ranges();
  }

 private:
  // No range holds it: they end before it.
  static constexpr Offset kNoEnd = Offset(std::numeric_limits<uint64_t>::max());

  // The number of the block that an offset is in, and where the block begins.
  static uint64_t BlockOf(Offset offset) { return offset.value() / DenseBlock::kSize; }
  static Offset BeginOf(uint64_t block) { return Offset(block * DenseBlock::kSize); }
  static Offset EndOf(uint64_t block) {
    return block == BlockOf(kNoEnd) ? kNoEnd : BeginOf(block + 1);
  }

  // Whether no range touches what is before `end`.
  bool AllLieBehind(Offset end) const {
    return (ranges_.empty() || ranges_.begin()->first > end) &&
           (dense_.empty() || BeginOf(dense_.begin()->first) > end);
  }
  // REQUIRES: all of `range` is in it.
  uint64_t AddTo(absl::btree_map<uint64_t, DenseBlock>::iterator block, OffsetRange range);
  // REQUIRES: no offset of `range` is in a dense block.
  uint64_t AddPlain(OffsetRange range);
  // Makes the block of this offset a dense one if that takes less memory.
  void Condense(Offset offset);
  void RaiseFloor();

  Offset floor_;
  // begin -> end; disjoint, above floor_, none within a dense block. Two touch only where a dense
  // block is in between.
  absl::btree_map<Offset, Offset> ranges_;
  // By number; with bits above the floor, and never all of them.
  absl::btree_map<uint64_t, DenseBlock> dense_;
  uint64_t above_floor_ = 0;
};

}  // namespace sluice
