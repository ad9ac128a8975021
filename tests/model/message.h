// A message as the model knows it, and the filters that its subscriptions use, said a second time
// in plain C++.
//
// Thread rule: plain values and pure functions.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/message/batch.h"
#include "core/message/message_view.h"

namespace sluice::model {

struct Message {
  std::string data;
  std::map<std::string, std::string> attributes = {};
  std::string key = {};
  uint32_t priority = 0;
  // Microseconds since 1970.
  int64_t deliver_at_us = kDeliverAtOnce;
  int64_t expire_at_us = kNeverExpires;

  bool operator==(const Message&) const = default;
};

inline Message Parse(std::string_view stored) {
  const MessageView view(stored);
  Message message{.data = std::string(view.data()),
                  .key = std::string(view.ordering_key()),
                  .priority = view.priority(),
                  .deliver_at_us = view.deliver_at_us(),
                  .expire_at_us = view.expire_at_us()};
  view.ForEachAttribute([&](std::string_view key, std::string_view value) {
    message.attributes[std::string(key)] = std::string(value);
  });
  return message;
}

inline OutgoingMessage Outgoing(const Message& message) {
  OutgoingMessage out;
  out.data = message.data;
  for (const auto& [key, value] : message.attributes) out.attributes.push_back({key, value});
  out.ordering_key = message.key;
  out.priority = message.priority;
  if (message.deliver_at_us != kDeliverAtOnce)
    out.deliver_at = absl::FromUnixMicros(message.deliver_at_us);
  if (message.expire_at_us != kNeverExpires)
    out.expire_at = absl::FromUnixMicros(message.expire_at_us);
  return out;
}

struct FilterCase {
  std::string text;
  std::function<bool(const Message&)> matches;
};

inline std::string AttributeOf(const Message& message, const std::string& key) {
  auto found = message.attributes.find(key);
  return found == message.attributes.end() ? std::string() : found->second;
}

// Over the attributes "colour" (red, green or none) and "size" (small, large or none) and the
// priorities 0 to 9.
inline const std::vector<FilterCase>& FilterCases() {
  static const auto& cases = *new std::vector<FilterCase>{
      {"", [](const Message&) { return true; }},
      {R"(attributes.colour = "red")",
       [](const Message& m) { return AttributeOf(m, "colour") == "red"; }},
      {R"(NOT attributes:colour)",
       [](const Message& m) { return !m.attributes.contains("colour"); }},
      {R"(hasPrefix(attributes.size, "sm") OR attributes.colour = "green")",
       [](const Message& m) {
         return AttributeOf(m, "size").substr(0, 2) == "sm" || AttributeOf(m, "colour") == "green";
       }},
      {R"(priority >= 5 AND attributes:size)",
       [](const Message& m) { return m.priority >= 5 && m.attributes.contains("size"); }},
      {R"(attributes.colour = "blue")", [](const Message&) { return false; }},
  };
  return cases;
}

}  // namespace sluice::model
