// Policies of google.iam.v1 as they are kept: checked, without their etag, which is made of what is
// kept.
//
// Thread rule: pure functions.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "google/iam/v1/iam_policy.pb.h"

namespace sluice::server {

// The service's own bound on the members of a policy, each counted once for each role.
inline constexpr int kMaxPolicyMembers = 1500;
inline constexpr size_t kMaxPolicyBytes = size_t{256} << 10;

// What clients see of a stored policy, which is empty when nobody said anything.
google::iam::v1::Policy ShownPolicy(const std::string& stored);

// The stored policy after the request. INVALID_ARGUMENT (INVALID_POLICY, INVALID_UPDATE_MASK);
// ABORTED (CONCURRENT_CHANGE) for an etag of another state.
absl::StatusOr<std::string> ChangedPolicy(const std::string& stored,
                                          const google::iam::v1::SetIamPolicyRequest& request);

}  // namespace sluice::server
