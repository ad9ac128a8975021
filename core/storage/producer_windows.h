// What a topic remembers of those who number their batches: for each producer its epoch and where
// its last batches were stored. Bounded: kMaxBatches a producer, as many as a publish stream may
// have unanswered; kMaxProducers a topic, the one that published least recently being forgotten
// first.
//
//   auto before = windows.Find(tag);                 // *before is empty for a batch that is new
//   windows.Add(tag, {first, end});
//
// Thread rule: a plain container; the owner locks.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/container/btree_map.h"
#include "absl/status/statusor.h"
#include "core/message/producer_tag.h"
#include "core/storage/ack_set.h"

namespace sluice {

class ProducerWindows {
 public:
  static constexpr size_t kMaxBatches = 1024;
  static constexpr size_t kMaxProducers = 256;

  // Where the batch with this tag was stored; nothing for one that is new. FAILED_PRECONDITION:
  // PRODUCER_FENCED when a later epoch was there, SEQUENCE_TOO_OLD when it is below what is
  // remembered, so that nobody can tell.
  absl::StatusOr<std::optional<OffsetRange>> Find(const ProducerTag& tag) const;

  // Also of what was added before.
  void Add(const ProducerTag& tag, OffsetRange offsets);

  // Varints and bytes as described in docs/format.md ("producer windows").
  std::string Encode() const;
  static std::optional<ProducerWindows> Decode(std::string_view bytes);

  size_t producers() const { return windows_.size(); }

 private:
  struct Window {
    uint64_t epoch = 0;
    // Everything below is forgotten.
    uint64_t begin = 0;
    // By sequence.
    absl::btree_map<uint64_t, OffsetRange> batches;

    Offset last() const { return batches.empty() ? Offset(0) : batches.rbegin()->second.end; }
  };

  // By producer id.
  absl::btree_map<std::string, Window> windows_;
};

}  // namespace sluice
