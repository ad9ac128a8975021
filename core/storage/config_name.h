// What a store reads in the config of a topic or subscription, which is the engine's otherwise
// (docs/format.md): its full name, so that errors and reports name what people know, and what it
// needs to put another config in place of a damaged one.
//
// Thread rule: pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/message/wire.h"

namespace sluice {

// Fields that the store reads.
inline constexpr uint32_t kConfigName = 1;
inline constexpr uint32_t kConfigTopic = 2;
inline constexpr uint32_t kConfigTopicId = 100;
inline constexpr uint32_t kConfigSnapshotUntil = 101;
inline constexpr uint32_t kLostConfigField = 200;

// Empty when there is none.
inline std::string_view NameInConfig(std::string_view config) {
  WireReader in(config);
  WireField field;
  while (in.Next(&field)) {
    if (field.number == kConfigName && field.type == WireType::kBytes) return field.bytes;
  }
  return {};
}

// Nothing when there is none, or it cannot be read.
inline std::optional<uint64_t> NumberInConfig(std::string_view config, uint32_t number) {
  WireReader in(config);
  WireField field;
  while (in.Next(&field)) {
    if (field.number == number && field.type == WireType::kVarint) return field.value;
  }
  return std::nullopt;
}

// In place of a config of which no more is known than the name.
inline std::string LostConfig(std::string_view name) {
  std::string config;
  AppendBytesField(&config, kConfigName, name);
  AppendVarintField(&config, kLostConfigField, 1);
  return config;
}

inline bool IsLostConfig(std::string_view config) {
  WireReader in(config);
  WireField field;
  while (in.Next(&field)) {
    if (field.number == kLostConfigField) return true;
  }
  return false;
}

// "projects/shop/topics/orders", or "number 7" without a name.
inline std::string NameOrNumber(std::string_view config, uint64_t id) {
  const std::string_view name = NameInConfig(config);
  return name.empty() ? "number " + std::to_string(id) : std::string(name);
}

}  // namespace sluice
