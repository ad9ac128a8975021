// What becomes of a message when a subscription sees it for the first time.
//
// Thread rule: plain values.
#pragma once

#include <cstdint>
#include <string_view>

#include "core/message/message_view.h"

namespace sluice {

enum class Fate : uint8_t {
  kGoes,
  // The filter leaves it out.
  kFiltered,
  kExpired,
  // It is on its way to the dead-letter topic.
  kCondemned,
  // Its attempts are used up.
  kUsedUp,
  // It is not due.
  kNotYet,
  // An earlier message of its ordering key comes first.
  kBehindItsKey,
  // It goes into the line of priorities.
  kByPriority,
};

struct Arrival {
  Fate fate = Fate::kGoes;
  // How often its delivery failed.
  uint32_t attempts = 0;
  // Empty where order does not count.
  std::string_view key = {};
  uint8_t priority = 0;
  int64_t deliver_at_us = kDeliverAtOnce;
  // It failed, and not only before a restart or a seek.
  bool again = false;
};

}  // namespace sluice
