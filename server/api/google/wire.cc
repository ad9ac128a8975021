#include "server/api/google/wire.h"

#include <charconv>

#include "core/message/wire.h"

namespace sluice::server {
namespace {

bool ScanIds(std::string_view bytes, uint32_t ids_field, uint32_t deadline_field, AckScan* scan) {
  WireReader in(bytes);
  WireField field;
  while (in.Next(&field)) {
    const bool is_bytes = field.type == WireType::kBytes;
    if (field.number == pubsub::AcknowledgeRequest::kSubscriptionFieldNumber && is_bytes)
      scan->subscription = field.bytes;
    if (field.number == ids_field && is_bytes) scan->ack_ids.push_back(field.bytes);
    if (field.number == deadline_field && field.type == WireType::kVarint) {
      scan->deadline_seconds = static_cast<int32_t>(field.value);
    }
  }
  return in.ok();
}

}  // namespace

bool ScanPublish(std::string_view bytes, GooglePublishScan* scan) {
  WireReader in(bytes);
  WireField field;
  while (in.Next(&field)) {
    if (field.type != WireType::kBytes) continue;
    if (field.number == pubsub::PublishRequest::kTopicFieldNumber) scan->topic = field.bytes;
    if (field.number == pubsub::PublishRequest::kMessagesFieldNumber)
      scan->messages.push_back(field.bytes);
  }
  return in.ok();
}

bool ScanAcknowledge(std::string_view bytes, AckScan* scan) {
  return ScanIds(bytes, pubsub::AcknowledgeRequest::kAckIdsFieldNumber, UINT32_MAX, scan);
}

bool ScanModifyAckDeadline(std::string_view bytes, AckScan* scan) {
  using Request = pubsub::ModifyAckDeadlineRequest;
  return ScanIds(bytes, Request::kAckIdsFieldNumber, Request::kAckDeadlineSecondsFieldNumber, scan);
}

grpc::ByteBuffer EncodeMessageIds(Offset first, uint32_t count) {
  constexpr size_t kMaxIdBytes = 2 + 20;
  grpc::Slice slice(std::max<size_t>(count * kMaxIdBytes, 1));
  char* const begin = reinterpret_cast<char*>(const_cast<uint8_t*>(slice.begin()));
  char* out = begin;
  for (uint32_t i = 0; i < count; ++i) {
    char digits[20];
    const char* end = std::to_chars(digits, digits + sizeof digits, (first + i).value()).ptr;
    out = WriteBytesField(out, pubsub::PublishResponse::kMessageIdsFieldNumber,
                          {digits, static_cast<size_t>(end - digits)});
  }
  const grpc::Slice written = slice.sub(0, static_cast<size_t>(out - begin));
  return {&written, 1};
}

char* GoogleFrame::WriteHead(char* out, const Delivery& delivery, uint32_t i) const {
  out = WriteBytesHeader(out, pubsub::ReceivedMessage::kAckIdFieldNumber, kAckIdSize);
  return WriteAckId(out, {subscription_, incarnation_, delivery.first_lease + (i - delivery.begin),
                          delivery.batch->first() + i});
}

char* GoogleFrame::WriteTail(char* out, const Delivery& delivery) const {
  if (!tells_attempt_) return out;
  out = WriteVarint(
      out, WireTag(pubsub::ReceivedMessage::kDeliveryAttemptFieldNumber, WireType::kVarint));
  return WriteVarint(out, delivery.attempt);
}

}  // namespace sluice::server
