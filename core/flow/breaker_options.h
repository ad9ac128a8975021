// When a circuit breaker opens, for how long, and how it finds out that all is well again. The
// defaults are for calls that normally take milliseconds; resilience4j and envoy choose much the
// same ones.
//
// Thread rule: a value type and a pure function.
#pragma once

#include <cstdint>
#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace sluice {

struct BreakerOptions {
  // The ratios are of the calls that ended within this time (to a tenth of it): 10 ms to 1 h.
  absl::Duration window = absl::Seconds(10);
  // ... and say nothing before there were as many: 1 to 1,000,000.
  uint32_t minimum_calls = 20;

  // Opens when this part of the calls failed: 0 (never) to 1.
  double failure_ratio = 0.5;
  // Opens when so many failed one after the other; 0 for never, 1,000,000 at the most.
  uint32_t consecutive_failures = 5;
  // Opens when this part of the calls took `slow_call` (1 ms to 1 h) or longer, whether they
  // succeeded or not: 0 (never) to 1. Such a call counts as failed where it is a probe.
  double slow_ratio = 0.8;
  absl::Duration slow_call = absl::Seconds(2);
  // Opens when a call has not ended after this long; 0 for never, 1 h at the most.
  absl::Duration stalled_call = absl::Seconds(5);

  // The first time it stays open this long, each time that probes fail twice as long as before: 1
  // ms to `max_open_time`, which is 24 h at the most.
  absl::Duration open_time = absl::Seconds(1);
  absl::Duration max_open_time = absl::Seconds(30);
  // Closed for this long, it begins with `open_time` again: 0 to 24 h.
  absl::Duration forget_after = absl::Seconds(60);

  // So many calls are let through after that: 1 to 10,000. It opens again when `failure_ratio` of
  // them have failed (one is enough without a ratio), and closes as soon as that cannot be any
  // more.
  uint32_t probes = 1;

  bool operator==(const BreakerOptions&) const = default;
};

// INVALID_BREAKER_POLICY, naming `prefix`.field, its value and the limit.
absl::Status Validate(const BreakerOptions& options, std::string_view prefix);

}  // namespace sluice
