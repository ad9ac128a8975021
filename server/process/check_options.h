// What --check-config looks at beyond the settings by themselves: that they go together, and the
// files that they name.
//
// Thread rule: a pure function.
#pragma once

#include <vector>

#include "absl/status/status.h"
#include "server/config/options.h"

namespace sluice::server {

// Each mistake for which a server would not start: addresses that need TLS, certificates, policy,
// tokens, keys. Makes nothing and connects to nowhere. Empty when there is none.
std::vector<absl::Status> CheckOptions(const Options& options);

}  // namespace sluice::server
