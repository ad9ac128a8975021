#include "client/cpp/received.h"

#include <charconv>

#include "core/message/wire.h"

namespace sluice::client {
namespace {

// Numbers of fields in SubscribeResponse and Delivery.
constexpr uint32_t kOpenedField = 1;
constexpr uint32_t kDeliveriesField = 2;
constexpr uint32_t kDeliveryIdField = 1;
constexpr uint32_t kMessageField = 2;
constexpr uint32_t kAttemptField = 3;

absl::Time ParseTimestamp(std::string_view bytes) {
  int64_t seconds = 0;
  int64_t nanos = 0;
  WireReader in(bytes);
  WireField field;
  while (in.Next(&field)) {
    if (field.type != WireType::kVarint) continue;
    if (field.number == 1) seconds = static_cast<int64_t>(field.value);
    if (field.number == 2) nanos = static_cast<int64_t>(field.value);
  }
  return absl::FromUnixSeconds(seconds) + absl::Nanoseconds(nanos);
}

// What a field with a tag of one byte takes.
size_t FieldSize(std::string_view bytes) { return 1 + VarintSize(bytes.size()) + bytes.size(); }

bool ParseMessage(std::string_view bytes, ReceivedMessage* message) {
  message->bytes = bytes;
  message->credit_bytes = bytes.size();
  WireReader in(bytes);
  WireField field;
  while (in.Next(&field)) {
    if (field.number == kPriorityField && field.type == WireType::kVarint) {
      message->priority = static_cast<uint32_t>(field.value);
    }
    if (field.type != WireType::kBytes) continue;
    switch (field.number) {
      case kDataField:
        message->data = field.bytes;
        break;
      case kOrderingKeyField:
        message->ordering_key = field.bytes;
        break;
      // These two the server puts around the stored form, which alone counts.
      case kMessageIdField:
        std::from_chars(field.bytes.data(), field.bytes.data() + field.bytes.size(), message->id);
        message->credit_bytes -= FieldSize(field.bytes);
        break;
      case kPublishTimeField:
        message->publish_time = ParseTimestamp(field.bytes);
        message->credit_bytes -= FieldSize(field.bytes);
        break;
      default:
        break;
    }
  }
  return in.ok();
}

bool ParseDelivery(std::string_view bytes, ReceivedMessage* message) {
  WireReader in(bytes);
  WireField field;
  while (in.Next(&field)) {
    if (field.type == WireType::kVarint) {
      if (field.number == kDeliveryIdField) message->delivery_id = field.value;
      if (field.number == kAttemptField) message->attempt = static_cast<uint32_t>(field.value);
    } else if (field.number == kMessageField && field.type == WireType::kBytes) {
      if (!ParseMessage(field.bytes, message)) return false;
    }
  }
  return in.ok() && message->delivery_id != 0;
}

}  // namespace

std::shared_ptr<const Received> ParseResponse(const grpc::ByteBuffer& buffer, size_t likely_count) {
  auto received = std::make_shared<Received>(buffer);
  received->messages.reserve(likely_count);
  WireReader in(received->bytes.view());
  WireField field;
  while (in.Next(&field)) {
    if (field.type != WireType::kBytes) continue;
    if (field.number == kDeliveriesField) {
      ReceivedMessage& message = received->messages.emplace_back();
      if (!ParseDelivery(field.bytes, &message)) return nullptr;
      received->credit += {1, static_cast<int64_t>(message.credit_bytes)};
    }
    if (field.number == kOpenedField &&
        !received->opened.emplace().ParseFromArray(field.bytes.data(), static_cast<int>(field.bytes.size()))) {
      return nullptr;
    }
  }
  return in.ok() ? received : nullptr;
}

}  // namespace sluice::client
