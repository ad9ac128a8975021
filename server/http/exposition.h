// All metrics as Prometheus families. Label sets are bounded: reasons and methods are fixed, topics
// and subscriptions have series of their own for the first kMaxSeriesPerKind names only; the sums
// without labels count all of them. docs/operations.md lists the names.
//
// Thread rule: constant after construction; Collect may run on several threads.
#pragma once

#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "prometheus/metric_family.h"
#include "server/rpc/service_context.h"

namespace sluice::server {

class Exposition {
 public:
  static constexpr size_t kMaxSeriesPerKind = 100;

  explicit Exposition(const ServiceContext& context) : context_(context) {}

  std::vector<prometheus::MetricFamily> Collect() const;

 private:
  const ServiceContext& context_;
  // About when the process began.
  const absl::Time started_ = absl::Now();
};

}  // namespace sluice::server
