// What the files in YAML that the server reads have in common: places in them for errors, keys that
// are known and there once.
//
// Thread rule: pure functions.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/base/error.h"
#include "yaml-cpp/yaml.h"

namespace sluice::server {

// "FILE:LINE".
std::string PlaceOf(const std::string& path, const YAML::Node& node);

// The whole of a text file. INVALID_ARGUMENT (INVALID_CONFIG) when it cannot be read or has more
// than 4 MiB.
absl::StatusOr<std::string> ReadTextFile(const std::string& path);

// A map with keys of `known` only, none twice; an error of `reason` names the line. Nothing is a
// map without keys.
absl::Status CheckKeys(const std::string& path, const YAML::Node& map, std::string_view what,
                       std::initializer_list<std::string_view> known, Reason reason);

// A list of strings; a string alone is a list of one.
absl::StatusOr<std::vector<std::string>> StringsOf(const std::string& path, const YAML::Node& node,
                                                   std::string_view what, Reason reason);

absl::Status ErrorAt(const std::string& path, const YAML::Node& node, std::string_view what,
                     Reason reason);

}  // namespace sluice::server
