// The settings as they come out of everything that the server was told: a flag beats a variable, a
// variable the file, the file the default.
//
//   Inputs inputs = {.file = "sluice.yaml", .flags = {{"listen", {"127.0.0.1:0"}}}};
//   inputs.ReadEnvironment(environ);
//   LoadedSettings loaded = LoadSettings(inputs);
//   for (const Mistake& mistake : loaded.mistakes) ...
//   loaded.settings->options();
//
// All are checked, those too that another one beats. Inputs stay as they are for as long as the
// process lives, and the file is read again by a reload (reloadable_settings.h).
//
// Thread rule: plain objects; environ is read at the start, when there is but one thread.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "server/base/file_watch.h"
#include "server/config/config_file.h"
#include "server/config/settings.h"

namespace sluice::server {

struct Inputs {
  // The path of a setting, and its texts.
  using Given = std::vector<std::pair<std::string, std::vector<std::string>>>;

  // Takes what SLUICED_... says, a list as texts with spaces between them, and the file of
  // SLUICED_CONFIG if there is none yet. A variable that nearly is one of these is a mistake.
  // Others are not: Kubernetes makes such for a service of that name.
  void ReadEnvironment(const char* const* variables);

  // Reads what the file has beside settings, tells the mistakes, and gives the number of topics and
  // subscriptions it names. None when null.
  using ReadRest = std::function<size_t(const ConfigFile& file, std::vector<Mistake>* mistakes)>;

  // Empty for none.
  std::string file;
  ReadRest read_rest = nullptr;
  Given flags;
  Given variables;
  std::vector<Mistake> mistakes;
};

struct LoadedSettings {
  std::unique_ptr<Settings> settings = std::make_unique<Settings>();
  std::vector<Mistake> mistakes;
  // How many topics and subscriptions the file names.
  size_t resources = 0;
  // Of the file, as it was before it was read.
  FileId file_id;
};

LoadedSettings LoadSettings(const Inputs& inputs);

}  // namespace sluice::server
