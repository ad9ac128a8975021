// What the engine tells of its circuit breakers, for a log: it has none itself.
//
// Thread rule: value types. A listener is called from any thread, without a lock, and must not block.
#pragma once

#include <functional>
#include <string>

#include "core/flow/breaker_machine.h"

namespace sluice {

enum class BreakerKind { kStore, kDelivery };

struct BreakerEvent {
  BreakerKind kind = BreakerKind::kStore;
  // The subscription's full name; empty for the store.
  std::string subscription;
  BreakerChange change;
};

using BreakerListener = std::function<void(const BreakerEvent&)>;

}  // namespace sluice
