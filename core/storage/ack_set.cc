#include "core/storage/ack_set.h"

#include <algorithm>
#include <iterator>

#include "core/message/wire.h"

namespace sluice {
namespace {

// From so many ranges within a block on its bits take less memory: 520 bytes beside some 20 for
// each.
constexpr size_t kDense = 32;

}  // namespace

uint64_t AckSet::Add(OffsetRange range) {
  range.begin = std::max(range.begin, floor_);
  if (range.empty()) return 0;
  if (range.begin == floor_ && AllLieBehind(range.end)) {
    // Nearly always.
    floor_ = range.end;
    return range.size();
  }
  uint64_t added = 0;
  for (Offset at = range.begin; at < range.end;) {
    const auto block = dense_.lower_bound(BlockOf(at));
    const bool inside = block != dense_.end() && block->first == BlockOf(at);
    const Offset limit = block == dense_.end() ? kNoEnd
                         : inside              ? EndOf(block->first)
                                               : BeginOf(block->first);
    const OffsetRange part{at, std::min(range.end, limit)};
    added += inside ? AddTo(block, part) : AddPlain(part);
    at = part.end;
  }
  above_floor_ += added;
  if (range.begin == floor_) RaiseFloor();
  return added;
}

uint64_t AckSet::AddTo(absl::btree_map<uint64_t, DenseBlock>::iterator block, OffsetRange range) {
  const OffsetRange whole{BeginOf(block->first), EndOf(block->first)};
  const uint64_t added = block->second.Set(static_cast<uint32_t>(range.begin - whole.begin),
                                           static_cast<uint32_t>(range.end - whole.begin));
  if (block->second.full()) {
    dense_.erase(block);
    AddPlain(whole);
  }
  return added;
}

uint64_t AckSet::AddPlain(OffsetRange range) {
  uint64_t added = range.size();
  // Merge with every range that overlaps or touches: those from `first` to `last`, which is
  // excluded.
  auto first = ranges_.upper_bound(range.begin);
  if (first != ranges_.begin() && std::prev(first)->second >= range.begin) --first;
  OffsetRange merged = range;
  auto last = first;
  for (; last != ranges_.end() && last->first <= range.end; ++last) {
    const OffsetRange old{last->first, last->second};
    const OffsetRange overlap{std::max(old.begin, range.begin), std::min(old.end, range.end)};
    if (!overlap.empty()) added -= overlap.size();
    merged = {std::min(merged.begin, old.begin), std::max(merged.end, old.end)};
  }
  if (first == last) {
    ranges_.insert(first, {merged.begin, merged.end});
    Condense(merged.begin);
  } else if (first->first == merged.begin) {
    // What begins it grows in its place: looking for that once more would cost as much as all the
    // rest.
    first->second = merged.end;
    ranges_.erase(std::next(first), last);
  } else {
    ranges_.insert(ranges_.erase(first, last), {merged.begin, merged.end});
  }
  return added;
}

void AckSet::Condense(Offset offset) {
  if (ranges_.size() < kDense) return;
  const uint64_t number = BlockOf(offset);
  const OffsetRange whole{BeginOf(number), EndOf(number)};
  auto first = ranges_.upper_bound(whole.begin);
  if (first != ranges_.begin() && std::prev(first)->second > whole.begin) --first;
  size_t count = 0;
  for (auto it = first; it != ranges_.end() && it->first < whole.end; ++it) ++count;
  if (count < kDense) return;
  DenseBlock& block = dense_[number];
  for (auto it = first; it != ranges_.end() && it->first < whole.end;) {
    const OffsetRange range{it->first, it->second};
    block.Set(static_cast<uint32_t>(std::max(range.begin, whole.begin) - whole.begin),
              static_cast<uint32_t>(std::min(range.end, whole.end) - whole.begin));
    if (range.begin < whole.begin) {
      it->second = whole.begin;
      ++it;
    } else {
      it = ranges_.erase(it);
    }
    // It was the last one then.
    if (range.end > whole.end) it = ranges_.insert(it, {whole.end, range.end});
  }
}

void AckSet::RaiseFloor() {
  const Offset risen = NextUnacked(floor_);
  above_floor_ -= risen - floor_;
  floor_ = risen;
  ranges_.erase(ranges_.begin(), ranges_.lower_bound(floor_));
  dense_.erase(dense_.begin(), dense_.lower_bound(BlockOf(floor_)));
  const auto block = dense_.begin();
  if (block == dense_.end() || block->first != BlockOf(floor_)) return;
  if (block->second.NextSet(static_cast<uint32_t>(floor_ - BeginOf(block->first))) ==
      DenseBlock::kSize)
    dense_.erase(block);
}

Offset AckSet::NextUnacked(Offset from) const {
  for (Offset at = std::max(from, floor_);;) {
    Offset next = at;
    if (auto it = ranges_.upper_bound(at); it != ranges_.begin())
      next = std::max(next, std::prev(it)->second);
    if (dense_.empty()) return next;
    if (auto block = dense_.find(BlockOf(next)); block != dense_.end()) {
      const Offset begin = BeginOf(block->first);
      next = begin + block->second.NextClear(static_cast<uint32_t>(next - begin));
    }
    if (next == at) return at;
    at = next;
  }
}

Offset AckSet::UnackedEnd(Offset from, Offset limit) const {
  const auto it = ranges_.upper_bound(from);
  const Offset end = it == ranges_.end() ? limit : std::min(limit, it->first);
  for (auto block = dense_.lower_bound(BlockOf(from)); block != dense_.end(); ++block) {
    const Offset begin = BeginOf(block->first);
    if (begin >= end) break;
    const uint32_t set =
        block->second.NextSet(from > begin ? static_cast<uint32_t>(from - begin) : 0);
    if (set < DenseBlock::kSize) return std::min(end, begin + set);
  }
  return end;
}

Offset AckSet::end() const {
  Offset end = ranges_.empty() ? floor_ : ranges_.rbegin()->second;
  if (!dense_.empty())
    end = std::max(end, BeginOf(dense_.rbegin()->first) + dense_.rbegin()->second.End());
  return end;
}

std::vector<OffsetRange> AckSet::Ranges() const {
  std::vector<OffsetRange> all;
  ForEachRange([&](OffsetRange range) { all.push_back(range); });
  return all;
}

std::string AckSet::Encode() const {
  uint64_t count = 0;
  ForEachRange([&](OffsetRange) { ++count; });
  VarintWriter out;
  out.Put(floor_.value());
  out.Put(count);
  Offset previous = floor_;
  ForEachRange([&](OffsetRange range) {
    out.Put(range.begin - previous);
    out.Put(range.size());
    previous = range.end;
  });
  return out.Take();
}

std::optional<AckSet> AckSet::Decode(std::string_view bytes) {
  VarintReader in(bytes);
  AckSet set(Offset(in.Next()));
  const uint64_t count = in.Next();
  Offset at = set.floor_;
  for (uint64_t i = 0; i < count; ++i) {
    const Offset begin = at + in.Next();
    const Offset end = begin + in.Next();
    // Ranges neither touch nor are empty, and end before 2^64; past the end of the bytes, distances
    // read as 0.
    if (begin <= at || end <= begin) return std::nullopt;
    set.Add({begin, end});
    at = end;
  }
  if (!in.ok() || !in.AtEnd()) return std::nullopt;
  return set;
}

}  // namespace sluice
