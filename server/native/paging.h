// Page tokens: where the next page begins, bound to the list they are for, so that a token that was forged or belongs to
// another list is refused. Stable: what is created or deleted meanwhile moves nothing else.
//
// Thread rule: pure functions.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace sluice::server {

struct PageRequest {
  size_t size = 0;
  // The last name of the page before; empty for the first page.
  std::string after;
};

// INVALID_PAGE names the field. `list` says which list it is.
absl::StatusOr<PageRequest> ParsePage(std::string_view list, int32_t page_size, std::string_view page_token);

std::string PageToken(std::string_view list, std::string_view last_name);

}  // namespace sluice::server
