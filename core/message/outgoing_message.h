// What an embedding program publishes, before it is put in wire form.
//
//   const OutgoingMessage message{.data = "...", .attributes = {{"colour", "blue"}}};
//   if (CheckMessage(message, 0, &traits).ok()) AppendWire(message, &wire);      // checks: validate.h
//
// Thread rule: a value type; the bytes it points to must outlive it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "core/message/message_view.h"

namespace sluice {

struct OutgoingMessage {
  std::string_view data = {};
  std::vector<AttributeView> attributes = {};
  std::string_view ordering_key = {};
  uint32_t priority = 0;
  // Not before, and not after; neither when absent.
  std::optional<absl::Time> deliver_at = std::nullopt;
  std::optional<absl::Time> expire_at = std::nullopt;
};

// Appends the message as it is stored: a serialized sluice.v1.Message.
void AppendWire(const OutgoingMessage& message, std::string* out);

}  // namespace sluice
