// A message as the request that pushes it.
//
//   wrapped      POST JSON {"message": {"data": base64, "attributes", "messageId", "publishTime", "orderingKey"},
//                "subscription": "projects/P/subscriptions/S", "deliveryAttempt": where there is a dead-letter policy}
//   not wrapped  POST the data; with metadata_headers the rest of the message as x-goog-pubsub-* headers, and each attribute
//                that can be a header as one
//
// Both shapes are those of https://cloud.google.com/pubsub/docs/push and .../payload-unwrapping,
// message_id and publish_time in both spellings included.
//
// Thread rule: pure functions.
#pragma once

#include <cstdint>
#include <string>

#include "absl/time/time.h"
#include "core/engine/config.h"
#include "core/message/batch.h"
#include "server/push/http_client.h"

namespace sluice::server {

struct PushedMessage {
  Ref<Batch> batch;
  uint32_t index = 0;
  uint32_t attempt = 1;

  MessageView view() const { return MessageView(batch->message(index)); }
};

// REQUIRES: subscription.push.
HttpRequest MakePushRequest(const SubscriptionConfig& subscription, const PushedMessage& message);

// Whether this code of an answer acknowledges: 102, 200, 201, 202, 204.
bool Acknowledges(int code);

}  // namespace sluice::server
