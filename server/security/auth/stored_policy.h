// Policies that were set on a topic, a subscription or a snapshot (google.iam.v1.IAMPolicy), as
// they grant rights beside the policy file.
//
// Members: allUsers; allAuthenticatedUsers; user:NAME and serviceAccount:NAME, which are jwt:NAME;
// group:NAME, of the policy file; and principal:PRINCIPAL, such as principal:token:ci. A binding
// with a condition grants nothing, since conditions are not evaluated.
//
// Thread rule: pure functions.
#pragma once

#include <string>
#include <string_view>

#include "server/security/auth/policy.h"

namespace sluice::server {

// `stored`: a serialized google.iam.v1.Policy.
bool StoredPolicyGrants(const std::string& stored, const Policy& file, std::string_view principal,
                        Right right);

}  // namespace sluice::server
