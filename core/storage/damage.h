// A part of a log that cannot be read, as the error of a Read tells it: in words for people, as
// metadata for clients and for the engine, which leads its subscriptions around it.
//
// Thread rule: pure functions.
#pragma once

#include <optional>
#include <string_view>

#include "absl/status/status.h"
#include "core/storage/ack_set.h"

namespace sluice {

// DATA_LOSS for the messages `lost` of `topic`, a full name; `segment` and `position` say where in
// the journal they are. REQUIRES: !lost.empty().
absl::Status DamageError(std::string_view topic, OffsetRange lost, std::string_view segment,
                         uint64_t position);

// The messages that `status` says are lost; nothing for any other status, also for a DATA_LOSS of
// which no extent is known.
std::optional<OffsetRange> DamagedMessages(const absl::Status& status);

}  // namespace sluice
