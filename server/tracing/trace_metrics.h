// What is counted of tracing.
//
// Thread rule: every member may be called from any thread.
#pragma once

#include "core/metrics/metrics.h"

namespace sluice::server {

struct TraceMetrics {
  // Spans that the collector took.
  Counter exported;
  // Spans that are lost: the queue was full; the collector could not be had, or said no, or was not
  // there at the end.
  Counter dropped_queue_full;
  Counter dropped_unreachable;
  Counter dropped_rejected;
  Counter dropped_shutdown;
  // Calls to the collector that failed, those that were tried again among them.
  Counter export_failures;
  // Spans that wait.
  Gauge queued;
};

}  // namespace sluice::server
