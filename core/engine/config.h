// What a topic and a subscription are set to, as the engine knows it and as the store keeps it.
//
// Thread rule: value types and pure functions.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/base/named_type.h"
#include "core/flow/retry.h"
#include "core/message/limits.h"
#include "core/message/names.h"

namespace sluice {

using Labels = std::map<std::string, std::string>;

struct TopicConfig {
  TopicName name;
  // A message goes after this time, acknowledged or not.
  absl::Duration retention = kDefaultRetention;
  // The oldest messages go when there are more bytes; 0 for no limit.
  int64_t retention_bytes = 0;
  Labels labels;
  absl::Time create_time;
};

// A message that was delivered this often without success is copied to another topic and acknowledged here.
struct DeadLetterPolicy {
  TopicName topic;
  uint32_t max_attempts = kMinDeliveryAttempts;
};

struct SubscriptionConfig {
  SubscriptionName name;
  // Nothing once the topic is deleted. The id, set by the engine, tells a topic from one created later by that name.
  std::optional<TopicName> topic;
  TopicId topic_id;
  absl::Duration ack_deadline = kMinAckDeadline;
  // Only messages that match; not changeable. core/filter/filter.h has the grammar.
  std::string filter;
  // Without one a message comes again at once, as far as that does no harm.
  std::optional<RetryPolicy> retry;
  std::optional<DeadLetterPolicy> dead_letter;
  Labels labels;
  absl::Time create_time;
};

// Where a subscription begins.
struct Earliest {};
struct Latest {};
using StartPosition = std::variant<Latest, Earliest, absl::Time, Offset>;

// Every limit of a configuration; errors name the field.
absl::Status Validate(const TopicConfig& config);
absl::Status Validate(const SubscriptionConfig& config);

// Protobuf wire form, described in docs/format.md ("catalogue"); unknown fields are passed over.
std::string Encode(const TopicConfig& config);
std::string Encode(const SubscriptionConfig& config);
// DATA_LOSS for bytes that Encode did not make.
absl::StatusOr<TopicConfig> DecodeTopicConfig(std::string_view bytes);
absl::StatusOr<SubscriptionConfig> DecodeSubscriptionConfig(std::string_view bytes);

}  // namespace sluice
