// Receiving and printing messages, for every command that does.
//
// Thread rule: for the main thread.
#pragma once

#include <cstdint>
#include <string>

#include "client/cli/session.h"
#include "client/cpp/subscriber.h"

namespace sluice::cli {

struct PullFlags {
  std::string target;
  std::string from = "latest";
  std::string filter;
  // 0 for no end.
  int64_t count = 0;
  bool follow = false;
  std::string ack = "auto";
  std::string idle = "2s";
};

// Prints what comes until there was enough, nothing more comes, or Ctrl-C; gives the exit code.
int Receive(const Session& session, const PullFlags& flags, client::SubscriberTarget target);

}  // namespace sluice::cli
