#include "server/api/google/texts.h"

#include "core/base/error.h"
#include "core/base/strings.h"
#include "core/message/limits.h"
#include "fmt/format.h"

namespace sluice::server::texts {
namespace {

std::string ValueOf(const absl::Status& status, std::string_view key) {
  for (const auto& [name, value] : MetadataOf(status)) {
    if (name == key) return value;
  }
  return {};
}

// The same error, details included, in other words.
absl::Status Reworded(const absl::Status& status, const std::string& text) {
  absl::Status told = Error(*ReasonOf(status), text, MetadataOf(status));
  if (const auto delay = RetryDelayOf(status)) SetRetryDelay(*delay, &told);
  return told;
}

std::string NameText(std::string_view name) {
  return fmt::format(
      "Invalid resource name given (name={}). Refer to "
      "https://cloud.google.com/pubsub/docs/pubsub-basics#resource_names for more information.",
      name);
}

std::string TooLargeText(std::string_view what, size_t value, size_t limit) {
  return fmt::format(
      "The value for {} is too large. You passed {} in the request, but the maximum value is {}.",
      what, value, limit);
}

// The last part of a resource's name.
std::string_view ShortName(std::string_view name) { return name.substr(name.rfind('/') + 1); }

ErrorMetadata About(std::string_view field, std::string_view value, std::string_view limit = {}) {
  ErrorMetadata about = {{"field", std::string(field)}, {"value", std::string(value)}};
  if (!limit.empty()) about.emplace_back("limit", limit);
  return about;
}

}  // namespace

absl::Status Told(const absl::Status& status) {
  const auto reason = ReasonOf(status);
  if (status.ok() || !reason) return status;
  const std::string value = ValueOf(status, "value");
  switch (*reason) {
    case Reason::kInvalidName:
      return Reworded(status, NameText(value));
    case Reason::kTopicNotFound:
    case Reason::kSubscriptionNotFound:
    case Reason::kSnapshotNotFound:
      return Reworded(status, fmt::format("Resource not found (resource={}).", ShortName(value)));
    case Reason::kTopicExists:
    case Reason::kSubscriptionExists:
    case Reason::kSnapshotExists:
      return Reworded(status, fmt::format("Resource already exists in the project (resource={}).",
                                          ShortName(value)));
    case Reason::kPushSubscription:
      return Reworded(status, "This method is not supported for this subscription type.");
    default:
      return status;
  }
}

absl::Status TooFewMessages() {
  return Error(Reason::kNoMessages,
               "The value for message_count is too small. You passed 0 in the request, but the "
               "minimum value is 1.",
               About("messages", "0", "1"));
}

absl::Status TooManyMessages(size_t count) {
  return Error(Reason::kTooManyMessages, TooLargeText("message_count", count, kMaxMessagesPerBatch),
               About("messages", std::to_string(count), std::to_string(kMaxMessagesPerBatch)));
}

absl::Status RequestTooLarge(size_t bytes, size_t limit) {
  return Error(Reason::kRequestTooLarge, TooLargeText("request_size", bytes, limit),
               About("request", std::to_string(bytes), std::to_string(limit)));
}

absl::Status InvalidAckDeadline(int64_t seconds) {
  return Error(Reason::kInvalidAckDeadline,
               fmt::format("Invalid ack deadline given (ack_deadline={}). The ack deadline must be "
                           "between 0 and {} seconds.",
                           seconds, absl::ToInt64Seconds(kMaxAckDeadline)),
               About("ack_deadline_seconds", std::to_string(seconds), "0 to 600"));
}

absl::Status NoAckIds() {
  return Error(Reason::kInvalidAckId, "You have not specified an ack ID in the request.",
               About("ack_ids", ""));
}

absl::Status InvalidAckId(std::string_view ack_id) {
  constexpr size_t kShown = 200;
  const std::string shown =
      IsValidUtf8(ack_id.substr(0, kShown)) ? std::string(ack_id.substr(0, kShown)) : "(not UTF-8)";
  return Error(Reason::kInvalidAckId,
               fmt::format("You have passed an invalid ack ID to the service (ack_id={}).", shown),
               About("ack_ids", shown));
}

absl::Status InvalidArgument(std::string_view argument) {
  return Error(
      Reason::kInvalidRequest,
      fmt::format("You have passed an invalid argument to the service (argument={}).", argument),
      About(argument, ""));
}

absl::Status MaskMissing(std::string_view resource) {
  return Error(Reason::kInvalidUpdateMask,
               fmt::format("The update_mask in the Update{}Request must be set, and must contain a "
                           "non-empty paths list.",
                           resource),
               About("update_mask", ""));
}

absl::Status MaskImmutable(std::string_view resource, std::string_view path) {
  return Error(Reason::kInvalidUpdateMask,
               fmt::format("Invalid update_mask provided in the Update{0}Request: the '{1}' field "
                           "in the {0} is not mutable.",
                           resource, path),
               About("update_mask", path));
}

absl::Status MaskUnknown(std::string_view resource, std::string_view path) {
  return Error(
      Reason::kInvalidUpdateMask,
      fmt::format("Invalid update_mask provided in the Update{0}Request: {1} is not a known {0} "
                  "field. Note that "
                  "field paths must be of the form 'push_config' rather than 'pushConfig'.",
                  resource, path),
      About("update_mask", path));
}

absl::Status RetentionOutOfBounds(absl::Duration retention) {
  return Error(Reason::kInvalidRetention,
               fmt::format("The value for message retention duration is out of bounds. You passed "
                           "{} in the request, but the "
                           "value must be between 10m and 744h.",
                           SpanText(retention)),
               About("message_retention_duration", SpanText(retention), "10m to 744h"));
}

absl::Status ExpirationTooSmall(absl::Duration ttl) {
  return Error(Reason::kInvalidRetention,
               fmt::format("The value for expiration duration is too small. You passed {} in the "
                           "request, but the minimum "
                           "value is 24h.",
                           SpanText(ttl)),
               About("expiration_policy.ttl", SpanText(ttl), "24h"));
}

absl::Status Unsupported(std::string_view field, std::string_view what) {
  return Error(Reason::kUnsupported, fmt::format("{}: {}", field, what), About(field, ""));
}

std::string_view AckIdsFailed() {
  return "Some acknowledgement ids in the request were invalid. This could be because the "
         "acknowledgement ids have expired or "
         "the acknowledgement ids were malformed.";
}

std::string SpanText(absl::Duration span) { return absl::FormatDuration(span); }

}  // namespace sluice::server::texts
