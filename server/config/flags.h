// The server's command line.
//
// Thread rule: called once, at the start.
#pragma once

#include <optional>

#include "server/options.h"

namespace sluice::server {

// Reads the flags. When the program is to end at once (--help, --version, a bad flag) says so on the terminal and gives
// the exit code instead.
struct ParsedFlags {
  Options options;
  std::optional<int> exit_code;
};
ParsedFlags ParseFlags(int argc, const char* const* argv);

}  // namespace sluice::server
