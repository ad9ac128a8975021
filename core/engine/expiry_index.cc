#include "core/engine/expiry_index.h"

#include <algorithm>
#include <iterator>
#include <string_view>

namespace sluice {

bool HasExpireAt(const Batch& batch, uint32_t begin, uint32_t end) {
  // Far cheaper than to parse them: the tag with which that field begins.
  constexpr uint32_t kTag = kExpireAtField << 3 | 2;
  constexpr char kBytes[] = {static_cast<char>((kTag & 0x7f) | 0x80), static_cast<char>(kTag >> 7)};
  const char* const from = batch.message(begin).data();
  return std::string_view(from, batch.body_bytes(begin, end)).find({kBytes, sizeof kBytes}) !=
         std::string_view::npos;
}

ExpiryIndex::ByOffset::iterator ExpiryIndex::Erase(ByOffset::iterator it) {
  by_time_.erase({it->second.at_us, it->first});
  return by_offset_.erase(it);
}

void ExpiryIndex::Insert(Offset begin, Stretch stretch) {
  by_offset_.insert({begin, stretch});
  by_time_.insert({stretch.at_us, begin});
}

void ExpiryIndex::Add(OffsetRange range, int64_t at_us) {
  if (range.empty() || at_us > kNeverExpires - kStepUs) return;
  at_us = std::max<int64_t>((at_us + kStepUs - 1) / kStepUs * kStepUs, 0);
  auto next = by_offset_.upper_bound(range.begin);
  if (next != by_offset_.begin()) {
    const auto before = std::prev(next);
    const bool overlaps = before->second.end > range.begin;
    const bool together = before->second.end == range.begin && before->second.at_us == at_us &&
                          range.end - before->first <= kMaxTogether;
    if (overlaps || together) next = before;
  }
  while (next != by_offset_.end() && next->first < range.end) {
    range = {std::min(range.begin, next->first), std::max(range.end, next->second.end)};
    at_us = std::min(at_us, next->second.at_us);
    next = Erase(next);
  }
  Insert(range.begin, {range.end, at_us});
  if (by_offset_.size() > kMaxStretches) Coarsen();
}

void ExpiryIndex::Coarsen() {
  ByOffset all;
  all.swap(by_offset_);
  by_time_.clear();
  for (auto it = all.begin(); it != all.end(); ++it) {
    const Offset begin = it->first;
    Stretch stretch = it->second;
    if (auto next = std::next(it); next != all.end()) {
      stretch = {next->second.end, std::min(stretch.at_us, next->second.at_us)};
      it = next;
    }
    Insert(begin, stretch);
  }
}

std::optional<OffsetRange> ExpiryIndex::TakeDue(int64_t now_us) {
  if (next_us() > now_us) return std::nullopt;
  const auto it = by_offset_.find(by_time_.begin()->second);
  const OffsetRange range{it->first, it->second.end};
  Erase(it);
  return range;
}

void ExpiryIndex::DropBefore(Offset before) {
  while (!by_offset_.empty() && by_offset_.begin()->first < before) {
    const Stretch first = by_offset_.begin()->second;
    Erase(by_offset_.begin());
    if (first.end > before) return Insert(before, first);
  }
}

}  // namespace sluice
