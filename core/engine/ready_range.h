// Messages of a subscription that may be delivered, now or at some time, and are not new.
//
// Thread rule: a value type.
#pragma once

#include <cstdint>

#include "core/storage/ack_set.h"

namespace sluice {

struct ReadyRange {
  OffsetRange offsets;
  // How often its delivery failed.
  uint32_t attempts = 0;
  uint8_t priority = 0;
};

}  // namespace sluice
