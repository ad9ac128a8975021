// One function a command group: each adds its subcommands to the parser and, when one is chosen,
// sets `run`.
//
// Thread rule: for the main thread.
#pragma once

#include <functional>

#include "CLI/CLI.hpp"
#include "client/cli/session.h"
#include "google/protobuf/duration.pb.h"

namespace sluice::cli {

// Gives the exit code.
using Run = std::function<int(const Session&)>;

void AddTopicCommands(CLI::App& app, Run* run);
void AddSubCommands(CLI::App& app, Run* run);
void AddPubCommand(CLI::App& app, Run* run);
void AddPullCommands(CLI::App& app, Run* run);
void AddSnapshotCommands(CLI::App& app, Run* run);
void AddDlqCommands(CLI::App& app, Run* run);
void AddStatsCommand(CLI::App& app, Run* run);
void AddHealthCommand(CLI::App& app, Run* run);
void AddBenchCommand(CLI::App& app, Run* run);
void AddAdminCommands(CLI::App& app, Run* run);
void AddTokenCommand(CLI::App& admin, Run* run);
void AddContextCommands(CLI::App& app, Run* run);
void AddDoctorCommand(CLI::App& app, Run* run);
void AddCompletionCommand(CLI::App& app, Run* run);

// "k=v" pairs into a protobuf map. Throws CLI::ValidationError.
template <class Map>
void ParsePairs(const std::vector<std::string>& pairs, Map* out) {
  for (const std::string& pair : pairs) {
    const size_t equals = pair.find('=');
    if (equals == std::string::npos || equals == 0)
      throw CLI::ValidationError(pair, "must be KEY=VALUE");
    (*out)[pair.substr(0, equals)] = pair.substr(equals + 1);
  }
}

// The same into a protobuf duration.
void SetDuration(const std::string& flag, const std::string& text, google::protobuf::Duration* out);

// Durations as "90s", "10m", "7h30m". Throws CLI::ValidationError.
inline absl::Duration ParseDurationOrThrow(const std::string& flag, const std::string& text) {
  absl::Duration d;
  if (!absl::ParseDuration(text, &d))
    throw CLI::ValidationError(flag, "must be a duration such as 90s or 24h; it is " + text);
  return d;
}

}  // namespace sluice::cli
