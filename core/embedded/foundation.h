// What all parts of a broker refer to. Held by each of them, since a handler's thread that was left
// behind may outlive the broker.
//
// Thread rule: constant after construction; clock and metrics guard themselves.
#pragma once

#include "core/base/clock.h"
#include "core/metrics/metrics.h"

namespace sluice::embedded {

struct Foundation {
  explicit Foundation(const Clock* the_clock)
      : clock(the_clock != nullptr ? *the_clock : system_clock) {}

  const SystemClock system_clock;
  const Clock& clock;
  Metrics metrics;
};

}  // namespace sluice::embedded
