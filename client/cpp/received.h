// Messages as they were received: views into the response they came in.
//
// Thread rule: constant after parsing.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "client/cpp/bytes.h"
#include "core/message/message_view.h"
#include "grpcpp/support/byte_buffer.h"
#include "sluice/v1/pubsub.pb.h"

namespace sluice::client {

// One delivery. Valid while the handler that was given it runs.
struct ReceivedMessage {
  // Names this delivery on its stream.
  uint64_t delivery_id = 0;
  // Unique in its topic, growing in the order of storage.
  uint64_t id = 0;
  absl::Time publish_time;
  // 1 the first time.
  uint32_t attempt = 1;
  uint32_t priority = 0;
  std::string_view data;
  std::string_view ordering_key;
  // The serialized message, and how much of it counts as credit.
  std::string_view bytes;
  size_t credit_bytes = 0;

  template <class Fn>
  void ForEachAttribute(Fn&& fn) const {
    MessageView(bytes).ForEachAttribute(std::forward<Fn>(fn));
  }
  std::optional<std::string_view> FindAttribute(std::string_view key) const {
    return MessageView(bytes).FindAttribute(key);
  }
};

// What one response brought.
struct Received {
  explicit Received(const grpc::ByteBuffer& buffer) : bytes(buffer) {}

  // What `messages` point into.
  const ContiguousBytes bytes;
  std::vector<ReceivedMessage> messages;
  std::vector<v1::AckResult> ack_results;
  // In the first response of a stream.
  std::optional<v1::Opened> opened;
  std::vector<v1::TakenUp> taken_up;
};

// Null for bytes that are no SubscribeResponse. `likely_count` saves growing.
std::shared_ptr<const Received> ParseResponse(const grpc::ByteBuffer& buffer, size_t likely_count);

}  // namespace sluice::client
