// How much each caller, and each project, may publish a second, as the policy says; a burst of one second is allowed. A batch is let
// in while there is anything left, and may go past it by its own size, which the next ones wait for.
//
// Thread rule: every member may be called from any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "core/base/clock.h"
#include "core/base/mutex.h"
#include "core/flow/token_bucket.h"
#include "server/auth/policy.h"

namespace sluice::server {

class Quotas {
 public:
  explicit Quotas(const Clock& clock) : clock_(clock) {}

  // RESOURCE_EXHAUSTED (QUOTA_EXCEEDED) with `scope` and a retry delay.
  absl::Status Take(const Policy& policy, std::string_view principal, std::string_view project, uint32_t messages, size_t bytes)
      EXCLUDES(mu_);
  // After the policy has changed: what there was is forgotten.
  void Reset() EXCLUDES(mu_);

 private:
  struct Buckets {
    std::optional<TokenBucket> messages;
    std::optional<TokenBucket> bytes;
  };
  // Callers and projects that are remembered; when there are more all are forgotten.
  static constexpr size_t kMaxBuckets = 100'000;

  Buckets& BucketsOf(std::string_view kind, std::string_view name, const Quota& quota) REQUIRES(mu_);

  const Clock& clock_;
  Mutex mu_;
  absl::flat_hash_map<std::string, Buckets> buckets_ GUARDED_BY(mu_);
};

}  // namespace sluice::server
