#include "core/engine/ready_set.h"

#include <algorithm>
#include <iterator>

namespace sluice {

void ReadySet::Add(Range range) {
  auto [begin, end] = range.offsets;
  auto next = ready_.lower_bound(begin);
  if (next != ready_.end() && next->first == end && next->second.attempts == range.attempts) {
    end = next->second.end;
    next = ready_.erase(next);
  }
  if (next != ready_.begin()) {
    auto previous = std::prev(next);
    if (previous->second.end == begin && previous->second.attempts == range.attempts) {
      previous->second.end = end;
      return;
    }
  }
  ready_.insert({begin, Tail{end, range.attempts}});
}

bool ReadySet::Promote(Instant now) {
  bool any = false;
  while (!delayed_.empty() && delayed_.begin()->first <= now) {
    Add(delayed_.begin()->second);
    delayed_.erase(delayed_.begin());
    any = true;
  }
  return any;
}

std::optional<ReadySet::Range> ReadySet::Front() const {
  if (ready_.empty()) return std::nullopt;
  const auto& [begin, tail] = *ready_.begin();
  return Range{{begin, tail.end}, tail.attempts};
}

void ReadySet::PopFront(uint64_t count) {
  const auto [begin, tail] = *ready_.begin();
  ready_.erase(ready_.begin());
  if (begin + count < tail.end) ready_.insert({begin + count, tail});
}

void ReadySet::DropBefore(Offset offset) {
  while (!ready_.empty() && ready_.begin()->first < offset) {
    const auto [begin, tail] = *ready_.begin();
    PopFront(std::min(tail.end, offset) - begin);
  }
  for (auto it = delayed_.begin(); it != delayed_.end();) {
    OffsetRange& offsets = it->second.offsets;
    offsets.begin = std::max(offsets.begin, offset);
    it = offsets.empty() ? delayed_.erase(it) : std::next(it);
  }
}

}  // namespace sluice
