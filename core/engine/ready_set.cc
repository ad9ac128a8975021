#include "core/engine/ready_set.h"

#include <algorithm>
#include <iterator>

namespace sluice {
namespace {

constexpr absl::Duration kLookAtTimeOfDay = absl::Minutes(1);

template <class Waiting>
void DropWaitingBefore(Waiting& waiting, Offset offset, uint64_t* dropped) {
  for (auto it = waiting.begin(); it != waiting.end();) {
    OffsetRange& offsets = it->second.offsets;
    const Offset begin = std::min(std::max(offsets.begin, offset), offsets.end);
    *dropped += begin - offsets.begin;
    offsets.begin = begin;
    it = offsets.empty() ? waiting.erase(it) : std::next(it);
  }
}

// The parts of those that wait that are wanted, which leave.
template <class Waiting>
uint64_t TakeWaiting(Waiting& waiting, absl::Span<const OffsetRange> wanted, std::vector<ReadySet::Range>* taken) {
  uint64_t count = 0;
  std::vector<typename Waiting::value_type> left;
  for (auto it = waiting.begin(); it != waiting.end();) {
    const ReadySet::Range range = it->second;
    auto next = std::partition_point(wanted.begin(), wanted.end(),
                                     [&](const OffsetRange& w) { return w.end <= range.offsets.begin; });
    if (next == wanted.end() || next->begin >= range.offsets.end) {
      ++it;
      continue;
    }
    const auto key = it->first;
    Offset at = range.offsets.begin;
    const auto keep = [&](Offset end) {
      if (at < end) left.push_back({key, {{at, end}, range.attempts, range.priority}});
    };
    for (; next != wanted.end() && next->begin < range.offsets.end; ++next) {
      const OffsetRange part{std::max(next->begin, at), std::min(next->end, range.offsets.end)};
      keep(part.begin);
      taken->push_back({part, range.attempts, range.priority});
      count += part.size();
      at = part.end;
    }
    keep(range.offsets.end);
    it = waiting.erase(it);
  }
  for (auto& entry : left) waiting.insert(std::move(entry));
  return count;
}

}  // namespace

void ReadySet::TakeFrom(uint8_t priority, OffsetRange wanted, std::vector<Range>* taken) {
  Shelf& shelf = shelves_[priority];
  auto it = shelf.upper_bound(wanted.begin);
  if (it != shelf.begin() && std::prev(it)->second.end > wanted.begin) --it;
  while (it != shelf.end() && it->first < wanted.end) {
    const auto [begin, tail] = *it;
    it = shelf.erase(it);
    const OffsetRange part{std::max(begin, wanted.begin), std::min(tail.end, wanted.end)};
    taken->push_back({part, tail.attempts, priority});
    count_ -= part.size();
    if (begin < part.begin) it = std::next(shelf.insert({begin, Tail{part.begin, tail.attempts}}).first);
    if (part.end < tail.end) it = std::next(shelf.insert({part.end, tail}).first);
  }
  if (shelf.empty()) occupied_ &= ~(1u << priority);
}

std::vector<ReadySet::Range> ReadySet::Take(absl::Span<const OffsetRange> wanted) {
  std::vector<Range> taken;
  for (size_t priority = 0; priority < shelves_.size(); ++priority) {
    for (const OffsetRange& range : wanted) TakeFrom(static_cast<uint8_t>(priority), range, &taken);
  }
  TakeWaiting(delayed_, wanted, &taken);
  scheduled_count_ -= TakeWaiting(scheduled_, wanted, &taken);
  return taken;
}

void ReadySet::Add(const Range& range) {
  auto [begin, end] = range.offsets;
  count_ += range.offsets.size();
  occupied_ |= 1u << range.priority;
  if (range.priority >= shelves_.size()) shelves_.resize(size_t{range.priority} + 1);
  Shelf& shelf = shelves_[range.priority];
  auto next = shelf.lower_bound(begin);
  if (next != shelf.end() && next->first == end && next->second.attempts == range.attempts) {
    end = next->second.end;
    next = shelf.erase(next);
  }
  if (next != shelf.begin()) {
    auto previous = std::prev(next);
    if (previous->second.end == begin && previous->second.attempts == range.attempts) {
      previous->second.end = end;
      return;
    }
  }
  shelf.insert({begin, Tail{end, range.attempts}});
}

void ReadySet::AddScheduled(const Range& range, int64_t until_us) {
  scheduled_count_ += range.offsets.size();
  // Neighbours for the same time, as a batch has them, are one entry.
  auto [begin, end] = scheduled_.equal_range(until_us);
  if (begin != end) {
    Range& last = std::prev(end)->second;
    if (last.offsets.end == range.offsets.begin && last.attempts == range.attempts && last.priority == range.priority) {
      last.offsets.end = range.offsets.end;
      return;
    }
  }
  scheduled_.emplace_hint(end, until_us, range);
}

bool ReadySet::Promote(Instant now, int64_t wall_us) {
  bool any = false;
  while (!delayed_.empty() && delayed_.begin()->first <= now) {
    Add(delayed_.begin()->second);
    delayed_.erase(delayed_.begin());
    any = true;
  }
  while (!scheduled_.empty() && scheduled_.begin()->first <= wall_us) {
    scheduled_count_ -= scheduled_.begin()->second.offsets.size();
    Add(scheduled_.begin()->second);
    scheduled_.erase(scheduled_.begin());
    any = true;
  }
  return any;
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
  return Range{{begin, end}, tail.attempts, static_cast<uint8_t>(shelf - shelves_.data())};
}

void ReadySet::PopFront(uint64_t count) {
  Shelf& shelf = shelves_[static_cast<size_t>(NextShelf() - shelves_.data())];
  const bool choice = (occupied_ & (occupied_ - 1)) != 0;
  since_oldest_ = choice && since_oldest_ + 1 < kOldestEvery ? since_oldest_ + static_cast<uint32_t>(count) : 0;
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
  uint64_t dropped = 0;
  DropWaitingBefore(delayed_, offset, &dropped);
  dropped = 0;
  DropWaitingBefore(scheduled_, offset, &dropped);
  scheduled_count_ -= dropped;
}

Instant ReadySet::next_due(Instant now, int64_t wall_us) const {
  Instant due = delayed_.empty() ? Instant::Never() : delayed_.begin()->first;
  if (!scheduled_.empty()) {
    const absl::Duration wait = absl::Microseconds(std::max<int64_t>(scheduled_.begin()->first - wall_us, 0));
    due = std::min(due, now + std::min(wait, kLookAtTimeOfDay));
  }
  return due;
}

}  // namespace sluice
