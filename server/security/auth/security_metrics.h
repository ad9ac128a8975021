// What is counted of credentials, rights, certificates and the audit log.
//
// Thread rule: every member may be used from any thread.
#pragma once

#include "core/metrics/metrics.h"

namespace sluice::server {

// How often something was read again, and with what end.
struct ReloadMetrics {
  Counter ok;
  Counter failed;

  void Count(bool good) { (good ? ok : failed).Add(); }
};

struct SecurityMetrics {
  // Credentials that were looked at, by what came of it; those that were known already are not
  // looked at again.
  Counter accepted;
  Counter rejected;
  Counter throttled;
  Counter denied;
  // Streams ended because their caller may not go on.
  Counter ended_streams;
  ReloadMetrics policy;
  ReloadMetrics tokens;
  ReloadMetrics keys;
  ReloadMetrics certificates;
  // Seconds since 1970; 0 without TLS.
  Gauge certificate_expiry;
  Counter audit_records;
  Counter audit_failures;
};

}  // namespace sluice::server
