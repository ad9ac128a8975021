// Named servers with what it takes to reach them, in the user's config folder:
// $XDG_CONFIG_HOME/sluice/contexts.json, or
// ~/.config/sluice/contexts.json.
//
//   {"current": "prod", "contexts": {"prod": {"server": "sluice.example.com:8085", "tls": true, "token_file": "/home/a/token"}}}
//
// Secrets stay in files of their own: a context names them.
//
// Thread rule: for the main thread.
#pragma once

#include <map>
#include <string>

#include "absl/status/statusor.h"

namespace sluice::cli {

struct Context {
  std::string server;
  std::string project;
  bool tls = false;
  // Files (PEM); empty where there are none.
  std::string ca;
  std::string cert;
  std::string key;
  std::string token_file;
};

struct Contexts {
  std::string current;
  std::map<std::string, Context> all;

  static std::string Path();
  // None when there is no file. INVALID_ARGUMENT for a file that is none of these.
  static absl::StatusOr<Contexts> Load();
  absl::Status Save() const;
};

}  // namespace sluice::cli
