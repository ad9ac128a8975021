#include "client/cpp/received.h"

#include "core/base/strings.h"
#include "absl/strings/numbers.h"
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
  WireReader in(bytes);
  WireField field;
  while (in.Next(&field)) {
    switch (field.number) {
      case kDataField:
        message->data = field.bytes;
        break;
      case kMessageIdField:
        if (!absl::SimpleAtoi(ToAbsl(field.bytes), &message->id)) return false;
        break;
      case kPublishTimeField:
        message->publish_time = ParseTimestamp(field.bytes);
        break;
      case kOrderingKeyField:
        message->ordering_key = field.bytes;
        break;
      case kPriorityField:
        message->priority = static_cast<uint32_t>(field.value);
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
    if (field.number == 1) message->delivery_id = field.value;
    if (field.number == 2 && !ParseMessage(field.bytes, message)) return false;
    if (field.number == 3) message->attempt = static_cast<uint32_t>(field.value);
  }
  return in.ok();
}

void ParseOpened(std::string_view bytes, Received* received) {
  received->opened = true;
  WireReader in(bytes);
  WireField field;
  while (in.Next(&field)) {
    if (field.number == 1) received->subscription = field.bytes;
    if (field.number == 3) received->ack_deadline_seconds = static_cast<int32_t>(field.value);
  }
}

std::string_view View(const grpc::Slice& slice) {
  return {reinterpret_cast<const char*>(slice.begin()), slice.size()};
}

}  // namespace

std::shared_ptr<Received> ParseResponse(const grpc::ByteBuffer& buffer) {
  auto received = std::make_shared<Received>();
  if (!buffer.Dump(&received->slices).ok()) return nullptr;
  std::string_view bytes;
  if (received->slices.size() == 1) {
    bytes = View(received->slices.front());
  } else {
    received->flat.reserve(buffer.Length());
    for (const grpc::Slice& slice : received->slices) received->flat.append(View(slice));
    received->slices.clear();
    bytes = received->flat;
  }
  WireReader in(bytes);
  WireField field;
  while (in.Next(&field)) {
    if (field.number == 1) ParseOpened(field.bytes, received.get());
    if (field.number == 2 && !ParseDelivery(field.bytes, &received->messages.emplace_back())) return nullptr;
  }
  return in.ok() ? received : nullptr;
}

}  // namespace sluice::client
