// Reads where to begin from a flag: earliest, latest, a time in RFC 3339, or a message id.
//
// Thread rule: a pure function.
#pragma once

#include <string>

#include "CLI/CLI.hpp"
#include "absl/strings/numbers.h"
#include "absl/time/time.h"
#include "sluice/v1/pubsub.pb.h"

namespace sluice::cli {

// Throws CLI::ValidationError.
inline void ParseStart(const std::string& text, v1::StartPosition* start,
                       const std::string& flag = "--from") {
  uint64_t id = 0;
  absl::Time time;
  std::string error;
  if (text == "earliest") {
    start->set_earliest(true);
  } else if (text == "latest") {
    start->set_latest(true);
  } else if (absl::SimpleAtoi(text, &id)) {
    start->set_message_id(id);
  } else if (absl::ParseTime(absl::RFC3339_full, text, &time, &error)) {
    start->mutable_time()->set_seconds(absl::ToUnixSeconds(time));
    start->mutable_time()->set_nanos(static_cast<int32_t>(
        absl::ToInt64Nanoseconds(time - absl::FromUnixSeconds(absl::ToUnixSeconds(time)))));
  } else {
    throw CLI::ValidationError(
        flag,
        "must be earliest, latest, a time such as 2026-01-31T10:00:00Z or a message id; it is " +
            text);
  }
}

}  // namespace sluice::cli
