// One small file over HTTP, for as long as it takes: for a thread that may wait.
//
// Thread rule: any thread; blocks.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace sluice::server {

struct FetchLimits {
  absl::Duration timeout = absl::Seconds(10);
  size_t bytes = size_t{1} << 20;
};

// The body of a 200. No redirect is followed. UNAVAILABLE (KEYS_UNAVAILABLE) says what went wrong.
absl::StatusOr<std::string> Fetch(const std::string& url, const FetchLimits& limits);

// https, or http on this machine.
bool MayBeFetched(const std::string& url);

}  // namespace sluice::server
