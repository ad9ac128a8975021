// How often an address may bring bad credentials: ten times at once, then once a second. Who is
// beyond that is told to wait before anything is looked at; credentials that are known to be good
// are not held up by a neighbour behind the same address.
//
// Thread rule: every member may be called from any thread.
#pragma once

#include <string>
#include <string_view>

#include "absl/container/flat_hash_map.h"
#include "core/base/clock.h"
#include "core/base/mutex.h"
#include "core/flow/token_bucket.h"

namespace sluice::server {

class FailureLimit {
 public:
  static constexpr double kPerSecond = 1;
  static constexpr double kBurst = 10;
  // Addresses that are remembered; when there are more, those that are quiet are forgotten, then
  // all.
  static constexpr size_t kMaxAddresses = 10'000;

  explicit FailureLimit(const Clock& clock) : clock_(clock) {}

  // Zero when the address may try; else how long it has to wait.
  absl::Duration Wait(std::string_view address) const EXCLUDES(mu_);
  void Failed(std::string_view address) EXCLUDES(mu_);

 private:
  struct Failures {
    TokenBucket bucket{kPerSecond, kBurst};
    // From when on it may try again.
    Instant until;
  };

  const Clock& clock_;
  mutable Mutex mu_;
  absl::flat_hash_map<std::string, Failures> failures_ GUARDED_BY(mu_);
};

// The host of a gRPC peer: "ipv4:10.0.0.7:51234" and "ipv6:%5B::1%5D:51234" without their ports.
std::string_view AddressOf(std::string_view peer);

}  // namespace sluice::server
