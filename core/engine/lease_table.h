// Who holds which messages of a subscription until when. Leases are kept as runs: consecutive
// offsets delivered together have consecutive ids, and a run is split only when a part of it is
// settled. All operations are O(log n) in the number of runs touched.
//
//   LeaseId first = table.Add({.offset = Offset(7), .count = 100, .consumer = c, .deadline = d, .attempt = 1});
//   table.Take(c, {first, first + 99}, [](const Lease& part) {...});      // acknowledged, say
//
// Thread rule: a plain container; the subscription locks.
#pragma once

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "absl/container/inlined_vector.h"
#include "core/base/clock.h"
#include "core/engine/consumer.h"
#include "core/message/message_view.h"
#include "core/storage/ack_set.h"

namespace sluice {

using ConsumerId = Named<uint64_t, struct ConsumerIdTag>;

// For those who name a lease without saying whose it is. No consumer has this id.
inline constexpr ConsumerId kAnyone{0};
// Who holds what an engine before this one gave out (docs/adr/0029).
inline constexpr ConsumerId kBeforeRestart{UINT64_MAX};

// Ids first to first + count - 1 for offsets offset to offset + count - 1.
struct Lease {
  LeaseId first;
  Offset offset;
  uint32_t count = 0;
  // Of the messages as they are stored. Of a part of a run it is its share, so that the parts add
  // up to the whole.
  uint32_t bytes = 0;
  ConsumerId consumer;
  Instant deadline;
  uint32_t attempt = 1;
  // Of messages whose ordering keys are being kept (core/engine/key_queues.h).
  bool keyed = false;
  // Where priorities count.
  uint8_t priority = 0;
  // It had failed before, since the subscription was opened or sought.
  bool again = false;
  // It goes on to its deadline when the engine is closed and opened again.
  bool survives = false;
  // When the first of the messages expires, microseconds since 1970.
  int64_t expires_us = kNeverExpires;

  OffsetRange offsets() const { return {offset, offset + count}; }

  // Ids [begin, end) of it.
  Lease Part(LeaseId begin, LeaseId end) const {
    const auto bytes_before = [this](LeaseId id) {
      return static_cast<uint32_t>(uint64_t{bytes} * (id - first) / count);
    };
    Lease part = *this;
    part.bytes = bytes_before(end) - bytes_before(begin);
    part.offset += begin - first;
    part.first = begin;
    part.count = static_cast<uint32_t>(end - begin);
    return part;
  }
};

class LeaseTable {
 public:
  // Gives the run the next ids; `lease.first` is ignored.
  LeaseId Add(const Lease& lease) {
    FileNewest();
    newest_ = lease;
    newest_.first = next_;
    next_ += lease.count;
    count_ += lease.count;
    return newest_.first;
  }

  // Puts back what was taken out.
  void Restore(const Lease& lease) { Insert(lease); }

  // Takes out the parts of `range` that `consumer` holds (or kAnyone) and calls fn(part) for each.
  // Returns how many leases.
  template <class Fn>
  uint64_t Take(ConsumerId consumer, LeaseRange range, Fn&& fn) {
    if (newest_.count > 0 && range.last >= newest_.first) {
      if (range.first == newest_.first && range.last == newest_.first + (newest_.count - 1) &&
          IsHeldBy(newest_, consumer)) {
        const Lease run = std::exchange(newest_, Lease());
        count_ -= run.count;
        fn(run);
        return run.count;
      }
      FileNewest();
    }
    uint64_t taken = 0;
    if (runs_.empty()) return taken;
    auto it = runs_.upper_bound(range.first);
    if (it != runs_.begin()) --it;
    while (it->first <= range.last && it->first != kLast) {
      const Lease run = it->second;
      const LeaseId begin = std::max(range.first, run.first);
      const LeaseId end = std::min(range.last, run.first + (run.count - 1)) + 1;
      if (!IsHeldBy(run, consumer) || begin >= end) {
        ++it;
        continue;
      }
      Erase(it);
      if (run.first < begin) Insert(run.Part(run.first, begin));
      if (end < run.first + run.count) Insert(run.Part(end, run.first + run.count));
      taken += end - begin;
      fn(run.Part(begin, end));
      it = runs_.lower_bound(end);
    }
    return taken;
  }

  // Sets a new deadline. Returns how many leases.
  uint64_t Extend(ConsumerId consumer, LeaseRange range, Instant deadline) {
    absl::InlinedVector<Lease, 4> parts;
    const uint64_t extended =
        Take(consumer, range, [&](const Lease& part) { parts.push_back(part); });
    for (Lease& part : parts) {
      part.deadline = deadline;
      Insert(part);
    }
    return extended;
  }

  // Takes out every run whose deadline has come.
  template <class Fn>
  uint64_t TakeExpired(Instant now, Fn&& fn) {
    if (newest_.count > 0 && newest_.deadline <= now) FileNewest();
    uint64_t taken = 0;
    while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
      auto it = runs_.find(deadlines_.begin()->second);
      const Lease run = it->second;
      Erase(it);
      taken += run.count;
      fn(run);
    }
    return taken;
  }

  // Takes out everything `consumer` holds.
  template <class Fn>
  void TakeAll(ConsumerId consumer, Fn&& fn) {
    Take(consumer, {LeaseId(0), next_}, std::forward<Fn>(fn));
  }

  template <class Fn>
  void ForEach(Fn&& fn) const {
    for (const auto& [first, lease] : runs_) {
      if (first != kLast) fn(lease);
    }
    if (newest_.count > 0) fn(newest_);
  }

  // Calls fn(part) for each part of a run that lies in the range.
  template <class Fn>
  void ForEachIn(LeaseRange range, Fn&& fn) const {
    const auto visit = [&](const Lease& run) {
      const LeaseId begin = std::max(range.first, run.first);
      const LeaseId end = std::min(range.last, run.first + (run.count - 1)) + 1;
      if (begin < end) fn(run.Part(begin, end));
    };
    auto it = runs_.upper_bound(range.first);
    if (it != runs_.begin()) --it;
    for (; it != runs_.end() && it->first <= range.last && it->first != kLast; ++it)
      visit(it->second);
    if (newest_.count > 0) visit(newest_);
  }

  // Whether it is held, by that consumer.
  bool Holds(LeaseId lease, ConsumerId consumer = kAnyone) const {
    bool holds = false;
    ForEachIn({lease, lease}, [&](const Lease& run) { holds = IsHeldBy(run, consumer); });
    return holds;
  }

  // Forgets all leases; their ids are not given again.
  void Clear() {
    const LeaseId next = next_;
    *this = LeaseTable();
    next_ = next;
  }

  // Whether `consumer` holds any; looks at no more than those before its first.
  bool AnyOf(ConsumerId consumer) const {
    if (newest_.count > 0 && newest_.consumer == consumer) return true;
    return std::any_of(runs_.begin(), runs_.end(), [&](const auto& run) {
      return run.first != kLast && run.second.consumer == consumer;
    });
  }

  // Never() when there are none.
  Instant next_deadline() const {
    const Instant filed = deadlines_.empty() ? Instant::Never() : deadlines_.begin()->first;
    return newest_.count > 0 ? std::min(filed, newest_.deadline) : filed;
  }

  // The id that the next lease gets.
  LeaseId next() const { return next_; }

  // Leases and runs of them.
  uint64_t count() const { return count_; }
  size_t runs() const {
    return runs_.size() - (runs_.empty() ? 0 : 1) + (newest_.count > 0 ? 1 : 0);
  }

 private:
  static constexpr LeaseId kLast{UINT64_MAX};

  using Runs = absl::btree_map<LeaseId, Lease>;

  static bool IsHeldBy(const Lease& run, ConsumerId consumer) {
    return run.consumer == consumer || consumer == kAnyone;
  }

  void FileNewest() {
    if (newest_.count == 0) return;
    count_ -= newest_.count;
    Insert(std::exchange(newest_, Lease()));
  }

  void Insert(const Lease& run) {
    if (runs_.empty()) {
      runs_.insert({kLast, Lease()});
      deadlines_.insert({Instant::Never(), kLast});
    }
    runs_.insert(std::prev(runs_.end()), {run.first, run});
    deadlines_.insert(std::prev(deadlines_.end()), {run.deadline, run.first});
    count_ += run.count;
  }

  void Erase(Runs::iterator it) {
    deadlines_.erase({it->second.deadline, it->first});
    count_ -= it->second.count;
    runs_.erase(it);
  }

  LeaseId next_{1};
  uint64_t count_ = 0;
  // The last run added, if it is there as it was added: in no tree until the next one comes, since
  // where leases come and go one at a time it is gone by then. Without a count there is none.
  Lease newest_;
  // By first id. Both trees have, from the first entry on, a last one that nobody holds: it ends
  // every search, and a tree that is never empty again keeps its memory where leases come and go
  // one at a time.
  Runs runs_;
  // (deadline, first id) of every run.
  absl::btree_set<std::pair<Instant, LeaseId>> deadlines_;
};

}  // namespace sluice
