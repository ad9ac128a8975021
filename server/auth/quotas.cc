#include "server/auth/quotas.h"

#include <algorithm>
#include <array>

#include "core/base/error.h"
#include "fmt/format.h"

namespace sluice::server {
namespace {

absl::Status Exceeded(std::string_view scope, std::string_view name, std::string_view limit, absl::Duration wait) {
  absl::Status status = Error(Reason::kQuotaExceeded, fmt::format("{} is over its {}", name, limit),
                              {{"scope", std::string(scope)}, {"limit", std::string(limit)}});
  SetRetryDelay(wait, &status);
  return status;
}

}  // namespace

Quotas::Buckets& Quotas::BucketsOf(std::string_view kind, std::string_view name, const Quota& quota) {
  if (buckets_.size() >= kMaxBuckets) buckets_.clear();
  auto [found, made] = buckets_.try_emplace(fmt::format("{} {}", kind, name));
  if (made) {
    Buckets& buckets = found->second;
    if (quota.messages_per_second > 0) buckets.messages.emplace(quota.messages_per_second, quota.messages_per_second);
    if (quota.bytes_per_second > 0) buckets.bytes.emplace(quota.bytes_per_second, quota.bytes_per_second);
  }
  return found->second;
}

absl::Status Quotas::Take(const Policy& policy, std::string_view principal, std::string_view project, uint32_t messages,
                          size_t bytes) {
  if (!policy.has_quotas()) return absl::OkStatus();
  struct Scope {
    std::string_view kind;
    std::string_view name;
    Quota quota;
  };
  const std::array<Scope, 2> scopes = {{{"identity", principal, policy.QuotaOfMember(principal)},
                                        {"project", project, policy.QuotaOfProject(project)}}};
  const Instant now = clock_.Now();
  MutexLock lock(mu_);
  // Nothing is taken from one that the other refuses.
  for (const Scope& scope : scopes) {
    Buckets& buckets = BucketsOf(scope.kind, scope.name, scope.quota);
    for (const auto& [bucket, limit] : {std::pair(&buckets.messages, "messages_per_second"),
                                        std::pair(&buckets.bytes, "bytes_per_second")}) {
      if (!*bucket) continue;
      if (const Instant at = (*bucket)->Take(0, now); at > now) return Exceeded(scope.kind, scope.name, limit, at - now);
    }
  }
  for (const Scope& scope : scopes) {
    Buckets& buckets = BucketsOf(scope.kind, scope.name, scope.quota);
    if (buckets.messages) buckets.messages->Take(messages, now);
    if (buckets.bytes) buckets.bytes->Take(bytes, now);
  }
  return absl::OkStatus();
}

void Quotas::Reset() {
  MutexLock lock(mu_);
  buckets_.clear();
}

}  // namespace sluice::server
