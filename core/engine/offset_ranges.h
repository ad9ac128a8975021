// Ranges of offsets that are collected in order.
//
// Thread rule: plain values.
#pragma once

#include <cstdint>

#include "absl/container/inlined_vector.h"
#include "core/storage/ack_set.h"

namespace sluice {

using OffsetRanges = absl::InlinedVector<OffsetRange, 8>;

// Appends a range, joined with the last one where it follows it.
template <class Ranges>
void Append(Ranges* ranges, OffsetRange more) {
  if (!ranges->empty() && ranges->back().end == more.begin) {
    ranges->back().end = more.end;
  } else {
    ranges->push_back(more);
  }
}

// Deliveries of these messages failed so often.
struct FailedRange {
  OffsetRange offsets;
  uint32_t failures = 0;
};

}  // namespace sluice
