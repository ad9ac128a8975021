// Leases that ended without an acknowledgement, and why: the newest ones, for exactly-once
// subscriptions. What a client says of such a lease is refused; this tells whether the refusal
// would be wrong, and what to say in the log.
//
// Thread rule: a plain container; the subscription locks.
#pragma once

#include <cstdint>
#include <optional>

#include "absl/container/btree_map.h"
#include "core/engine/lease_table.h"

namespace sluice {

class EndedLeases {
 public:
  // kBehindItsKey: an earlier message of its ordering key failed, and it comes again behind that.
  enum class Why : uint8_t { kNacked, kDeadlinePassed, kReturned, kBehindItsKey };
  struct Ended {
    ConsumerId consumer;
    Offset offset;
    Why why;
  };

  void Add(const Lease& lease, Why why) {
    runs_.insert_or_assign(lease.first, Run{lease.count, {lease.consumer, lease.offset, why}});
    if (runs_.size() > kMostRuns) runs_.erase(runs_.begin());
  }

  std::optional<Ended> Find(LeaseId lease) const {
    auto it = runs_.upper_bound(lease);
    if (it == runs_.begin()) return std::nullopt;
    --it;
    const uint64_t index = lease - it->first;
    if (index >= it->second.count) return std::nullopt;
    Ended ended = it->second.ended;
    ended.offset += index;
    return ended;
  }

  // Calls fn(lease, ended) for each that is in `range`.
  template <class Fn>
  void ForEachIn(LeaseRange range, Fn&& fn) const {
    auto it = runs_.upper_bound(range.first);
    if (it != runs_.begin()) --it;
    for (; it != runs_.end() && it->first <= range.last; ++it) {
      for (uint32_t i = 0; i < it->second.count; ++i) {
        const LeaseId lease = it->first + i;
        if (lease < range.first || lease > range.last) continue;
        Ended ended = it->second.ended;
        ended.offset += i;
        fn(lease, ended);
      }
    }
  }

  void Clear() { runs_.clear(); }

 private:
  static constexpr size_t kMostRuns = 10'000;
  struct Run {
    uint32_t count = 0;
    Ended ended;
  };
  // By their first leases; disjoint, since a lease ends once.
  absl::btree_map<LeaseId, Run> runs_;
};

}  // namespace sluice
