// The hot messages of sluice.v1, read and written as bytes: requests to publish are scanned where they lie, deliveries
// are spliced together from stored messages. Field numbers are those of protos/sluice/v1/pubsub.proto.
//
// Thread rule: pure functions; a PublishScan must not outlive the bytes it was made from.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "core/engine/consumer.h"
#include "core/message/batch.h"
#include "grpcpp/support/byte_buffer.h"
#include "sluice/v1/pubsub.pb.h"

namespace sluice::server {

// The contiguous bytes of a received buffer; `storage` takes them when they came in pieces.
std::string_view Flatten(const grpc::ByteBuffer& buffer, std::vector<grpc::Slice>* slices, std::string* storage);

// What a PublishRequest or PublishBatchRequest holds. Both have topic 1 and messages 2.
struct PublishScan {
  std::string_view topic;
  std::vector<std::string_view> messages;
  uint64_t batch_id = 0;
  std::string_view producer_id;
  uint64_t producer_epoch = 0;
  uint64_t sequence = 0;
  // A v1::PublishMode, known or not.
  uint64_t mode = 0;
  std::optional<absl::Duration> timeout;
};

// MALFORMED_REQUEST when the bytes are no message.
absl::Status ScanPublish(std::string_view bytes, PublishScan* scan);

// A grpc buffer with the bytes of a serialized message.
grpc::ByteBuffer ToBuffer(const google::protobuf::MessageLite& message);

struct EncodedDeliveries {
  grpc::ByteBuffer buffer;
  // Of the stored messages alone, as credit counts them.
  size_t message_bytes = 0;
};

// Splits off deliveries that take at most `max_bytes` encoded (at least one message), leaving the rest in `deliveries`;
// what is split off is encoded as a SubscribeResponse. What `front` says goes before it.
//
// Each message is the stored bytes followed by its message_id and publish_time: encodings of one message may be
// concatenated. Small messages are copied into one slice; from kSharedMessageBytes on a slice refers to the batch.
EncodedDeliveries EncodeDeliveries(std::vector<Delivery>* deliveries, size_t max_bytes,
                                   const v1::SubscribeResponse& front);

// Where referring becomes cheaper than copying: a slice of its own costs an allocation, two atomic operations and one
// more piece to write, about as much as copying this.
inline constexpr size_t kSharedMessageBytes = 8 << 10;

}  // namespace sluice::server
