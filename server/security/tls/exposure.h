// Whether an address may be listened on in plain text.
//
// Thread rule: a pure function.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace sluice::server {

// OK on this machine's loopback, with TLS, and when it was said to be meant so; else
// INVALID_ARGUMENT (INVALID_CONFIG) names the setting.
absl::Status CheckExposure(std::string_view setting, const std::string& address, bool tls,
                           bool insecure);

}  // namespace sluice::server
