// Subscriptions that come upon damaged messages: what they remember, and what a log is told (the
// engine has none itself).
//
// Thread rule: value types. A listener is called from any thread, without a lock, and must not
// block.
#pragma once

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "core/base/clock.h"
#include "core/storage/ack_set.h"

namespace sluice {

struct DamageEvent {
  // The full name.
  std::string subscription;
  // It goes on behind them, and has settled what was not acknowledged of them; otherwise it waits.
  bool skipped = false;
  // The DATA_LOSS that names the messages.
  absl::Status error;
};

// Damaged messages that a subscription has come upon.
struct FoundDamage {
  OffsetRange messages;
  // Otherwise the whole topic cannot be read at the moment.
  bool extent_known = false;
  absl::Status error;
  // They are not read again before.
  Instant until;
};

using DamageListener = std::function<void(const DamageEvent&)>;

}  // namespace sluice
