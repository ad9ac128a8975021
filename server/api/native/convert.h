// Between the messages of sluice.v1 and what the engine understands.
//
// Thread rule: pure functions.
#pragma once

#include <string_view>

#include "absl/status/statusor.h"
#include "core/engine/config.h"
#include "core/engine/subscription.h"
#include "core/engine/topic.h"
#include "core/flow/circuit_breaker.h"
#include "server/rpc/proto_time.h"
#include "sluice/v1/admin.pb.h"
#include "sluice/v1/pubsub.pb.h"

namespace sluice::server {

// Latest when nothing is said. INVALID_START_POSITION names `field`.
absl::StatusOr<StartPosition> FromProto(const v1::StartPosition& start, std::string_view field);

// Names and values that are not limits are checked here, limits by Validate.
absl::StatusOr<TopicConfig> FromProto(const v1::Topic& topic);
// REQUIRES a topic.
RetryPolicy FromProto(const v1::RetryPolicy& policy);
DeliveryBreakerPolicy FromProto(const v1::DeliveryBreakerPolicy& policy);
absl::StatusOr<DeadLetterPolicy> FromProto(const v1::DeadLetterPolicy& policy);
PushConfig FromProto(const v1::PushConfig& push);
absl::StatusOr<SubscriptionConfig> FromProto(const v1::Subscription& subscription);

v1::Topic ToProto(const TopicConfig& config);
v1::Subscription ToProto(const SubscriptionConfig& config);
v1::TopicStats ToProto(const TopicConfig& config, const TopicStats& stats);
v1::SubscriptionStats ToProto(const SubscriptionConfig& config, const SubscriptionStats& stats);
v1::Snapshot ToProto(const Snapshot& snapshot);
v1::BreakerState ToProto(BreakerState state);
v1::Breaker ToProto(const BreakerSnapshot& breaker);

}  // namespace sluice::server
