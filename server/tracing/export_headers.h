// What a collector wants to have with every call, such as the key of who pays for it. A file has a
// line for each:
//
//   # of our tenant
//   authorization: Bearer 3f2a...
//   x-scope-orgid: shop
//
// Empty lines and those that begin with # are nothing.
//
// Thread rule: a pure function.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace sluice::server {

using ExportHeaders = std::vector<std::pair<std::string, std::string>>;

// With names in lower case, as gRPC has them; none for an empty path. INVALID_ARGUMENT
// (INVALID_CONFIG) names the line and never what stands there: it may be a key.
absl::StatusOr<ExportHeaders> ReadExportHeaders(const std::string& path);

}  // namespace sluice::server
