// How long a message waits before it is delivered again.
//
// Thread rule: pure functions.
#pragma once

#include <cstdint>
#include <optional>

#include "absl/time/time.h"

namespace sluice {

// The first redelivery waits `minimum`, each further one twice as long as the one before, `maximum`
// at the most. Pub/Sub's defaults for a policy that is set but says nothing.
struct RetryPolicy {
  absl::Duration minimum = absl::Seconds(10);
  absl::Duration maximum = absl::Seconds(600);

  bool operator==(const RetryPolicy&) const = default;
};

// The wait after `attempts` deliveries. Jitter takes off up to a fifth, though nothing below the
// minimum; it comes from `seed` alone, so that a run can be repeated. Without a policy the first
// redelivery goes at once and later ones wait a little, 10 ms, 20 ms, ... 1 s: a consumer that
// nacks everything must not keep the server spinning.
absl::Duration RetryDelay(const std::optional<RetryPolicy>& policy, uint32_t attempts,
                          uint64_t seed);

}  // namespace sluice
