// What a store reads in the config of a topic or subscription, which is the engine's otherwise (docs/format.md): its full name, field
// 1, so that errors and reports name what people know; and the mark of a config that the store has put in place of a damaged one.
//
// Thread rule: pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/message/wire.h"

namespace sluice {

// Empty when there is none.
inline std::string_view NameInConfig(std::string_view config) {
  WireReader in(config);
  WireField field;
  while (in.Next(&field)) {
    if (field.number == 1 && field.type == WireType::kBytes) return field.bytes;
  }
  return {};
}

inline constexpr uint32_t kLostConfigField = 200;

// In place of a config of which no more is known than the name.
inline std::string LostConfig(std::string_view name) {
  std::string config;
  AppendBytesField(&config, 1, name);
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
