#include "server/security/auth/stored_policy.h"

#include <algorithm>

#include "absl/strings/strip.h"
#include "core/base/strings.h"
#include "google/iam/v1/policy.pb.h"

namespace sluice::server {
namespace {

bool IsMember(const std::string& member, const Policy& file, std::string_view principal) {
  if (member == "allUsers") return true;
  if (member == "allAuthenticatedUsers") return principal != kAnonymous;
  absl::string_view name = member;
  if (absl::ConsumePrefix(&name, "principal:")) return name == ToAbsl(principal);
  if (absl::ConsumePrefix(&name, "group:")) {
    const std::vector<Pattern>* const group = file.Group(ToStd(name));
    return group != nullptr &&
           std::any_of(group->begin(), group->end(),
                       [&](const Pattern& pattern) { return MatchesMember(pattern, principal); });
  }
  absl::string_view jwt = ToAbsl(principal);
  return (absl::ConsumePrefix(&name, "user:") || absl::ConsumePrefix(&name, "serviceAccount:")) &&
         absl::ConsumePrefix(&jwt, "jwt:") && jwt == name;
}

}  // namespace

bool StoredPolicyGrants(const std::string& stored, const Policy& file, std::string_view principal,
                        Right right) {
  google::iam::v1::Policy policy;
  if (stored.empty() || !policy.ParseFromString(stored)) return false;
  return std::any_of(policy.bindings().begin(), policy.bindings().end(),
                     [&](const google::iam::v1::Binding& binding) {
                       const auto rights = RightsOfRole(binding.role());
                       return rights && rights->has(right) && !binding.has_condition() &&
                              std::any_of(binding.members().begin(), binding.members().end(),
                                          [&](const std::string& member) {
                                            return IsMember(member, file, principal);
                                          });
                     });
}

}  // namespace sluice::server
