// Fields of JSON that others wrote.
//
// Thread rule: pure functions.
#pragma once

#include <string>

#include "nlohmann/json.hpp"

namespace sluice::server {

// The text of a field; empty when it is not there, or is no text.
inline std::string StringOf(const nlohmann::json& object, const std::string& key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

}  // namespace sluice::server
