// Ack ids of google.pubsub.v1: 40 characters that say which delivery is meant without anything
// being kept for them. They hold after a stream was opened again, and after a restart.
//
//   char text[kAckIdSize];
//   WriteAckId(text, {subscription->id(), engine.incarnation(), lease, offset});
//   AckId id;
//   ReadAckId({text, kAckIdSize}, &id)            // false for what was never one
//
// 30 bytes in the alphabet of base64url: u64 subscription id, u32 incarnation of the engine, u64
// lease, u64 offset, u16 check (little-endian); the check is the low half of XXH3-64 over what
// stands before it. It tells ids that were cut or mistyped; it is no secret: who may acknowledge is
// decided elsewhere.
//
// Thread rule: pure functions and value types.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/base/named_type.h"

namespace sluice::server {

inline constexpr size_t kAckIdSize = 40;

struct AckId {
  SubscriptionId subscription;
  uint32_t incarnation = 0;
  LeaseId lease;
  Offset offset;
};

// Writes kAckIdSize characters and returns the end.
char* WriteAckId(char* out, const AckId& id);

bool ReadAckId(std::string_view text, AckId* id);

}  // namespace sluice::server
