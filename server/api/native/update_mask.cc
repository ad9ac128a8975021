#include "server/api/native/update_mask.h"

#include <algorithm>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include "core/base/error.h"
#include "fmt/format.h"
#include "server/api/native/convert.h"

namespace sluice::server {
namespace {

absl::Status BadMask(std::string_view path, std::string_view resource,
                     std::initializer_list<std::string_view> unchangeable) {
  const bool known =
      std::find(unchangeable.begin(), unchangeable.end(), path) != unchangeable.end();
  return Error(Reason::kInvalidUpdateMask,
               fmt::format("update_mask: '{}' is not a {} field of a {}", path,
                           known ? "changeable" : "known", resource),
               {{"field", "update_mask"}, {"value", std::string(path)}});
}

absl::Status EmptyMask() {
  return Error(Reason::kInvalidUpdateMask, "update_mask: names no field; it must name at least one",
               {{"field", "update_mask"}, {"value", ""}});
}

absl::Status SetField(std::string_view path, const TopicConfig& wanted, TopicConfig* config) {
  if (path == "retention") {
    config->retention = wanted.retention;
  } else if (path == "retention_bytes") {
    config->retention_bytes = wanted.retention_bytes;
  } else if (path == "labels") {
    config->labels = wanted.labels;
  } else if (path == "message_ttl") {
    config->message_ttl = wanted.message_ttl;
  } else if (path == "max_delay") {
    config->max_delay = wanted.max_delay;
  } else if (path == "acked_retention") {
    config->acked_retention = wanted.acked_retention;
  } else if (path == "discard_unsubscribed") {
    config->discard_unsubscribed = wanted.discard_unsubscribed;
  } else {
    return BadMask(path, "topic", {"name", "create_time"});
  }
  return absl::OkStatus();
}

absl::Status SetField(std::string_view path, const v1::Subscription& wanted,
                      SubscriptionConfig* config) {
  if (path == "ack_deadline_seconds") {
    config->ack_deadline = AckDeadlineFrom(wanted.ack_deadline_seconds());
  } else if (path == "retry_policy") {
    config->retry.reset();
    if (wanted.has_retry_policy()) config->retry = FromProto(wanted.retry_policy());
  } else if (path == "dead_letter_policy") {
    config->dead_letter.reset();
    if (!wanted.has_dead_letter_policy()) return absl::OkStatus();
    auto dead_letter = FromProto(wanted.dead_letter_policy());
    if (!dead_letter.ok()) return dead_letter.status();
    config->dead_letter = *std::move(dead_letter);
  } else if (path == "delivery_breaker_policy") {
    config->delivery_breaker.reset();
    if (wanted.has_delivery_breaker_policy())
      config->delivery_breaker = FromProto(wanted.delivery_breaker_policy());
  } else if (path == "labels") {
    config->labels = {wanted.labels().begin(), wanted.labels().end()};
  } else if (path == "enable_exactly_once_delivery") {
    config->exactly_once = wanted.enable_exactly_once_delivery();
  } else if (path == "acked_retention") {
    config->acked_retention = FromProto(wanted.acked_retention());
  } else if (path == "retention") {
    config->retention = FromProto(wanted.retention());
  } else if (path == "expire_after") {
    config->expire_after = FromProto(wanted.expire_after());
  } else if (path == "skip_damaged") {
    config->skip_damaged = wanted.skip_damaged();
  } else if (path == "push") {
    config->push.reset();
    if (wanted.has_push()) config->push = FromProto(wanted.push());
  } else {
    return BadMask(path, "subscription",
                   {"name", "topic", "create_time", "start", "filter", "enable_message_ordering",
                    "priority_delivery", "detached"});
  }
  return absl::OkStatus();
}

template <class Wanted, class Config>
absl::Status MergeFields(const google::protobuf::FieldMask& mask, const Wanted& wanted,
                         Config* config) {
  if (mask.paths().empty()) return EmptyMask();
  for (const std::string& path : mask.paths()) {
    if (absl::Status status = SetField(path, wanted, config); !status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status Merge(const google::protobuf::FieldMask& mask, const TopicConfig& wanted,
                   TopicConfig* config) {
  return MergeFields(mask, wanted, config);
}

absl::Status Merge(const google::protobuf::FieldMask& mask, const v1::Subscription& wanted,
                   SubscriptionConfig* config) {
  return MergeFields(mask, wanted, config);
}

}  // namespace sluice::server
