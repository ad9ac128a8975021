#include "core/storage/ack_set.h"

#include <algorithm>
#include <iterator>

#include "core/message/wire.h"

namespace sluice {

uint64_t AckSet::Add(OffsetRange range) {
  range.begin = std::max(range.begin, floor_);
  if (range.empty()) return 0;
  uint64_t added = range.size();
  // Merge with every range that overlaps or touches: those from `first` to `last`, which is excluded.
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
  above_floor_ += added;
  if (merged.begin == floor_) {
    ranges_.erase(first, last);
    floor_ = merged.end;
    above_floor_ -= merged.size();
  } else if (first != last && first->first == merged.begin) {
    // What begins it grows in its place: looking for that once more would cost as much as all the rest.
    first->second = merged.end;
    ranges_.erase(std::next(first), last);
  } else {
    ranges_.insert(ranges_.erase(first, last), {merged.begin, merged.end});
  }
  return added;
}

bool AckSet::Contains(Offset offset) const { return NextUnacked(offset) != offset; }

Offset AckSet::NextUnacked(Offset from) const {
  from = std::max(from, floor_);
  auto it = ranges_.upper_bound(from);
  if (it == ranges_.begin()) return from;
  return std::max(from, std::prev(it)->second);
}

Offset AckSet::UnackedEnd(Offset from, Offset limit) const {
  auto it = ranges_.upper_bound(from);
  return it == ranges_.end() ? limit : std::min(limit, it->first);
}

std::string AckSet::Encode() const {
  VarintWriter out;
  out.Put(floor_.value());
  out.Put(ranges_.size());
  Offset previous = floor_;
  for (const auto& [begin, end] : ranges_) {
    out.Put(begin - previous);
    out.Put(end - begin);
    previous = end;
  }
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
    // Ranges neither touch nor are empty, and end before 2^64; past the end of the bytes, distances read as 0.
    if (begin <= at || end <= begin) return std::nullopt;
    set.Add({begin, end});
    at = end;
  }
  if (!in.ok() || !in.AtEnd()) return std::nullopt;
  return set;
}

}  // namespace sluice
