#include "server/api/google/iam_policy.h"

#include <algorithm>
#include <cstdint>
#include <string_view>

#include "core/base/error.h"
#include "fmt/format.h"
#include "server/api/google/texts.h"
#include "xxhash.h"

namespace sluice::server {
namespace {

namespace iam = ::google::iam::v1;

std::string EtagOf(const std::string& stored) {
  const uint64_t hash = XXH3_64bits(stored.data(), stored.size());
  return {reinterpret_cast<const char*>(&hash), sizeof hash};
}

absl::Status Invalid(const std::string& field, const std::string& value, std::string_view limit) {
  return Error(Reason::kInvalidPolicy,
               fmt::format("{}: {}, but it must be {}", field, value, limit),
               {{"field", field}, {"value", value}, {"limit", std::string(limit)}});
}

// The kinds of principals of the public documentation
// (cloud.google.com/iam/docs/principal-identifiers).
bool IsMember(std::string_view member) {
  static constexpr std::string_view kWhole[] = {"allUsers", "allAuthenticatedUsers"};
  static constexpr std::string_view kKinds[] = {
      "user:",          "serviceAccount:", "group:",     "domain:",       "projectOwner:",
      "projectEditor:", "projectViewer:",  "principal:", "principalSet:", "deleted:"};
  return std::find(std::begin(kWhole), std::end(kWhole), member) != std::end(kWhole) ||
         std::any_of(std::begin(kKinds), std::end(kKinds), [&](std::string_view kind) {
           return member.size() > kind.size() && member.substr(0, kind.size()) == kind;
         });
}

bool IsRole(std::string_view role) {
  const size_t at = role.find("roles/");
  return at != role.npos && at + 6 < role.size() && (at == 0 || role[at - 1] == '/');
}

absl::Status Check(const iam::Policy& policy) {
  if (policy.version() != 0 && policy.version() != 1 && policy.version() != 3) {
    return Invalid("policy.version", std::to_string(policy.version()), "0, 1 or 3");
  }
  int members = 0;
  for (int i = 0; i < policy.bindings_size(); ++i) {
    const iam::Binding& binding = policy.bindings(i);
    const std::string field = fmt::format("policy.bindings[{}]", i);
    if (!IsRole(binding.role()))
      return Invalid(field + ".role", binding.role(), "as roles/pubsub.publisher");
    for (const std::string& member : binding.members()) {
      if (!IsMember(member))
        return Invalid(field + ".members", member, "as user:a@example.com or allUsers");
    }
    members += binding.members_size();
    if (binding.has_condition() && policy.version() != 3) {
      return Invalid("policy.version", std::to_string(policy.version()),
                     "3 where a binding has a condition");
    }
  }
  if (members > kMaxPolicyMembers) {
    return Invalid("policy.bindings", fmt::format("{} members", members),
                   fmt::format("at most {}", kMaxPolicyMembers));
  }
  if (policy.ByteSizeLong() > kMaxPolicyBytes) {
    return Invalid("policy", fmt::format("{} bytes", policy.ByteSizeLong()),
                   fmt::format("at most {}", kMaxPolicyBytes));
  }
  return absl::OkStatus();
}

// What the mask names of `wanted`; bindings when it names nothing.
absl::Status Merge(const google::protobuf::FieldMask& mask, const iam::Policy& wanted,
                   iam::Policy* policy) {
  const auto named = [&](std::string_view path) {
    return std::find(mask.paths().begin(), mask.paths().end(), path) != mask.paths().end();
  };
  for (const std::string& path : mask.paths()) {
    if (path != "bindings" && path != "etag" && path != "audit_configs" && path != "version") {
      return texts::MaskUnknown("Policy", path);
    }
  }
  if (mask.paths().empty() || named("bindings")) {
    *policy->mutable_bindings() = wanted.bindings();
    policy->set_version(wanted.version());
  }
  if (named("version")) policy->set_version(wanted.version());
  if (named("audit_configs")) *policy->mutable_audit_configs() = wanted.audit_configs();
  return absl::OkStatus();
}

iam::Policy Read(const std::string& stored) {
  iam::Policy policy;
  policy.ParseFromString(stored);
  return policy;
}

}  // namespace

// Whoever asks for an older version gets conditions all the same: to set back what was shown must
// lose nothing.
iam::Policy ShownPolicy(const std::string& stored) {
  iam::Policy policy = Read(stored);
  // As the service: what has no bindings has no version either.
  if (policy.version() == 0 && policy.bindings_size() > 0) policy.set_version(1);
  policy.set_etag(EtagOf(stored));
  return policy;
}

absl::StatusOr<std::string> ChangedPolicy(const std::string& stored,
                                          const iam::SetIamPolicyRequest& request) {
  if (!request.has_policy()) return texts::InvalidArgument("policy");
  if (!request.policy().etag().empty() && request.policy().etag() != EtagOf(stored)) {
    return Error(Reason::kConcurrentChange,
                 "policy.etag: the policy was changed meanwhile; read it again",
                 {{"field", "policy.etag"}});
  }
  iam::Policy policy = Read(stored);
  absl::Status status = Merge(request.update_mask(), request.policy(), &policy);
  if (status.ok()) status = Check(policy);
  if (!status.ok()) return status;
  return policy.SerializeAsString();
}

}  // namespace sluice::server
