// Between the messages of google.pubsub.v1 and what the engine understands. What this server cannot
// keep to is refused, not stored.
//
// Thread rule: pure functions.
#pragma once

#include <optional>
#include <string_view>

#include "absl/status/statusor.h"
#include "core/engine/config.h"
#include "google/protobuf/field_mask.pb.h"
#include "google/pubsub/v1/pubsub.pb.h"

namespace sluice::server {

namespace pubsub = ::google::pubsub::v1;

// Names and values that are not limits of the engine are checked here.
absl::StatusOr<TopicConfig> FromGoogle(const pubsub::Topic& topic);
// With an empty name, the server picks one in the topic's project.
absl::StatusOr<SubscriptionConfig> FromGoogle(const pubsub::Subscription& subscription);

// Without an endpoint: not pushed any more.
absl::Status SetPush(const pubsub::PushConfig& from, SubscriptionConfig* config);

pubsub::PushConfig ToGoogle(const PushConfig& push);
pubsub::Topic ToGoogle(const TopicConfig& config);
// `topic` is the subscription's, when it still has one.
pubsub::Subscription ToGoogle(const SubscriptionConfig& config,
                              const std::optional<TopicConfig>& topic);
pubsub::Snapshot ToGoogle(const Snapshot& snapshot);

// Sets the fields that the mask names, all or none.
absl::Status MergeGoogle(const google::protobuf::FieldMask& mask, const pubsub::Topic& wanted,
                         TopicConfig* config);
absl::Status MergeGoogle(const google::protobuf::FieldMask& mask,
                         const pubsub::Subscription& wanted, SubscriptionConfig* config);
absl::Status MergeGoogle(const google::protobuf::FieldMask& mask, const pubsub::Snapshot& wanted,
                         Labels* labels);

// A name for what came without one.
std::string MadeUpId();

}  // namespace sluice::server
