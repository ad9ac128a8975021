// Where messages may be pushed to.
//
// Thread rule: pure functions.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "core/engine/config.h"

struct sockaddr;

namespace sluice::server {

inline constexpr size_t kMaxEndpointBytes = 2048;

// INVALID_ARGUMENT (INVALID_PUSH_CONFIG) unless it is an http or https URL with a host, no user in
// it, and no fragment. With `private_allowed` false, the host is not written as an address that
// IsPrivate; what a name leads to is seen when it is connected to.
absl::Status CheckEndpoint(const std::string& url, bool private_allowed);

// The same of a subscription that is pushed, OK of any other.
absl::Status CheckPush(const SubscriptionConfig& config, bool private_allowed);

// Whether an address is none of the public internet: this machine, its network, or what no host has
// (RFC 6890, the special-purpose address registries). IPv4 addresses within IPv6 ones count as what
// they stand for.
bool IsPrivate(const sockaddr& address);

// For logs: without what may be secret, the query.
std::string_view WithoutQuery(std::string_view url);

}  // namespace sluice::server
