// The hot messages of sluice.v1, read and written as bytes: requests to publish are scanned where
// they lie, deliveries are spliced together from stored messages. Field numbers are those of
// protos/sluice/v1/pubsub.proto.
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
#include "server/delivery/splice.h"
#include "sluice/v1/pubsub.pb.h"

namespace sluice::server {

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

// EncodeDeliveries (server/delivery/splice.h) for a SubscribeResponse.
EncodedDeliveries EncodeDeliveries(std::vector<Delivery>* deliveries, size_t max_bytes,
                                   const v1::SubscribeResponse& front);

}  // namespace sluice::server
