// The server's command line: a flag for each setting (settings.h), and what to do other than serve.
//
//   const ParsedFlags flags = ParseFlags(argc, argv, environ);
//   if (flags.exit_code) return *flags.exit_code;
//   Serve(flags.loaded.settings->options());
//
// Thread rule: called once, at the start.
#pragma once

#include <optional>

#include "server/config/load_settings.h"

namespace sluice::server {

// What the program ends with then.
inline constexpr int kUsageError = 2;

struct ParsedFlags {
  // What the server was told, for reading the file again, and what comes of it.
  Inputs inputs;
  LoadedSettings loaded;
  // When the program is to end at once: 0 for --help, --version and the like, kUsageError for
  // mistakes. What there is to say was said on the terminal.
  std::optional<int> exit_code;
  // --check-config: the settings by themselves are right.
  bool check = false;
};
ParsedFlags ParseFlags(int argc, const char* const* argv, const char* const* environment,
                       Inputs::ReadRest read_rest = nullptr);

}  // namespace sluice::server
