#include "server/api/native/wire.h"

#include "core/base/error.h"
#include "core/message/wire.h"

namespace sluice::server {
namespace {

// A delivery id before the message, the attempt behind it.
class NativeFrame final : public DeliveryFrame {
 public:
  uint32_t delivery_field() const override { return v1::SubscribeResponse::kDeliveriesFieldNumber; }
  uint32_t message_field() const override { return v1::Delivery::kMessageFieldNumber; }
  size_t max_bytes() const override { return 1 + kMaxVarintBytes + 1 + 5; }
  char* WriteHead(char* out, const Delivery& delivery, uint32_t i) const override {
    out = WriteVarint(out, WireTag(v1::Delivery::kDeliveryIdFieldNumber, WireType::kVarint));
    return WriteVarint(out, (delivery.first_lease + (i - delivery.begin)).value());
  }
  char* WriteTail(char* out, const Delivery& delivery) const override {
    out = WriteVarint(out, WireTag(v1::Delivery::kAttemptFieldNumber, WireType::kVarint));
    return WriteVarint(out, delivery.attempt);
  }
};

// A google.protobuf.Duration: seconds 1, nanos 2.
absl::Duration ScanDuration(std::string_view bytes) {
  absl::Duration duration;
  WireReader in(bytes);
  WireField field;
  while (in.Next(&field)) {
    if (field.type != WireType::kVarint) continue;
    if (field.number == 1) duration += absl::Seconds(static_cast<int64_t>(field.value));
    if (field.number == 2) duration += absl::Nanoseconds(static_cast<int32_t>(field.value));
  }
  return duration;
}

}  // namespace

absl::Status ScanPublish(std::string_view bytes, PublishScan* scan) {
  scan->topic = {};
  scan->messages.clear();
  scan->batch_id = 0;
  scan->producer_id = {};
  scan->producer_epoch = scan->sequence = scan->mode = 0;
  scan->timeout.reset();
  WireReader in(bytes);
  WireField field;
  using Request = v1::PublishRequest;
  while (in.Next(&field)) {
    const bool is_bytes = field.type == WireType::kBytes;
    if (field.number == Request::kTopicFieldNumber && is_bytes) scan->topic = field.bytes;
    if (field.number == Request::kMessagesFieldNumber && is_bytes)
      scan->messages.push_back(field.bytes);
    if (field.number == Request::kBatchIdFieldNumber && field.type == WireType::kVarint)
      scan->batch_id = field.value;
    if (field.number == Request::kProducerIdFieldNumber && is_bytes)
      scan->producer_id = field.bytes;
    if (field.number == Request::kProducerEpochFieldNumber) scan->producer_epoch = field.value;
    if (field.number == Request::kSequenceFieldNumber) scan->sequence = field.value;
    if (field.number == Request::kModeFieldNumber && field.type == WireType::kVarint)
      scan->mode = field.value;
    if (field.number == Request::kTimeoutFieldNumber && is_bytes)
      scan->timeout = ScanDuration(field.bytes);
  }
  if (in.ok()) return absl::OkStatus();
  return Error(Reason::kMalformedRequest, "the request is not a serialized publish request");
}

EncodedDeliveries EncodeDeliveries(std::vector<Delivery>* deliveries, size_t max_bytes,
                                   const v1::SubscribeResponse& front) {
  return EncodeDeliveries(deliveries, max_bytes, front.SerializeAsString(), NativeFrame());
}

}  // namespace sluice::server
