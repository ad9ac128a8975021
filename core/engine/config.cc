#include "core/engine/config.h"

#include <cmath>

#include "core/base/error.h"
#include "core/base/strings.h"
#include "core/filter/filter.h"
#include "core/flow/breaker_options.h"
#include "core/message/wire.h"
#include "core/storage/config_name.h"
#include "fmt/format.h"

namespace sluice {
namespace {

// The numbers of the stored fields; those of the matching messages in protos/sluice/v1/admin.proto,
// except that times and durations are varints of microseconds.
enum StoredField : uint32_t {
  kName = kConfigName,
  kTopicRetention = 2,
  kTopicRetentionBytes = 3,
  kTopicLabels = 4,
  kTopicCreateTime = 5,
  kTopicMessageTtl = 6,
  kTopicMaxDelay = 7,
  kTopicAckedRetention = 8,
  kTopicDiscardUnsubscribed = 9,
  kTopicIamPolicy = 100,
  kTopicDeleted = 101,
  kSubscriptionTopic = kConfigTopic,
  kSubscriptionAckDeadline = 3,
  kSubscriptionLabels = 5,
  kSubscriptionCreateTime = 6,
  kSubscriptionFilter = 7,
  kSubscriptionOrdered = 8,
  kSubscriptionExactlyOnce = 9,
  kSubscriptionDeadLetter = 10,
  kSubscriptionRetry = 11,
  kSubscriptionPriorityDelivery = 12,
  kSubscriptionAckedRetention = 13,
  kSubscriptionDeliveryBreaker = 20,
  kSubscriptionSkipDamaged = 21,
  kSubscriptionTopicId = kConfigTopicId,
  kSubscriptionSnapshotUntil = kConfigSnapshotUntil,
  kSubscriptionRetention = 102,
  kSubscriptionExpireAfter = 103,
  kSubscriptionDetached = 104,
  kSubscriptionPush = 105,
  kSubscriptionIamPolicy = 106,
};

constexpr uint32_t kMaxBreakerDeliveries = 1'000'000;
// A ratio is stored in millionths.
constexpr double kMillion = 1e6;

absl::Status OutOfBounds(Reason reason, std::string_view field, const std::string& value,
                         const std::string& limit) {
  return Error(reason, fmt::format("{}: {}, but it must be {}", field, value, limit),
               {{"field", std::string(field)}, {"value", value}, {"limit", limit}});
}

absl::Status CheckLabels(const Labels& labels) {
  if (labels.size() > kMaxLabels) {
    return OutOfBounds(Reason::kInvalidLabel, "labels", fmt::format("{} labels", labels.size()),
                       fmt::format("at most {}", kMaxLabels));
  }
  for (const auto& [key, value] : labels) {
    if (!IsValidUtf8(key) || !IsValidUtf8(value)) {
      return OutOfBounds(Reason::kInvalidUtf8, "labels", "(not UTF-8)", "UTF-8");
    }
    if (key.empty() || key.size() > kMaxLabelBytes) {
      return OutOfBounds(Reason::kInvalidLabel, "labels (a key)",
                         fmt::format("{} bytes", key.size()),
                         fmt::format("1 to {} bytes", kMaxLabelBytes));
    }
    if (value.size() > kMaxLabelBytes) {
      return OutOfBounds(Reason::kInvalidLabel, fmt::format("labels[\"{}\"]", key),
                         fmt::format("{} bytes", value.size()),
                         fmt::format("at most {} bytes", kMaxLabelBytes));
    }
  }
  return absl::OkStatus();
}

uint64_t Micros(absl::Duration d) { return static_cast<uint64_t>(absl::ToInt64Microseconds(d)); }
absl::Duration DurationOf(uint64_t micros) {
  return absl::Microseconds(static_cast<int64_t>(micros));
}

absl::Status Check(const RetryPolicy& retry) {
  const auto check = [](std::string_view field, absl::Duration value, absl::Duration least) {
    if (value >= least && value <= kMaxRetryBackoff) return absl::OkStatus();
    return OutOfBounds(Reason::kInvalidRetryPolicy, field, absl::FormatDuration(value),
                       fmt::format("{} to {}", absl::FormatDuration(least),
                                   absl::FormatDuration(kMaxRetryBackoff)));
  };
  absl::Status status =
      check("subscription.retry_policy.minimum_backoff", retry.minimum, absl::ZeroDuration());
  return status.ok()
             ? check("subscription.retry_policy.maximum_backoff", retry.maximum, retry.minimum)
             : status;
}

absl::Status Check(const DeadLetterPolicy& dead_letter) {
  if (dead_letter.max_attempts >= kMinDeliveryAttempts &&
      dead_letter.max_attempts <= kMaxDeliveryAttempts) {
    return absl::OkStatus();
  }
  return OutOfBounds(Reason::kInvalidDeadLetterPolicy,
                     "subscription.dead_letter_policy.max_delivery_attempts",
                     std::to_string(dead_letter.max_attempts),
                     fmt::format("{} to {}", kMinDeliveryAttempts, kMaxDeliveryAttempts));
}

// Written so that it refuses what is not a number.
absl::Status Check(const DeliveryBreakerPolicy& breaker) {
  constexpr std::string_view kPrefix = "subscription.delivery_breaker_policy";
  if (!(breaker.failure_ratio > 0 && breaker.failure_ratio <= 1)) {
    return OutOfBounds(Reason::kInvalidBreakerPolicy, fmt::format("{}.failure_ratio", kPrefix),
                       fmt::format("{}", breaker.failure_ratio), "above 0 and at most 1");
  }
  if (breaker.minimum_deliveries < 1 || breaker.minimum_deliveries > kMaxBreakerDeliveries) {
    return OutOfBounds(Reason::kInvalidBreakerPolicy, fmt::format("{}.minimum_deliveries", kPrefix),
                       std::to_string(breaker.minimum_deliveries),
                       fmt::format("1 to {}", kMaxBreakerDeliveries));
  }
  return Validate(BreakerOptions{.window = breaker.window,
                                 .open_time = breaker.open_time,
                                 .max_open_time = breaker.max_open_time,
                                 .probes = breaker.probes},
                  kPrefix);
}

void AppendLabels(std::string* out, uint32_t number, const Labels& labels) {
  for (const auto& [key, value] : labels) {
    std::string entry;
    AppendBytesField(&entry, 1, key);
    AppendBytesField(&entry, 2, value);
    AppendBytesField(out, number, entry);
  }
}

void ReadLabel(std::string_view entry, Labels* labels) {
  std::string key;
  std::string value;
  WireReader in(entry);
  WireField field;
  while (in.Next(&field)) (field.number == 1 ? key : value) = field.bytes;
  labels->insert_or_assign(std::move(key), std::move(value));
}

std::string Encode(const RetryPolicy& retry) {
  std::string out;
  AppendVarintField(&out, 1, Micros(retry.minimum));
  AppendVarintField(&out, 2, Micros(retry.maximum));
  return out;
}

std::string Encode(const DeadLetterPolicy& dead_letter) {
  std::string out;
  AppendBytesField(&out, 1, dead_letter.topic.full());
  AppendVarintField(&out, 2, dead_letter.max_attempts);
  if (dead_letter.expired_too) AppendVarintField(&out, 3, 1);
  return out;
}

std::string Encode(const DeliveryBreakerPolicy& breaker) {
  std::string out;
  if (breaker.disabled) AppendVarintField(&out, 1, 1);
  AppendVarintField(&out, 2, Micros(breaker.window));
  AppendVarintField(&out, 3, breaker.minimum_deliveries);
  AppendVarintField(&out, 4, static_cast<uint64_t>(std::llround(breaker.failure_ratio * kMillion)));
  AppendVarintField(&out, 5, Micros(breaker.open_time));
  AppendVarintField(&out, 6, Micros(breaker.max_open_time));
  AppendVarintField(&out, 7, breaker.probes);
  return out;
}

DeliveryBreakerPolicy DecodeDeliveryBreaker(std::string_view bytes) {
  DeliveryBreakerPolicy breaker;
  WireReader in(bytes);
  WireField field;
  while (in.Next(&field)) {
    if (field.number == 1) breaker.disabled = field.value != 0;
    if (field.number == 2) breaker.window = DurationOf(field.value);
    if (field.number == 3) breaker.minimum_deliveries = static_cast<uint32_t>(field.value);
    if (field.number == 4) breaker.failure_ratio = static_cast<double>(field.value) / kMillion;
    if (field.number == 5) breaker.open_time = DurationOf(field.value);
    if (field.number == 6) breaker.max_open_time = DurationOf(field.value);
    if (field.number == 7) breaker.probes = static_cast<uint32_t>(field.value);
  }
  return breaker;
}

// Nothing for zero, which is what a reader takes it for.
void AppendSpan(std::string* out, uint32_t number, absl::Duration span) {
  if (span != absl::ZeroDuration()) AppendVarintField(out, number, Micros(span));
}

RetryPolicy DecodeRetry(std::string_view bytes) {
  RetryPolicy retry;
  WireReader in(bytes);
  WireField field;
  while (in.Next(&field))
    (field.number == 1 ? retry.minimum : retry.maximum) = DurationOf(field.value);
  return retry;
}

std::optional<DeadLetterPolicy> DecodeDeadLetter(std::string_view bytes) {
  DeadLetterPolicy dead_letter;
  std::string_view topic;
  WireReader in(bytes);
  WireField field;
  while (in.Next(&field)) {
    if (field.number == 1) topic = field.bytes;
    if (field.number == 2) dead_letter.max_attempts = static_cast<uint32_t>(field.value);
    if (field.number == 3) dead_letter.expired_too = field.value != 0;
  }
  auto parsed = TopicName::Parse(topic);
  if (!in.ok() || !parsed.ok()) return std::nullopt;
  dead_letter.topic = *std::move(parsed);
  return dead_letter;
}

std::string Encode(const PushConfig& push) {
  std::string out;
  AppendBytesField(&out, 1, push.endpoint);
  AppendLabels(&out, 2, push.attributes);
  if (!push.wrapped) AppendVarintField(&out, 3, 1);
  if (push.metadata_headers) AppendVarintField(&out, 4, 1);
  return out;
}

PushConfig DecodePush(std::string_view bytes) {
  PushConfig push;
  WireReader in(bytes);
  WireField field;
  while (in.Next(&field)) {
    if (field.number == 1) push.endpoint = field.bytes;
    if (field.number == 2) ReadLabel(field.bytes, &push.attributes);
    if (field.number == 3) push.wrapped = field.value == 0;
    if (field.number == 4) push.metadata_headers = field.value != 0;
  }
  return push;
}

absl::Status Damaged(std::string_view what) {
  return Error(Reason::kDataLoss, fmt::format("catalogue: the stored {} cannot be read", what));
}

}  // namespace

namespace {

// Zero, or within these bounds.
absl::Status CheckSpan(Reason reason, std::string_view field, absl::Duration value,
                       absl::Duration least, absl::Duration most) {
  if (value == absl::ZeroDuration() || (value >= least && value <= most)) return absl::OkStatus();
  return OutOfBounds(
      reason, field, absl::FormatDuration(value),
      fmt::format("0 or {} to {}", absl::FormatDuration(least), absl::FormatDuration(most)));
}

}  // namespace

absl::Status Validate(const TopicConfig& config) {
  if (config.retention < kMinRetention || config.retention > kMaxRetention) {
    return OutOfBounds(Reason::kInvalidRetention, "topic.retention",
                       absl::FormatDuration(config.retention),
                       fmt::format("{} to {}", absl::FormatDuration(kMinRetention),
                                   absl::FormatDuration(kMaxRetention)));
  }
  if (config.retention_bytes != 0 && config.retention_bytes < kMinRetentionBytes) {
    return OutOfBounds(Reason::kInvalidRetention, "topic.retention_bytes",
                       std::to_string(config.retention_bytes),
                       fmt::format("0 or at least {}", kMinRetentionBytes));
  }
  absl::Status status = CheckSpan(Reason::kInvalidTime, "topic.message_ttl", config.message_ttl,
                                  kMinMessageTtl, kMaxRetention);
  if (status.ok()) {
    status = CheckSpan(Reason::kInvalidTime, "topic.max_delay", config.max_delay,
                       absl::Milliseconds(1), config.retention);
  }
  if (status.ok()) {
    status = CheckSpan(Reason::kInvalidRetention, "topic.acked_retention", config.acked_retention,
                       kMinRetention, config.retention);
  }
  if (!status.ok()) return status;
  return CheckLabels(config.labels);
}

absl::Status Validate(const SubscriptionConfig& config) {
  if (config.ack_deadline < kMinAckDeadline || config.ack_deadline > kMaxAckDeadline) {
    return OutOfBounds(Reason::kInvalidAckDeadline, "subscription.ack_deadline_seconds",
                       std::to_string(absl::ToInt64Seconds(config.ack_deadline)),
                       fmt::format("{} to {} seconds", absl::ToInt64Seconds(kMinAckDeadline),
                                   absl::ToInt64Seconds(kMaxAckDeadline)));
  }
  if (config.retry) {
    if (absl::Status status = Check(*config.retry); !status.ok()) return status;
  }
  if (config.dead_letter) {
    if (absl::Status status = Check(*config.dead_letter); !status.ok()) return status;
  }
  if (config.delivery_breaker) {
    if (absl::Status status = Check(*config.delivery_breaker); !status.ok()) return status;
  }
  if (config.ordered && config.priority_delivery) {
    return OutOfBounds(Reason::kInvalidOrder, "subscription.priority_delivery",
                       "set beside enable_message_ordering",
                       "unset where the order of keys is kept");
  }
  if (config.push && config.exactly_once) {
    return OutOfBounds(Reason::kInvalidPushConfig, "subscription.push_config",
                       "set beside enable_exactly_once_delivery",
                       "unset where messages are delivered exactly once");
  }
  absl::Status status = CheckSpan(Reason::kInvalidRetention, "subscription.acked_retention",
                                  config.acked_retention, kMinRetention, kMaxRetention);
  if (status.ok()) {
    status = CheckSpan(Reason::kInvalidRetention, "subscription.retention", config.retention,
                       kMinRetention, kMaxRetention);
  }
  if (status.ok()) {
    status = CheckSpan(Reason::kInvalidRetention, "subscription.expire_after", config.expire_after,
                       kMinExpireAfter, absl::InfiniteDuration());
  }
  if (!status.ok()) return status;
  if (auto filter = Filter::Compile(config.filter); !filter.ok()) return filter.status();
  return CheckLabels(config.labels);
}

std::string Encode(const TopicConfig& config) {
  std::string out;
  AppendBytesField(&out, kName, config.name.full());
  AppendVarintField(&out, kTopicRetention, Micros(config.retention));
  AppendVarintField(&out, kTopicRetentionBytes, static_cast<uint64_t>(config.retention_bytes));
  AppendLabels(&out, kTopicLabels, config.labels);
  AppendSpan(&out, kTopicMessageTtl, config.message_ttl);
  AppendSpan(&out, kTopicMaxDelay, config.max_delay);
  AppendSpan(&out, kTopicAckedRetention, config.acked_retention);
  if (config.discard_unsubscribed) AppendVarintField(&out, kTopicDiscardUnsubscribed, 1);
  if (!config.iam_policy.empty()) AppendBytesField(&out, kTopicIamPolicy, config.iam_policy);
  AppendVarintField(&out, kTopicCreateTime,
                    static_cast<uint64_t>(absl::ToUnixMicros(config.create_time)));
  if (config.deleted) AppendVarintField(&out, kTopicDeleted, 1);
  return out;
}

std::string Encode(const SubscriptionConfig& config) {
  std::string out;
  AppendBytesField(&out, kName, config.name.full());
  if (config.topic) AppendBytesField(&out, kSubscriptionTopic, config.topic->full());
  AppendVarintField(&out, kSubscriptionTopicId, config.topic_id.value());
  AppendVarintField(&out, kSubscriptionAckDeadline, Micros(config.ack_deadline));
  AppendLabels(&out, kSubscriptionLabels, config.labels);
  if (!config.filter.empty()) AppendBytesField(&out, kSubscriptionFilter, config.filter);
  if (config.dead_letter)
    AppendBytesField(&out, kSubscriptionDeadLetter, Encode(*config.dead_letter));
  if (config.retry) AppendBytesField(&out, kSubscriptionRetry, Encode(*config.retry));
  if (config.delivery_breaker)
    AppendBytesField(&out, kSubscriptionDeliveryBreaker, Encode(*config.delivery_breaker));
  if (config.ordered) AppendVarintField(&out, kSubscriptionOrdered, 1);
  if (config.exactly_once) AppendVarintField(&out, kSubscriptionExactlyOnce, 1);
  if (config.priority_delivery) AppendVarintField(&out, kSubscriptionPriorityDelivery, 1);
  AppendSpan(&out, kSubscriptionAckedRetention, config.acked_retention);
  AppendSpan(&out, kSubscriptionRetention, config.retention);
  AppendSpan(&out, kSubscriptionExpireAfter, config.expire_after);
  if (config.skip_damaged) AppendVarintField(&out, kSubscriptionSkipDamaged, 1);
  if (config.detached) AppendVarintField(&out, kSubscriptionDetached, 1);
  if (config.settings_lost) AppendVarintField(&out, kLostConfigField, 1);
  if (config.push) AppendBytesField(&out, kSubscriptionPush, Encode(*config.push));
  if (!config.iam_policy.empty()) AppendBytesField(&out, kSubscriptionIamPolicy, config.iam_policy);
  if (config.snapshot_until) {
    AppendVarintField(&out, kSubscriptionSnapshotUntil,
                      static_cast<uint64_t>(absl::ToUnixMicros(*config.snapshot_until)));
  }
  AppendVarintField(&out, kSubscriptionCreateTime,
                    static_cast<uint64_t>(absl::ToUnixMicros(config.create_time)));
  return out;
}

absl::StatusOr<TopicConfig> DecodeTopicConfig(std::string_view bytes) {
  TopicConfig config;
  std::string_view name;
  WireReader in(bytes);
  WireField field;
  while (in.Next(&field)) {
    if (field.number == kName) name = field.bytes;
    if (field.number == kTopicRetention) config.retention = DurationOf(field.value);
    if (field.number == kTopicRetentionBytes)
      config.retention_bytes = static_cast<int64_t>(field.value);
    if (field.number == kTopicLabels) ReadLabel(field.bytes, &config.labels);
    if (field.number == kTopicMessageTtl) config.message_ttl = DurationOf(field.value);
    if (field.number == kTopicMaxDelay) config.max_delay = DurationOf(field.value);
    if (field.number == kTopicAckedRetention) config.acked_retention = DurationOf(field.value);
    if (field.number == kTopicDiscardUnsubscribed) config.discard_unsubscribed = field.value != 0;
    if (field.number == kTopicIamPolicy) config.iam_policy = field.bytes;
    if (field.number == kTopicDeleted) config.deleted = field.value != 0;
    if (field.number == kTopicCreateTime)
      config.create_time = absl::FromUnixMicros(static_cast<int64_t>(field.value));
  }
  auto parsed = TopicName::Parse(name);
  if (!in.ok() || !parsed.ok()) return Damaged("topic");
  config.name = *std::move(parsed);
  return config;
}

absl::StatusOr<SubscriptionConfig> DecodeSubscriptionConfig(std::string_view bytes) {
  SubscriptionConfig config;
  std::string_view name;
  std::string_view topic;
  WireReader in(bytes);
  WireField field;
  while (in.Next(&field)) {
    if (field.number == kName) name = field.bytes;
    if (field.number == kSubscriptionTopic) topic = field.bytes;
    if (field.number == kSubscriptionTopicId) config.topic_id = TopicId(field.value);
    if (field.number == kSubscriptionAckDeadline) config.ack_deadline = DurationOf(field.value);
    if (field.number == kSubscriptionLabels) ReadLabel(field.bytes, &config.labels);
    if (field.number == kSubscriptionFilter) config.filter = field.bytes;
    if (field.number == kSubscriptionOrdered) config.ordered = field.value != 0;
    if (field.number == kSubscriptionExactlyOnce) config.exactly_once = field.value != 0;
    if (field.number == kSubscriptionPriorityDelivery) config.priority_delivery = field.value != 0;
    if (field.number == kSubscriptionAckedRetention)
      config.acked_retention = DurationOf(field.value);
    if (field.number == kSubscriptionRetention) config.retention = DurationOf(field.value);
    if (field.number == kSubscriptionExpireAfter) config.expire_after = DurationOf(field.value);
    if (field.number == kSubscriptionSkipDamaged) config.skip_damaged = field.value != 0;
    if (field.number == kSubscriptionDetached) config.detached = field.value != 0;
    if (field.number == kLostConfigField) config.settings_lost = field.value != 0;
    if (field.number == kSubscriptionPush) config.push = DecodePush(field.bytes);
    if (field.number == kSubscriptionIamPolicy) config.iam_policy = field.bytes;
    if (field.number == kSubscriptionSnapshotUntil) {
      config.snapshot_until = absl::FromUnixMicros(static_cast<int64_t>(field.value));
    }
    if (field.number == kSubscriptionRetry) config.retry = DecodeRetry(field.bytes);
    if (field.number == kSubscriptionDeliveryBreaker)
      config.delivery_breaker = DecodeDeliveryBreaker(field.bytes);
    if (field.number == kSubscriptionDeadLetter) {
      config.dead_letter = DecodeDeadLetter(field.bytes);
      if (!config.dead_letter) return Damaged("subscription");
    }
    if (field.number == kSubscriptionCreateTime) {
      config.create_time = absl::FromUnixMicros(static_cast<int64_t>(field.value));
    }
  }
  auto parsed = SubscriptionName::Parse(name);
  if (!in.ok() || !parsed.ok()) return Damaged("subscription");
  config.name = *std::move(parsed);
  if (!topic.empty()) {
    auto parsed_topic = TopicName::Parse(topic);
    if (!parsed_topic.ok()) return Damaged("subscription");
    config.topic = *std::move(parsed_topic);
  }
  return config;
}

absl::Status DetachedError(const SubscriptionName& name) {
  return Error(Reason::kSubscriptionDetached,
               fmt::format("{}: it was detached from its topic", name.full()),
               {{"field", "subscription"}, {"value", name.full()}});
}

absl::Status SettingsLostError(const SubscriptionName& name) {
  return Error(
      Reason::kDataLoss,
      fmt::format("{}: its settings are damaged on the disk; its messages are kept. Take "
                  "a snapshot of it, delete it, create it again and seek it to the snapshot",
                  name.full()),
      {{"field", "subscription"}, {"value", name.full()}});
}

absl::Status PushError(const SubscriptionName& name) {
  return Error(Reason::kPushSubscription,
               fmt::format("{}: its messages are pushed, they cannot be pulled", name.full()),
               {{"field", "subscription"}, {"value", name.full()}});
}

SubscriptionName StoredNameOf(const SnapshotName& snapshot) {
  return *SubscriptionName::Parse(
      fmt::format("{}/subscriptions/{}", snapshot.project_path(), snapshot.id()));
}

SnapshotName SnapshotNameOf(const SubscriptionName& stored) {
  return *SnapshotName::Parse(fmt::format("{}/snapshots/{}", stored.project_path(), stored.id()));
}

}  // namespace sluice
