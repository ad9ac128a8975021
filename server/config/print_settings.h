// The settings as people read them.
//
// Thread rule: pure functions.
#pragma once

#include <string>

#include "server/config/load_settings.h"

namespace sluice::server {

// As YAML that --config reads again, each with where it came from; secrets are masked. Topics and
// subscriptions of the file are not in it.
std::string SettingsAsYaml(const LoadedSettings& loaded);

// docs/configuration.md.
std::string SettingsReference();

}  // namespace sluice::server
