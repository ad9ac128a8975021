// What there is to tell of subscriptions that come upon damaged messages, for a log: the engine has
// none itself.
//
// Thread rule: value types. A listener is called from any thread, without a lock, and must not
// block.
#pragma once

#include <functional>
#include <string>

#include "absl/status/status.h"

namespace sluice {

struct DamageEvent {
  // The full name.
  std::string subscription;
  // It goes on behind them, and has settled what was not acknowledged of them; otherwise it waits.
  bool skipped = false;
  // The DATA_LOSS that names the messages.
  absl::Status error;
};

using DamageListener = std::function<void(const DamageEvent&)>;

}  // namespace sluice
