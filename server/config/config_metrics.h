// What is counted of reading the settings again.
//
// Thread rule: every member may be used from any thread.
#pragma once

#include "absl/time/clock.h"
#include "core/metrics/metrics.h"

namespace sluice::server {

struct ConfigMetrics {
  ConfigMetrics() { last_success_ms.Set(absl::ToUnixMillis(absl::Now())); }

  Counter reloads_ok;
  Counter reloads_failed;
  // When the settings were last read without a mistake: at the start, or by a reload.
  Gauge last_success_ms;
};

}  // namespace sluice::server
