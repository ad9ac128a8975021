// Leases that an engine before this one gave and that still hold (docs/adr/0029). Here they have
// ids of this engine's own; this knows which ones, and that clients know them by their old ids.
//
// Thread rule: a plain container; the subscription locks.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

#include "core/storage/saved_leases.h"

namespace sluice {

class RestoredLeases {
 public:
  // `saved.first` has the id `now` here. REQUIRES: called in the order of offsets, with ascending
  // ids.
  void Add(const SavedLease& saved, LeaseId now) { runs_.push_back({saved, now}); }

  // Also after it ended.
  std::optional<LeaseId> LeaseOf(Offset offset) const {
    const Run* const run = At(offset);
    return run == nullptr ? std::nullopt
                          : std::optional(run->now + (offset - run->saved.offsets.begin));
  }

  // The id here of what is known as `lease` of that engine.
  std::optional<LeaseId> Find(uint32_t incarnation, LeaseId lease, Offset offset) const {
    const Run* const run = At(offset);
    if (run == nullptr || run->saved.incarnation != incarnation) return std::nullopt;
    const uint64_t index = offset - run->saved.offsets.begin;
    return run->saved.first + index == lease ? std::optional(run->now + index) : std::nullopt;
  }

  // Calls fn(saved, now) for each part of [offsets] that was given by that engine with `first` for
  // the first of these messages and consecutive ids for the others.
  template <class Fn>
  void ForEachOf(uint32_t incarnation, LeaseId first, OffsetRange offsets, Fn&& fn) const {
    auto it = std::partition_point(runs_.begin(), runs_.end(), [&](const Run& run) {
      return run.saved.offsets.end <= offsets.begin;
    });
    for (; it != runs_.end() && it->saved.offsets.begin < offsets.end; ++it) {
      const SavedLease part = it->saved.Part({std::max(offsets.begin, it->saved.offsets.begin),
                                              std::min(offsets.end, it->saved.offsets.end)});
      if (part.incarnation != incarnation ||
          part.first != first + (part.offsets.begin - offsets.begin))
        continue;
      fn(part, it->now + (part.offsets.begin - it->saved.offsets.begin));
    }
  }

  // Under which name it was given. REQUIRES: it is one of these.
  SavedLease OriginOf(OffsetRange offsets) const { return At(offsets.begin)->saved.Part(offsets); }

  // One past the last message.
  Offset end() const { return runs_.empty() ? Offset(0) : runs_.back().saved.offsets.end; }
  void Clear() { runs_.clear(); }

 private:
  struct Run {
    SavedLease saved;
    LeaseId now;
  };

  const Run* At(Offset offset) const {
    auto it = std::upper_bound(
        runs_.begin(), runs_.end(), offset,
        [](Offset wanted, const Run& run) { return wanted < run.saved.offsets.begin; });
    if (it == runs_.begin()) return nullptr;
    --it;
    return offset < it->saved.offsets.end ? &*it : nullptr;
  }

  std::vector<Run> runs_;
};

}  // namespace sluice
