// What somebody may have meant.
//
//   Nearest("push.max_request", {"push.ca", "push.max_requests"});        // "push.max_requests"
//
// Thread rule: a pure function.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace sluice::server {

// The one of `known` that is written most like `word`, with the last part of its path alone too;
// empty when none is near. Big and small letters, - and _ are the same.
std::string Nearest(std::string_view word, const std::vector<std::string>& known);

}  // namespace sluice::server
