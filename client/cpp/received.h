// Messages as they were received: views into the response they came in, which they keep alive.
//
// Thread rule: value types; a Received may be read from several threads.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "core/message/message_view.h"
#include "grpcpp/support/byte_buffer.h"

namespace sluice::client {

// One delivery. Views live as long as the Received it belongs to.
struct ReceivedMessage {
  uint64_t delivery_id = 0;
  // 1 the first time.
  uint32_t attempt = 1;
  uint64_t id = 0;
  absl::Time publish_time;
  std::string_view data;
  std::string_view ordering_key;
  uint32_t priority = 0;

  template <class Fn>
  void ForEachAttribute(Fn&& fn) const {
    MessageView(bytes).ForEachAttribute(std::forward<Fn>(fn));
  }
  std::optional<std::string_view> FindAttribute(std::string_view key) const {
    return MessageView(bytes).FindAttribute(key);
  }

  // The serialized message.
  std::string_view bytes;
};

// What one response brought.
struct Received {
  std::vector<ReceivedMessage> messages;
  // What `messages` point into.
  std::vector<grpc::Slice> slices;
  std::string flat;
  // Set by the first response of a stream.
  bool opened = false;
  std::string subscription;
  int32_t ack_deadline_seconds = 0;
};

// Null for bytes that are no SubscribeResponse.
std::shared_ptr<Received> ParseResponse(const grpc::ByteBuffer& buffer);

}  // namespace sluice::client
