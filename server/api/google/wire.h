// The hot messages of google.pubsub.v1, read and written as bytes. Field numbers are those of
// protos/google/pubsub/v1/pubsub.proto.
//
// Thread rule: pure functions; what a scan found points into the bytes it was made from.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "core/engine/subscription.h"
#include "google/pubsub/v1/pubsub.pb.h"
#include "server/api/google/ack_id.h"
#include "server/delivery/splice.h"

namespace sluice::server {

namespace pubsub = ::google::pubsub::v1;

// What a PublishRequest holds.
struct GooglePublishScan {
  std::string_view topic;
  std::vector<std::string_view> messages;
};

// What an AcknowledgeRequest or a ModifyAckDeadlineRequest holds.
struct AckScan {
  std::string_view subscription;
  std::vector<std::string_view> ack_ids;
  int32_t deadline_seconds = 0;
};

// False when the bytes are no such message.
bool ScanPublish(std::string_view bytes, GooglePublishScan* scan);
bool ScanAcknowledge(std::string_view bytes, AckScan* scan);
bool ScanModifyAckDeadline(std::string_view bytes, AckScan* scan);

// A PublishResponse with `count` ids from `first` on.
grpc::ByteBuffer EncodeMessageIds(Offset first, uint32_t count);

// ReceivedMessage, field 1 of PullResponse and of StreamingPullResponse alike.
class GoogleFrame final : public DeliveryFrame {
 public:
  // The attempt is told where there is a dead-letter policy.
  GoogleFrame(SubscriptionId subscription, uint32_t incarnation, bool tells_attempt)
      : subscription_(subscription), incarnation_(incarnation), tells_attempt_(tells_attempt) {}

  uint32_t delivery_field() const override {
    return pubsub::PullResponse::kReceivedMessagesFieldNumber;
  }
  uint32_t message_field() const override { return pubsub::ReceivedMessage::kMessageFieldNumber; }
  size_t max_bytes() const override { return 2 + kAckIdSize + 6; }
  char* WriteHead(char* out, const Delivery& delivery, uint32_t i) const override;
  char* WriteTail(char* out, const Delivery& delivery) const override;

 private:
  const SubscriptionId subscription_;
  const uint32_t incarnation_;
  const bool tells_attempt_;
};

}  // namespace sluice::server
