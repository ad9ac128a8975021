// Messages of a subscription that may be delivered, now or at some time, and are not new.
//
// Thread rule: a value type and pure functions.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "core/engine/lease_table.h"
#include "core/storage/ack_set.h"

namespace sluice {

struct ReadyRange {
  OffsetRange offsets;
  // How often its delivery failed.
  uint32_t attempts = 0;
  uint8_t priority = 0;
  // Who failed it last; kAnyone for one that has not failed.
  ConsumerId failed_by = kAnyone;

  ReadyRange Part(OffsetRange part) const {
    ReadyRange range = *this;
    range.offsets = part;
    return range;
  }
};

// Cuts `range` by the ranges of `wanted`, which rise and do not touch: calls take(part) for what is
// wanted and keep(part) for what is not. Returns whether anything was wanted.
template <class Take, class Keep>
bool Split(const ReadyRange& range, absl::Span<const OffsetRange> wanted, Take&& take,
           Keep&& keep) {
  auto next = std::partition_point(wanted.begin(), wanted.end(), [&](const OffsetRange& w) {
    return w.end <= range.offsets.begin;
  });
  if (next == wanted.end() || next->begin >= range.offsets.end) return false;
  Offset at = range.offsets.begin;
  for (; next != wanted.end() && next->begin < range.offsets.end; ++next) {
    const OffsetRange part{std::max(next->begin, at), std::min(next->end, range.offsets.end)};
    if (at < part.begin) keep(range.Part({at, part.begin}));
    take(range.Part(part));
    at = part.end;
  }
  if (at < range.offsets.end) keep(range.Part({at, range.offsets.end}));
  return true;
}

// Moves the parts that are wanted out of a multimap of ranges. Returns how many messages.
template <class Waiting>
uint64_t TakeWaiting(Waiting* waiting, absl::Span<const OffsetRange> wanted,
                     std::vector<ReadyRange>* taken) {
  uint64_t count = 0;
  std::vector<typename Waiting::value_type> left;
  for (auto it = waiting->begin(); it != waiting->end();) {
    const auto key = it->first;
    const bool any = Split(
        it->second, wanted,
        [&](const ReadyRange& part) {
          taken->push_back(part);
          count += part.offsets.size();
        },
        [&](const ReadyRange& part) {
          left.push_back({key, part});
        });
    it = any ? waiting->erase(it) : std::next(it);
  }
  for (auto& entry : left) waiting->insert(std::move(entry));
  return count;
}

}  // namespace sluice
