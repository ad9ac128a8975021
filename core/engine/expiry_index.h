// When messages of a topic expire, roughly: stretches of offsets, each with the time from which on
// something in it may have expired. Times are rounded up to a quarter of a second, so that
// neighbours that expire together are one stretch; when there are many stretches neighbours become
// one with the earlier time. So it costs a bounded amount of memory, and who takes a stretch out
// looks at its messages and puts back what is left.
//
//   index.Add({first, end}, at_us);
//   while (auto stretch = index.TakeDue(now_us)) ...      // read it, and Add what did not expire
//
// Thread rule: a plain container; its owner locks.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "core/message/batch.h"
#include "core/message/message_view.h"
#include "core/storage/ack_set.h"

namespace sluice {

bool HasExpireAt(const Batch& batch, uint32_t begin, uint32_t end);

// False when no message [begin, end) of the batch says when it expires.
inline bool MayExpireAt(const Batch& batch, uint32_t begin, uint32_t end) {
  return !batch.plain() && HasExpireAt(batch, begin, end);
}

class ExpiryIndex {
 public:
  static constexpr int64_t kStepUs = 250'000;
  static constexpr size_t kMaxStretches = 20'000;
  // What becomes one stretch because it expires together is not larger, so that it is not read
  // again and again.
  static constexpr uint64_t kMaxTogether = 10'000;

  // Something in `range` expires at `at_us`, microseconds since 1970, and nothing before.
  void Add(OffsetRange range, int64_t at_us);

  // Takes out the stretch that is due first, if it is.
  std::optional<OffsetRange> TakeDue(int64_t now_us);

  // When the first one is due; kNeverExpires when there is none.
  int64_t next_us() const { return by_time_.empty() ? kNeverExpires : by_time_.begin()->first; }

  void DropBefore(Offset before);

  size_t stretches() const { return by_offset_.size(); }

 private:
  struct Stretch {
    Offset end;
    int64_t at_us = 0;
  };
  using ByOffset = absl::btree_map<Offset, Stretch>;

  ByOffset::iterator Erase(ByOffset::iterator it);
  void Insert(Offset begin, Stretch stretch);
  void Coarsen();

  // Disjoint.
  ByOffset by_offset_;
  absl::btree_set<std::pair<int64_t, Offset>> by_time_;
};

}  // namespace sluice
