#include "client/cpp/received.h"

#include <charconv>

#include "core/message/wire.h"

namespace sluice::client {
namespace {

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
        message->credit_bytes -= BytesFieldSize(field.bytes.size());
        break;
      case kPublishTimeField:
        message->publish_time = ParseTimestamp(field.bytes);
        message->credit_bytes -= BytesFieldSize(field.bytes.size());
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
      if (field.number == v1::Delivery::kDeliveryIdFieldNumber) message->delivery_id = field.value;
      if (field.number == v1::Delivery::kAttemptFieldNumber)
        message->attempt = static_cast<uint32_t>(field.value);
    } else if (field.number == v1::Delivery::kMessageFieldNumber &&
               field.type == WireType::kBytes) {
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
    if (field.number == v1::SubscribeResponse::kDeliveriesFieldNumber) {
      ReceivedMessage& message = received->messages.emplace_back();
      if (!ParseDelivery(field.bytes, &message)) return nullptr;
    }
    google::protobuf::MessageLite* part = nullptr;
    if (field.number == v1::SubscribeResponse::kAckResultsFieldNumber)
      part = &received->ack_results.emplace_back();
    if (field.number == v1::SubscribeResponse::kOpenedFieldNumber)
      part = &received->opened.emplace();
    if (field.number == v1::SubscribeResponse::kTakenUpFieldNumber)
      part = &received->taken_up.emplace_back();
    if (part != nullptr &&
        !part->ParseFromArray(field.bytes.data(), static_cast<int>(field.bytes.size())))
      return nullptr;
  }
  return in.ok() ? received : nullptr;
}

}  // namespace sluice::client
