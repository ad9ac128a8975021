// The checks on a published message, all in one scan of its bytes.
//
// Thread rule: pure functions.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace sluice {

enum class WireForm {
  // May be stored as it is.
  kStorable,
  // Holds what the server sets, does not know or has not checked; RewriteMessage gives what may be stored.
  kNeedsRewrite,
};

// Checks a serialized message against every limit of limits.h. `index` is its place in the request, for the error.
absl::StatusOr<WireForm> CheckMessage(std::string_view wire, size_t index);

// Appends to `out` the message with its known, client-owned fields only. REQUIRES: CheckMessage accepted it.
void RewriteMessage(std::string_view wire, std::string* out);

// The error for a request of `bytes`.
absl::Status RequestTooLarge(size_t bytes);

}  // namespace sluice
