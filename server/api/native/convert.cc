#include "server/api/native/convert.h"

#include "core/base/error.h"
#include "fmt/format.h"

namespace sluice::server {
namespace {

Labels LabelsFrom(const google::protobuf::Map<std::string, std::string>& labels) {
  return {labels.begin(), labels.end()};
}

}  // namespace

absl::StatusOr<StartPosition> FromProto(const v1::StartPosition& start, std::string_view field) {
  switch (start.position_case()) {
    case v1::StartPosition::kEarliest:
      return StartPosition(Earliest{});
    case v1::StartPosition::kTime:
      return SeekTimeFrom(start.time(), fmt::format("{}.time", field));
    case v1::StartPosition::kMessageId:
      return StartPosition(Offset(start.message_id()));
    case v1::StartPosition::kLatest:
    case v1::StartPosition::POSITION_NOT_SET:
      break;
  }
  return StartPosition(Latest{});
}

v1::BreakerState ToProto(BreakerState state) {
  switch (state) {
    case BreakerState::kClosed:
      return v1::BREAKER_STATE_CLOSED;
    case BreakerState::kOpen:
      return v1::BREAKER_STATE_OPEN;
    case BreakerState::kHalfOpen:
      break;
  }
  return v1::BREAKER_STATE_HALF_OPEN;
}

v1::Breaker ToProto(const BreakerSnapshot& breaker) {
  v1::Breaker out;
  out.set_state(ToProto(breaker.state));
  out.set_cause(std::string(ToString(breaker.cause)));
  if (breaker.state != BreakerState::kClosed)
    ToProto(breaker.retry_delay, out.mutable_retry_delay());
  out.set_opened(static_cast<int64_t>(breaker.opened));
  out.set_rejections(static_cast<int64_t>(breaker.rejected));
  return out;
}

absl::StatusOr<TopicConfig> FromProto(const v1::Topic& topic) {
  auto name = TopicName::Parse(topic.name(), "topic.name");
  if (!name.ok()) return name.status();
  TopicConfig config;
  config.name = *std::move(name);
  if (topic.has_retention()) config.retention = FromProto(topic.retention());
  config.retention_bytes = topic.retention_bytes();
  config.labels = LabelsFrom(topic.labels());
  config.message_ttl = FromProto(topic.message_ttl());
  config.max_delay = FromProto(topic.max_delay());
  config.acked_retention = FromProto(topic.acked_retention());
  config.discard_unsubscribed = topic.discard_unsubscribed();
  return config;
}

RetryPolicy FromProto(const v1::RetryPolicy& policy) {
  RetryPolicy retry;
  if (policy.has_minimum_backoff()) retry.minimum = FromProto(policy.minimum_backoff());
  if (policy.has_maximum_backoff()) retry.maximum = FromProto(policy.maximum_backoff());
  return retry;
}

DeliveryBreakerPolicy FromProto(const v1::DeliveryBreakerPolicy& policy) {
  DeliveryBreakerPolicy breaker;
  breaker.disabled = policy.disabled();
  // Negative numbers are too large as well.
  if (policy.minimum_deliveries() != 0)
    breaker.minimum_deliveries = static_cast<uint32_t>(policy.minimum_deliveries());
  if (policy.probes() != 0) breaker.probes = static_cast<uint32_t>(policy.probes());
  if (policy.failure_ratio() != 0) breaker.failure_ratio = policy.failure_ratio();
  if (policy.has_window()) breaker.window = FromProto(policy.window());
  if (policy.has_open_time()) breaker.open_time = FromProto(policy.open_time());
  if (policy.has_max_open_time()) breaker.max_open_time = FromProto(policy.max_open_time());
  return breaker;
}

absl::StatusOr<DeadLetterPolicy> FromProto(const v1::DeadLetterPolicy& policy) {
  auto topic = TopicName::Parse(policy.dead_letter_topic(),
                                "subscription.dead_letter_policy.dead_letter_topic");
  if (!topic.ok()) return topic.status();
  DeadLetterPolicy dead_letter;
  dead_letter.topic = *std::move(topic);
  // Negative numbers are too large as well.
  if (policy.max_delivery_attempts() != 0)
    dead_letter.max_attempts = static_cast<uint32_t>(policy.max_delivery_attempts());
  dead_letter.expired_too = policy.dead_letter_expired();
  return dead_letter;
}

PushConfig FromProto(const v1::PushConfig& push) {
  return {.endpoint = push.endpoint(),
          .attributes = {},
          .wrapped = !push.raw_body(),
          .metadata_headers = push.raw_body() && push.metadata_headers()};
}

absl::StatusOr<SubscriptionConfig> FromProto(const v1::Subscription& subscription) {
  auto name = SubscriptionName::Parse(subscription.name(), "subscription.name");
  if (!name.ok()) return name.status();
  auto topic = TopicName::Parse(subscription.topic(), "subscription.topic");
  if (!topic.ok()) return topic.status();
  SubscriptionConfig config;
  config.name = *std::move(name);
  config.topic = *std::move(topic);
  config.ack_deadline = AckDeadlineFrom(subscription.ack_deadline_seconds());
  config.filter = subscription.filter();
  if (subscription.has_retry_policy()) config.retry = FromProto(subscription.retry_policy());
  if (subscription.has_dead_letter_policy()) {
    auto dead_letter = FromProto(subscription.dead_letter_policy());
    if (!dead_letter.ok()) return dead_letter.status();
    config.dead_letter = *std::move(dead_letter);
  }
  if (subscription.has_delivery_breaker_policy())
    config.delivery_breaker = FromProto(subscription.delivery_breaker_policy());
  config.ordered = subscription.enable_message_ordering();
  config.exactly_once = subscription.enable_exactly_once_delivery();
  config.skip_damaged = subscription.skip_damaged();
  config.priority_delivery = subscription.priority_delivery();
  config.acked_retention = FromProto(subscription.acked_retention());
  config.retention = FromProto(subscription.retention());
  config.expire_after = FromProto(subscription.expire_after());
  if (subscription.has_push()) config.push = FromProto(subscription.push());
  config.labels = LabelsFrom(subscription.labels());
  return config;
}

v1::Topic ToProto(const TopicConfig& config) {
  v1::Topic topic;
  topic.set_name(config.name.full());
  ToProto(config.retention, topic.mutable_retention());
  topic.set_retention_bytes(config.retention_bytes);
  topic.mutable_labels()->insert(config.labels.begin(), config.labels.end());
  ToProto(config.create_time, topic.mutable_create_time());
  if (config.message_ttl > absl::ZeroDuration())
    ToProto(config.message_ttl, topic.mutable_message_ttl());
  if (config.max_delay > absl::ZeroDuration()) ToProto(config.max_delay, topic.mutable_max_delay());
  if (config.acked_retention > absl::ZeroDuration())
    ToProto(config.acked_retention, topic.mutable_acked_retention());
  topic.set_discard_unsubscribed(config.discard_unsubscribed);
  return topic;
}

v1::DeliveryBreakerPolicy ToProto(const DeliveryBreakerPolicy& breaker) {
  v1::DeliveryBreakerPolicy policy;
  policy.set_disabled(breaker.disabled);
  policy.set_failure_ratio(breaker.failure_ratio);
  policy.set_minimum_deliveries(static_cast<int32_t>(breaker.minimum_deliveries));
  ToProto(breaker.window, policy.mutable_window());
  ToProto(breaker.open_time, policy.mutable_open_time());
  ToProto(breaker.max_open_time, policy.mutable_max_open_time());
  policy.set_probes(static_cast<int32_t>(breaker.probes));
  return policy;
}

v1::Subscription ToProto(const SubscriptionConfig& config) {
  v1::Subscription subscription;
  subscription.set_name(config.name.full());
  subscription.set_topic(config.topic ? config.topic->full() : std::string(kDeletedTopic));
  subscription.set_ack_deadline_seconds(
      static_cast<int32_t>(absl::ToInt64Seconds(config.ack_deadline)));
  subscription.set_filter(config.filter);
  if (config.retry) {
    ToProto(config.retry->minimum, subscription.mutable_retry_policy()->mutable_minimum_backoff());
    ToProto(config.retry->maximum, subscription.mutable_retry_policy()->mutable_maximum_backoff());
  }
  if (config.dead_letter) {
    subscription.mutable_dead_letter_policy()->set_dead_letter_topic(
        config.dead_letter->topic.full());
    subscription.mutable_dead_letter_policy()->set_max_delivery_attempts(
        static_cast<int32_t>(config.dead_letter->max_attempts));
    subscription.mutable_dead_letter_policy()->set_dead_letter_expired(
        config.dead_letter->expired_too);
  }
  if (config.delivery_breaker)
    *subscription.mutable_delivery_breaker_policy() = ToProto(*config.delivery_breaker);
  subscription.mutable_labels()->insert(config.labels.begin(), config.labels.end());
  ToProto(config.create_time, subscription.mutable_create_time());
  subscription.set_enable_message_ordering(config.ordered);
  subscription.set_enable_exactly_once_delivery(config.exactly_once);
  subscription.set_skip_damaged(config.skip_damaged);
  subscription.set_priority_delivery(config.priority_delivery);
  if (config.acked_retention > absl::ZeroDuration()) {
    ToProto(config.acked_retention, subscription.mutable_acked_retention());
  }
  if (config.retention > absl::ZeroDuration())
    ToProto(config.retention, subscription.mutable_retention());
  if (config.expire_after > absl::ZeroDuration())
    ToProto(config.expire_after, subscription.mutable_expire_after());
  if (config.push) {
    subscription.mutable_push()->set_endpoint(config.push->endpoint);
    subscription.mutable_push()->set_raw_body(!config.push->wrapped);
    subscription.mutable_push()->set_metadata_headers(config.push->metadata_headers);
  }
  subscription.set_detached(config.detached);
  return subscription;
}

v1::TopicStats ToProto(const TopicConfig& config, const TopicStats& stats) {
  v1::TopicStats out;
  out.set_name(config.name.full());
  out.set_retained_messages(static_cast<int64_t>(stats.extent.next - stats.extent.first));
  out.set_retained_bytes(static_cast<int64_t>(stats.extent.bytes));
  out.set_first_message_id(stats.extent.first.value());
  out.set_next_message_id(stats.extent.next.value());
  out.set_published_messages(static_cast<int64_t>(stats.published_messages));
  out.set_published_bytes(static_cast<int64_t>(stats.published_bytes));
  out.set_subscriptions(stats.subscriptions);
  out.set_retained_backlog_messages(static_cast<int64_t>(stats.retained.backlog));
  out.set_retained_snapshot_messages(static_cast<int64_t>(stats.retained.snapshot));
  out.set_retained_unsubscribed_messages(static_cast<int64_t>(stats.retained.no_subscription));
  out.set_retained_acked_messages(static_cast<int64_t>(stats.retained.acked));
  return out;
}

v1::SubscriptionStats ToProto(const SubscriptionConfig& config, const SubscriptionStats& stats) {
  v1::SubscriptionStats out;
  out.set_name(config.name.full());
  out.set_topic(config.topic ? config.topic->full() : std::string(kDeletedTopic));
  out.set_backlog_messages(stats.backlog_messages);
  out.set_backlog_bytes(stats.backlog_bytes);
  out.set_leased_messages(stats.leased_messages);
  if (stats.oldest_unacked_publish_time_us) {
    ToProto(absl::FromUnixMicros(*stats.oldest_unacked_publish_time_us),
            out.mutable_oldest_unacked_publish_time());
  }
  out.set_consumers(stats.consumers);
  out.set_delivered_messages(static_cast<int64_t>(stats.delivered_messages));
  out.set_acked_messages(static_cast<int64_t>(stats.acked_messages));
  out.set_nacked_messages(static_cast<int64_t>(stats.nacked_messages));
  out.set_expired_leases(static_cast<int64_t>(stats.expired_leases));
  out.set_redelivered_messages(static_cast<int64_t>(stats.redelivered_messages));
  out.set_held_messages(static_cast<int64_t>(stats.held_messages));
  out.set_delivery_breaker(ToProto(stats.breaker));
  return out;
}

v1::Snapshot ToProto(const Snapshot& snapshot) {
  v1::Snapshot out;
  out.set_name(snapshot.name.full());
  out.set_topic(snapshot.topic ? snapshot.topic->full() : std::string(kDeletedTopic));
  ToProto(snapshot.expire_time, out.mutable_expire_time());
  out.mutable_labels()->insert(snapshot.labels.begin(), snapshot.labels.end());
  return out;
}

}  // namespace sluice::server
