#include "server/api/google/convert.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/random/random.h"
#include "core/base/error.h"
#include "fmt/format.h"
#include "google/protobuf/util/field_mask_util.h"
#include "server/api/google/texts.h"
#include "server/rpc/proto_time.h"

namespace sluice::server {
namespace {

constexpr absl::Duration kDefaultExpiration = absl::Hours(31 * 24);

Labels LabelsFrom(const google::protobuf::Map<std::string, std::string>& labels) {
  return {labels.begin(), labels.end()};
}

// Keeps to the bounds of google.pubsub.v1, which are those of the engine; zero when not set.
absl::StatusOr<absl::Duration> RetentionFrom(bool set, const google::protobuf::Duration& d) {
  if (!set) return absl::ZeroDuration();
  const absl::Duration retention = FromProto(d);
  if (retention < kMinRetention || retention > kMaxRetention)
    return texts::RetentionOutOfBounds(retention);
  return retention;
}

absl::Status CheckSupported(const pubsub::Topic& topic) {
  if (topic.has_message_storage_policy()) {
    return texts::Unsupported("message_storage_policy",
                              "this server stores messages where it runs and nowhere else");
  }
  if (!topic.kms_key_name().empty()) {
    return texts::Unsupported("kms_key_name",
                              "this server does not encrypt with keys of a key management service");
  }
  if (topic.has_schema_settings())
    return texts::Unsupported("schema_settings", "this server does not keep schemas yet");
  if (topic.has_ingestion_data_source_settings()) {
    return texts::Unsupported("ingestion_data_source_settings",
                              "this server does not import from other services");
  }
  if (topic.message_transforms_size() > 0) {
    return texts::Unsupported("message_transforms", "this server does not transform messages");
  }
  if (topic.tags_size() > 0)
    return texts::Unsupported("tags", "this server does not keep resource manager tags");
  return absl::OkStatus();
}

absl::Status CheckSupported(const pubsub::Subscription& subscription) {
  if (subscription.has_bigquery_config()) {
    return texts::Unsupported("bigquery_config", "this server does not export to BigQuery");
  }
  if (subscription.has_cloud_storage_config()) {
    return texts::Unsupported("cloud_storage_config",
                              "this server does not export to Cloud Storage");
  }
  if (subscription.has_bigtable_config()) {
    return texts::Unsupported("bigtable_config", "this server does not export to Bigtable");
  }
  if (subscription.message_transforms_size() > 0) {
    return texts::Unsupported("message_transforms", "this server does not transform messages");
  }
  if (subscription.tags_size() > 0) {
    return texts::Unsupported("tags", "this server does not keep resource manager tags");
  }
  return absl::OkStatus();
}

absl::Status SetRetention(const pubsub::Subscription& from, SubscriptionConfig* config) {
  auto retention =
      RetentionFrom(from.has_message_retention_duration(), from.message_retention_duration());
  if (!retention.ok()) return retention.status();
  config->retention = *retention > absl::ZeroDuration() ? *retention : kDefaultRetention;
  config->acked_retention = from.retain_acked_messages() ? config->retention : absl::ZeroDuration();
  return absl::OkStatus();
}

absl::Status SetExpiration(const pubsub::Subscription& from, SubscriptionConfig* config) {
  config->expire_after = kDefaultExpiration;
  if (!from.has_expiration_policy()) return absl::OkStatus();
  // A policy without a time: never.
  config->expire_after = FromProto(from.expiration_policy().ttl());
  const bool too_small =
      from.expiration_policy().has_ttl() && config->expire_after < kMinExpireAfter;
  return too_small ? texts::ExpirationTooSmall(config->expire_after) : absl::OkStatus();
}

absl::Status SetDeadLetter(const pubsub::Subscription& from, SubscriptionConfig* config) {
  const bool expired_too = config->dead_letter && config->dead_letter->expired_too;
  config->dead_letter.reset();
  if (!from.has_dead_letter_policy() || from.dead_letter_policy().dead_letter_topic().empty())
    return absl::OkStatus();
  auto topic = TopicName::Parse(from.dead_letter_policy().dead_letter_topic(),
                                "dead_letter_policy.dead_letter_topic");
  if (!topic.ok()) return topic.status();
  DeadLetterPolicy policy;
  policy.topic = *std::move(topic);
  policy.expired_too = expired_too;
  // Negative numbers are too large as well.
  if (const int32_t attempts = from.dead_letter_policy().max_delivery_attempts(); attempts != 0) {
    policy.max_attempts = static_cast<uint32_t>(attempts);
  }
  config->dead_letter = std::move(policy);
  return absl::OkStatus();
}

absl::Status SetRetry(const pubsub::Subscription& from, SubscriptionConfig* config) {
  config->retry.reset();
  if (!from.has_retry_policy()) return absl::OkStatus();
  RetryPolicy retry;
  if (from.retry_policy().has_minimum_backoff())
    retry.minimum = FromProto(from.retry_policy().minimum_backoff());
  if (from.retry_policy().has_maximum_backoff())
    retry.maximum = FromProto(from.retry_policy().maximum_backoff());
  config->retry = retry;
  return absl::OkStatus();
}

absl::Status SetTopicRetention(const pubsub::Topic& from, TopicConfig* config) {
  auto retention =
      RetentionFrom(from.has_message_retention_duration(), from.message_retention_duration());
  if (!retention.ok()) return retention.status();
  config->acked_retention = *retention;
  return absl::OkStatus();
}

// What an update may change, by the name of the field. Every one of them is set when a resource is
// created.
template <class Message, class Config>
struct Setter {
  std::string_view field;
  absl::Status (*set)(const Message& from, Config* config);
};

using TopicSetter = Setter<pubsub::Topic, TopicConfig>;
constexpr TopicSetter kTopicSetters[] = {
    {"labels",
     [](const pubsub::Topic& from, TopicConfig* config) {
       config->labels = LabelsFrom(from.labels());
       return absl::OkStatus();
     }},
    {"message_retention_duration", SetTopicRetention},
};

using SubscriptionSetter = Setter<pubsub::Subscription, SubscriptionConfig>;
constexpr SubscriptionSetter kSubscriptionSetters[] = {
    {"ack_deadline_seconds",
     [](const pubsub::Subscription& from, SubscriptionConfig* config) {
       config->ack_deadline = AckDeadlineFrom(from.ack_deadline_seconds());
       return absl::OkStatus();
     }},
    {"push_config", [](const pubsub::Subscription& from,
                       SubscriptionConfig* config) { return SetPush(from.push_config(), config); }},
    {"retain_acked_messages", SetRetention},
    {"message_retention_duration", SetRetention},
    {"labels",
     [](const pubsub::Subscription& from, SubscriptionConfig* config) {
       config->labels = LabelsFrom(from.labels());
       return absl::OkStatus();
     }},
    {"expiration_policy", SetExpiration},
    {"dead_letter_policy", SetDeadLetter},
    {"retry_policy", SetRetry},
    {"enable_exactly_once_delivery",
     [](const pubsub::Subscription& from, SubscriptionConfig* config) {
       config->exactly_once = from.enable_exactly_once_delivery();
       return absl::OkStatus();
     }},
};

template <class Message, class Config, size_t N>
absl::Status SetAll(const Setter<Message, Config> (&setters)[N], const Message& from,
                    Config* config) {
  for (const auto& setter : setters) {
    if (absl::Status status = setter.set(from, config); !status.ok()) return status;
  }
  return absl::OkStatus();
}

// Checks one path of a mask; `field` gets its first part.
template <class Message>
absl::Status CheckPath(const std::string& path, std::string_view resource,
                       std::string_view* field) {
  std::string_view first = std::string_view(path).substr(0, path.find('.'));
  const auto* known = Message::descriptor()->FindFieldByName(std::string(first));
  // A map has no paths inside of it for the service.
  if (known == nullptr) return texts::MaskUnknown(resource, path);
  if (first.size() < path.size()) {
    const auto* inner = known->is_repeated() ? nullptr : known->message_type();
    if (inner == nullptr || inner->FindFieldByName(path.substr(first.size() + 1)) == nullptr) {
      return texts::MaskUnknown(resource, path);
    }
  }
  *field = first;
  return absl::OkStatus();
}

// The value of one path, from `from` to `to`.
template <class Message>
void CopyPath(const std::string& path, const Message& from, Message* to) {
  google::protobuf::FieldMask one;
  one.add_paths(path);
  google::protobuf::util::FieldMaskUtil::MergeOptions replace;
  replace.set_replace_message_fields(true);
  replace.set_replace_repeated_fields(true);
  google::protobuf::util::FieldMaskUtil::MergeMessageTo(from, one, replace, to);
}

template <class Message, class Config, size_t N>
absl::Status MergeFields(const Setter<Message, Config> (&setters)[N], std::string_view resource,
                         const google::protobuf::FieldMask& mask, const Message& wanted,
                         Message current, Config* config) {
  if (mask.paths().empty()) return texts::MaskMissing(resource);
  std::vector<const Setter<Message, Config>*> to_set;
  for (const std::string& path : mask.paths()) {
    std::string_view field;
    if (absl::Status status = CheckPath<Message>(path, resource, &field); !status.ok())
      return status;
    const auto* setter =
        std::find_if(setters, setters + N, [&](const auto& s) { return s.field == field; });
    if (setter == setters + N) return texts::MaskImmutable(resource, path);
    to_set.push_back(setter);
    CopyPath(path, wanted, &current);
  }
  for (const auto* setter : to_set) {
    if (absl::Status status = setter->set(current, config); !status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status SetPush(const pubsub::PushConfig& from, SubscriptionConfig* config) {
  config->push.reset();
  if (from.has_oidc_token()) {
    return texts::Unsupported("push_config.oidc_token",
                              "this server does not sign tokens for endpoints");
  }
  for (const auto& [key, value] : from.attributes()) {
    if (key != "x-goog-version" || (value != "v1" && value != "v1beta2")) {
      return texts::Unsupported(
          fmt::format("push_config.attributes[\"{}\"]", key),
          "there is x-goog-version alone, of v1 or v1beta2, which are the same");
    }
  }
  if (from.push_endpoint().empty()) {
    const bool nothing_else = from.attributes().empty() && !from.has_no_wrapper();
    return nothing_else ? absl::OkStatus() : texts::InvalidArgument("push_config.push_endpoint");
  }
  config->push = PushConfig{.endpoint = from.push_endpoint(),
                            .attributes = LabelsFrom(from.attributes()),
                            .wrapped = !from.has_no_wrapper(),
                            .metadata_headers = from.no_wrapper().write_metadata()};
  return absl::OkStatus();
}

std::string MadeUpId() {
  absl::BitGen random;
  return fmt::format("s-{:016x}", absl::Uniform<uint64_t>(random));
}

absl::StatusOr<TopicConfig> FromGoogle(const pubsub::Topic& topic) {
  auto name = TopicName::Parse(topic.name(), "name");
  if (!name.ok()) return name.status();
  if (absl::Status status = CheckSupported(topic); !status.ok()) return status;
  TopicConfig config;
  config.name = *std::move(name);
  // Each subscription says how long it keeps what it has not acknowledged; the topic stands behind
  // the longest.
  config.retention = kMaxRetention;
  // As Google does, unless message_retention_duration says otherwise.
  config.discard_unsubscribed = true;
  if (absl::Status status = SetAll(kTopicSetters, topic, &config); !status.ok()) return status;
  return config;
}

absl::StatusOr<SubscriptionConfig> FromGoogle(const pubsub::Subscription& subscription) {
  auto topic = TopicName::Parse(subscription.topic(), "topic");
  if (!topic.ok()) return topic.status();
  auto name = SubscriptionName::Parse(
      subscription.name().empty()
          ? fmt::format("{}/subscriptions/{}", topic->project_path(), MadeUpId())
          : subscription.name(),
      "name");
  if (!name.ok()) return name.status();
  if (absl::Status status = CheckSupported(subscription); !status.ok()) return status;
  SubscriptionConfig config;
  config.name = *std::move(name);
  config.topic = *std::move(topic);
  config.filter = subscription.filter();
  config.ordered = subscription.enable_message_ordering();
  if (absl::Status status = SetAll(kSubscriptionSetters, subscription, &config); !status.ok())
    return status;
  return config;
}

pubsub::PushConfig ToGoogle(const PushConfig& push) {
  pubsub::PushConfig out;
  out.set_push_endpoint(push.endpoint);
  out.mutable_attributes()->insert(push.attributes.begin(), push.attributes.end());
  if (!push.wrapped) out.mutable_no_wrapper()->set_write_metadata(push.metadata_headers);
  return out;
}

pubsub::Topic ToGoogle(const TopicConfig& config) {
  pubsub::Topic topic;
  topic.set_name(config.name.full());
  topic.mutable_labels()->insert(config.labels.begin(), config.labels.end());
  if (config.acked_retention > absl::ZeroDuration()) {
    ToProto(config.acked_retention, topic.mutable_message_retention_duration());
  }
  return topic;
}

pubsub::Subscription ToGoogle(const SubscriptionConfig& config,
                              const std::optional<TopicConfig>& topic) {
  pubsub::Subscription out;
  out.set_name(config.name.full());
  out.set_topic(config.topic ? config.topic->full() : std::string(kDeletedTopic));
  *out.mutable_push_config() = config.push ? ToGoogle(*config.push) : pubsub::PushConfig();
  out.set_ack_deadline_seconds(static_cast<int32_t>(absl::ToInt64Seconds(config.ack_deadline)));
  out.set_retain_acked_messages(config.acked_retention > absl::ZeroDuration());
  const absl::Duration topics = topic ? topic->retention : kDefaultRetention;
  ToProto(config.retention > absl::ZeroDuration() ? config.retention : topics,
          out.mutable_message_retention_duration());
  out.mutable_labels()->insert(config.labels.begin(), config.labels.end());
  out.set_enable_message_ordering(config.ordered);
  out.mutable_expiration_policy();
  if (config.expire_after > absl::ZeroDuration()) {
    ToProto(config.expire_after, out.mutable_expiration_policy()->mutable_ttl());
  }
  out.set_filter(config.filter);
  if (config.dead_letter) {
    out.mutable_dead_letter_policy()->set_dead_letter_topic(config.dead_letter->topic.full());
    out.mutable_dead_letter_policy()->set_max_delivery_attempts(
        static_cast<int32_t>(config.dead_letter->max_attempts));
  }
  if (config.retry) {
    ToProto(config.retry->minimum, out.mutable_retry_policy()->mutable_minimum_backoff());
    ToProto(config.retry->maximum, out.mutable_retry_policy()->mutable_maximum_backoff());
  }
  out.set_detached(config.detached);
  out.set_enable_exactly_once_delivery(config.exactly_once);
  if (topic && topic->acked_retention > absl::ZeroDuration()) {
    ToProto(topic->acked_retention, out.mutable_topic_message_retention_duration());
  }
  out.set_state(pubsub::Subscription::ACTIVE);
  return out;
}

pubsub::Snapshot ToGoogle(const Snapshot& snapshot) {
  pubsub::Snapshot out;
  out.set_name(snapshot.name.full());
  out.set_topic(snapshot.topic ? snapshot.topic->full() : std::string(kDeletedTopic));
  ToProto(snapshot.expire_time, out.mutable_expire_time());
  out.mutable_labels()->insert(snapshot.labels.begin(), snapshot.labels.end());
  return out;
}

absl::Status MergeGoogle(const google::protobuf::FieldMask& mask, const pubsub::Topic& wanted,
                         TopicConfig* config) {
  if (absl::Status status = CheckSupported(wanted); !status.ok()) return status;
  return MergeFields(kTopicSetters, "Topic", mask, wanted, ToGoogle(*config), config);
}

absl::Status MergeGoogle(const google::protobuf::FieldMask& mask,
                         const pubsub::Subscription& wanted, SubscriptionConfig* config) {
  if (absl::Status status = CheckSupported(wanted); !status.ok()) return status;
  return MergeFields(kSubscriptionSetters, "Subscription", mask, wanted,
                     ToGoogle(*config, std::nullopt), config);
}

absl::Status MergeGoogle(const google::protobuf::FieldMask& mask, const pubsub::Snapshot& wanted,
                         Labels* labels) {
  static constexpr Setter<pubsub::Snapshot, Labels> kSetters[] = {
      {"labels",
       [](const pubsub::Snapshot& from, Labels* to) {
         *to = LabelsFrom(from.labels());
         return absl::OkStatus();
       }},
  };
  pubsub::Snapshot current;
  current.mutable_labels()->insert(labels->begin(), labels->end());
  return MergeFields(kSetters, "Snapshot", mask, wanted, std::move(current), labels);
}

}  // namespace sluice::server
