// What there is to tell of circuit breakers, for a log: the engine has none itself.
//
// Thread rule: value types. A listener is called from any thread, without a lock, and must not
// block.
#pragma once

#include <functional>
#include <string>

#include "core/flow/breaker_machine.h"

namespace sluice {

enum class BreakerKind { kStore, kDelivery, kPush };

struct BreakerEvent {
  BreakerKind kind = BreakerKind::kStore;
  // The full name of the subscription whose deliveries fail, or the endpoint pushed to; empty for
  // the store.
  std::string of;
  BreakerChange change;
};

using BreakerListener = std::function<void(const BreakerEvent&)>;

}  // namespace sluice
