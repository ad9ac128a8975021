#include "core/engine/ready_set.h"

#include <algorithm>
#include <iterator>

namespace sluice {

void ReadySet::TakeFrom(uint8_t priority, OffsetRange wanted, std::vector<Range>* taken) {
  Shelf& shelf = shelves_[priority];
  auto it = shelf.upper_bound(wanted.begin);
  if (it != shelf.begin() && std::prev(it)->second.end > wanted.begin) --it;
  while (it != shelf.end() && it->first < wanted.end) {
    const auto [begin, tail] = *it;
    it = shelf.erase(it);
    const OffsetRange part{std::max(begin, wanted.begin), std::min(tail.end, wanted.end)};
    taken->push_back({part, tail.attempts, priority, tail.failed_by});
    count_ -= part.size();
    if (begin < part.begin)
      it = std::next(shelf.insert({begin, Tail{part.begin, tail.attempts, tail.failed_by}}).first);
    if (part.end < tail.end) it = std::next(shelf.insert({part.end, tail}).first);
  }
  if (shelf.empty()) occupied_ &= ~(1u << priority);
}

std::vector<ReadySet::Range> ReadySet::Take(absl::Span<const OffsetRange> wanted) {
  std::vector<Range> taken;
  for (size_t priority = 0; priority < shelves_.size(); ++priority) {
    for (const OffsetRange& range : wanted) TakeFrom(static_cast<uint8_t>(priority), range, &taken);
  }
  TakeWaiting(&delayed_, wanted, &taken);
  scheduled_.Take(wanted, &taken);
  return taken;
}

void ReadySet::Add(const Range& range) {
  auto [begin, end] = range.offsets;
  count_ += range.offsets.size();
  occupied_ |= 1u << range.priority;
  if (range.priority >= shelves_.size()) shelves_.resize(size_t{range.priority} + 1);
  Shelf& shelf = shelves_[range.priority];
  auto next = shelf.lower_bound(begin);
  if (next != shelf.end() && next->first == end && next->second.Joins(range)) {
    end = next->second.end;
    next = shelf.erase(next);
  }
  if (next != shelf.begin()) {
    auto previous = std::prev(next);
    if (previous->second.end == begin && previous->second.Joins(range)) {
      previous->second.end = end;
      return;
    }
  }
  shelf.insert({begin, Tail{end, range.attempts, range.failed_by}});
}

bool ReadySet::Promote(Instant now, int64_t wall_us) {
  bool any = false;
  while (!delayed_.empty() && delayed_.begin()->first <= now) {
    Add(delayed_.begin()->second);
    delayed_.erase(delayed_.begin());
    any = true;
  }
  return scheduled_.TakeDue(wall_us, [this](const Range& range) { Add(range); }) || any;
}

const ReadySet::Shelf* ReadySet::NextShelf() const {
  const auto highest = static_cast<size_t>(31 - __builtin_clz(occupied_));
  if (occupied_ == 1u << highest || since_oldest_ + 1 < kOldestEvery) return &shelves_[highest];
  const Shelf* oldest = nullptr;
  for (const Shelf& shelf : shelves_) {
    if (shelf.empty()) continue;
    if (oldest == nullptr || shelf.begin()->first < oldest->begin()->first) oldest = &shelf;
  }
  return oldest;
}

std::optional<ReadySet::Range> ReadySet::Front() const {
  if (occupied_ == 0) return std::nullopt;
  const Shelf* shelf = NextShelf();
  const auto& [begin, tail] = *shelf->begin();
  Offset end = tail.end;
  // Several priorities: no more at once than the oldest may be kept waiting for.
  if ((occupied_ & (occupied_ - 1)) != 0) {
    const uint32_t most = since_oldest_ + 1 < kOldestEvery ? kOldestEvery - 1 - since_oldest_ : 1;
    end = std::min(end, begin + most);
  }
  return Range{
      {begin, end}, tail.attempts, static_cast<uint8_t>(shelf - shelves_.data()), tail.failed_by};
}

void ReadySet::PopFront(uint64_t count) {
  Shelf& shelf = shelves_[static_cast<size_t>(NextShelf() - shelves_.data())];
  const bool choice = (occupied_ & (occupied_ - 1)) != 0;
  since_oldest_ =
      choice && since_oldest_ + 1 < kOldestEvery ? since_oldest_ + static_cast<uint32_t>(count) : 0;
  const auto [begin, tail] = *shelf.begin();
  shelf.erase(shelf.begin());
  if (begin + count < tail.end) shelf.insert({begin + count, tail});
  count_ -= count;
  if (shelf.empty()) occupied_ &= ~(1u << (&shelf - shelves_.data()));
}

void ReadySet::DropBefore(Offset offset) {
  for (size_t priority = 0; priority < shelves_.size(); ++priority) {
    Shelf& shelf = shelves_[priority];
    while (!shelf.empty() && shelf.begin()->first < offset) {
      const auto [begin, tail] = *shelf.begin();
      const Offset end = std::min(tail.end, offset);
      shelf.erase(shelf.begin());
      if (end < tail.end) shelf.insert({end, tail});
      count_ -= end - begin;
    }
    if (shelf.empty()) occupied_ &= ~(1u << priority);
  }
  for (auto it = delayed_.begin(); it != delayed_.end();) {
    OffsetRange& offsets = it->second.offsets;
    offsets.begin = std::min(std::max(offsets.begin, offset), offsets.end);
    it = offsets.empty() ? delayed_.erase(it) : std::next(it);
  }
  scheduled_.DropBefore(offset);
}

}  // namespace sluice
