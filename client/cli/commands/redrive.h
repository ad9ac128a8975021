// sluice dlq redrive|purge.
//
// Thread rule: for the main thread.
#pragma once

#include <cstdint>
#include <string>

#include "client/cli/commands/commands.h"
#include "sluice/v1/pubsub.grpc.pb.h"

namespace sluice::cli {

struct RedriveFlags {
  std::string subscription;
  std::string to;
  int64_t count = 0;
};

void AddRedriveCommands(CLI::App* dlq, Run* run);

}  // namespace sluice::cli
