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
#include "core/base/rare.h"
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
  // A message that says nothing itself is not delivered after this time; zero for never.
  absl::Duration message_ttl;
  // How far ahead a message may ask to be delivered; zero for as long as the retention.
  absl::Duration max_delay;
  // What every subscription has acknowledged is kept for this time after it was published, for
  // those who seek back.
  absl::Duration acked_retention;
  // Messages published while there is no subscription are not kept for the first one to come.
  bool discard_unsubscribed = false;
  Labels labels;
  // Who may do what, a serialized google.iam.v1.Policy; empty when nobody said so.
  std::string iam_policy;
  absl::Time create_time;
  // Stored for the sake of those who still need its messages; its name may be that of another
  // topic.
  bool deleted = false;
};

// A message that was delivered this often without success is copied to another topic and
// acknowledged here.
struct DeadLetterPolicy {
  TopicName topic;
  uint32_t max_attempts = kMinDeliveryAttempts;
  // Messages that expire are copied too.
  bool expired_too = false;
};

// Messages are sent to an HTTP server, instead of waiting for consumers.
struct PushConfig {
  // "https://example.com/push".
  std::string endpoint;
  // As the client gave them.
  Labels attributes;
  // The body is JSON that holds all of the message; otherwise it is the data alone.
  bool wrapped = true;
  // The rest of the message goes into headers, beside the data.
  bool metadata_headers = false;
};

// When consumers count as failing everything, and how few messages they get then
// (core/engine/delivery_breaker.h).
struct DeliveryBreakerPolicy {
  // Never.
  bool disabled = false;
  // When this part failed of the messages delivered the first time within the window, and there
  // were as many.
  absl::Duration window = absl::Seconds(60);
  uint32_t minimum_deliveries = 100;
  double failure_ratio = 0.9;
  // Nothing goes out for `open_time`, then so many messages; twice as long each time they fail too.
  absl::Duration open_time = absl::Seconds(1);
  absl::Duration max_open_time = absl::Seconds(60);
  uint32_t probes = 10;

  bool operator==(const DeliveryBreakerPolicy&) const = default;
};

struct SubscriptionConfig {
  SubscriptionName name;
  // Nothing once the topic is deleted. The id, set by the engine, tells a topic from one created
  // later by that name.
  std::optional<TopicName> topic;
  TopicId topic_id;
  absl::Duration ack_deadline = kMinAckDeadline;
  // Only messages that match; not changeable. core/filter/filter.h has the grammar.
  std::string filter;
  // Without one a message comes again at once, as far as that does no harm.
  std::optional<RetryPolicy> retry;
  std::optional<DeadLetterPolicy> dead_letter;
  // The defaults without one.
  Rare<DeliveryBreakerPolicy> delivery_breaker;
  // Messages of one ordering key in publish order; not changeable.
  bool ordered = false;
  // Acknowledgements are confirmed when durable, and those of a lease that is over are refused.
  bool exactly_once = false;
  // Higher priorities first, among the messages that are looked at ahead. Excludes `ordered`; not
  // changeable.
  bool priority_delivery = false;
  // As the topic's, for this subscription's sake.
  absl::Duration acked_retention;
  // A message that was not acknowledged goes after this time, for this subscription; zero for as
  // long as the topic has it.
  absl::Duration retention;
  // Without any use for this time the subscription is deleted; zero for never.
  absl::Duration expire_after;
  // Goes past messages that are damaged on the disk, as if they were acknowledged, instead of
  // waiting for a seek.
  bool skip_damaged = false;
  // For good: it has no messages and gets none.
  bool detached = false;
  // The store found them damaged: all that is known are the names and what is acknowledged.
  bool settings_lost = false;
  // Nobody pulls from it then. Excludes `exactly_once`.
  Rare<PushConfig> push;
  // Set for a snapshot: a subscription that nobody reads, whose progress others seek to, until
  // then.
  std::optional<absl::Time> snapshot_until;
  Labels labels;
  // As the topic's.
  std::string iam_policy;
  absl::Time create_time;
};

// What a snapshot tells of itself.
struct Snapshot {
  SnapshotName name;
  // Nothing once the topic is deleted.
  std::optional<TopicName> topic;
  absl::Time expire_time;
  Labels labels;
  std::string iam_policy;
};

// A snapshot is stored under the name of a subscription with the same id; the two never meet.
SubscriptionName StoredNameOf(const SnapshotName& snapshot);
SnapshotName SnapshotNameOf(const SubscriptionName& stored);

// Where a subscription begins.
struct Earliest {};
struct Latest {};
using StartPosition = std::variant<Latest, Earliest, absl::Time, Offset>;

// What a detached subscription answers, one whose settings are lost, and one that pushes to those
// who would pull.
absl::Status DetachedError(const SubscriptionName& name);
absl::Status SettingsLostError(const SubscriptionName& name);
absl::Status PushError(const SubscriptionName& name);

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
