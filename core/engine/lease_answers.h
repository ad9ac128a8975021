// How clients name leases beside their ids, and what they are told of them.
//
// Thread rule: plain values.
#pragma once

#include <vector>

#include "absl/status/status.h"
#include "core/base/named_type.h"
#include "core/engine/consumer.h"

namespace sluice {

// Deliveries as they are known to a client that may be late: it names their leases, and which
// messages they were.
struct LateAck {
  LeaseRange leases;
  // Of the first.
  Offset offset;
};

// What became of acknowledgements that are confirmed. Every id asked for is in one of the three.
struct AckOutcome {
  // Durable: these messages will not be delivered again.
  std::vector<LeaseRange> confirmed;
  // Not held by this consumer (any more): these messages may be delivered again, or were
  // acknowledged before.
  std::vector<LeaseRange> refused;
  // Still held: an earlier message of the same ordering key has to be acknowledged first.
  std::vector<LeaseRange> too_early;
  // Why nothing could be confirmed.
  absl::Status status;
};

// Leases of an engine before this one that go on, and the id of the first of them here; the others
// follow by one.
struct TakenUp {
  LeaseRange earlier;
  LeaseId now;
};

}  // namespace sluice
