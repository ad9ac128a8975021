// A message to publish, and its wire form.
//
//   Message message{.data = "hello", .attributes = {{"colour", "blue"}}};
//
// Thread rule: a value type.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace sluice::client {

// Must have data or an attribute. The limits are those of docs/api.md; they are checked before
// anything is sent, so that one bad message does not take those beside it along.
struct Message {
  std::string data = {};
  std::vector<std::pair<std::string, std::string>> attributes = {};
  std::string ordering_key = {};
  // 0 to 9, higher is more urgent.
  uint32_t priority = 0;
  // Not to be delivered before, and not after; by the server's clock.
  std::optional<absl::Time> deliver_at = std::nullopt;
  std::optional<absl::Time> expire_at = std::nullopt;
};

// Field 2 of a PublishRequest, once for each message; or why the server would refuse them.
absl::StatusOr<std::string> EncodeMessages(std::span<const Message> messages);

}  // namespace sluice::client
