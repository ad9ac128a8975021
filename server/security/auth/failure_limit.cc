#include "server/security/auth/failure_limit.h"

namespace sluice::server {

absl::Duration FailureLimit::Wait(std::string_view address) const {
  MutexLock lock(mu_);
  const auto found = failures_.find(std::string(address));
  if (found == failures_.end()) return absl::ZeroDuration();
  return std::max(found->second.until - clock_.Now(), absl::ZeroDuration());
}

void FailureLimit::Failed(std::string_view address) {
  const Instant now = clock_.Now();
  MutexLock lock(mu_);
  if (failures_.size() >= kMaxAddresses) {
    absl::erase_if(failures_, [now](auto& entry) { return entry.second.bucket.Full(now); });
    if (failures_.size() >= kMaxAddresses) failures_.clear();
  }
  Failures& failures = failures_[std::string(address)];
  failures.until = failures.bucket.Take(1, now);
}

std::string_view AddressOf(std::string_view peer) { return peer.substr(0, peer.rfind(':')); }

}  // namespace sluice::server
