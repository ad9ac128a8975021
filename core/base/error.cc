#include "core/base/error.h"

#include <array>

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "core/base/strings.h"
#include "fmt/format.h"

namespace sluice {
namespace {

constexpr std::string_view kReasonPayload = "sluice/reason";
constexpr std::string_view kMetadataPayload = "sluice/metadata";
constexpr std::string_view kRetryPayload = "sluice/retry-delay";

struct ReasonEntry {
  Reason reason;
  std::string_view name;
  absl::StatusCode code;
};

using Code = absl::StatusCode;
constexpr std::array<ReasonEntry, kReasonCount> kReasons = {{
    {Reason::kInvalidName, "INVALID_NAME", Code::kInvalidArgument},
    {Reason::kInvalidUtf8, "INVALID_UTF8", Code::kInvalidArgument},
    {Reason::kMalformedRequest, "MALFORMED_REQUEST", Code::kInvalidArgument},
    {Reason::kNoMessages, "NO_MESSAGES", Code::kInvalidArgument},
    {Reason::kTooManyMessages, "TOO_MANY_MESSAGES", Code::kInvalidArgument},
    {Reason::kRequestTooLarge, "REQUEST_TOO_LARGE", Code::kInvalidArgument},
    {Reason::kEmptyMessage, "EMPTY_MESSAGE", Code::kInvalidArgument},
    {Reason::kTooManyAttributes, "TOO_MANY_ATTRIBUTES", Code::kInvalidArgument},
    {Reason::kInvalidAttribute, "INVALID_ATTRIBUTE", Code::kInvalidArgument},
    {Reason::kOrderingKeyTooLong, "ORDERING_KEY_TOO_LONG", Code::kInvalidArgument},
    {Reason::kInvalidPriority, "INVALID_PRIORITY", Code::kInvalidArgument},
    {Reason::kInvalidAckDeadline, "INVALID_ACK_DEADLINE", Code::kInvalidArgument},
    {Reason::kInvalidDelay, "INVALID_DELAY", Code::kInvalidArgument},
    {Reason::kInvalidTime, "INVALID_TIME", Code::kInvalidArgument},
    {Reason::kInvalidRetention, "INVALID_RETENTION", Code::kInvalidArgument},
    {Reason::kInvalidLabel, "INVALID_LABEL", Code::kInvalidArgument},
    {Reason::kInvalidCredit, "INVALID_CREDIT", Code::kInvalidArgument},
    {Reason::kInvalidFilter, "INVALID_FILTER", Code::kInvalidArgument},
    {Reason::kInvalidRetryPolicy, "INVALID_RETRY_POLICY", Code::kInvalidArgument},
    {Reason::kInvalidDeadLetterPolicy, "INVALID_DEAD_LETTER_POLICY", Code::kInvalidArgument},
    {Reason::kInvalidOrder, "INVALID_ORDER", Code::kInvalidArgument},
    {Reason::kInvalidSeek, "INVALID_SEEK", Code::kInvalidArgument},
    {Reason::kInvalidBreakerPolicy, "INVALID_BREAKER_POLICY", Code::kInvalidArgument},
    {Reason::kInvalidProducer, "INVALID_PRODUCER", Code::kInvalidArgument},
    {Reason::kInvalidTimeout, "INVALID_TIMEOUT", Code::kInvalidArgument},
    {Reason::kInvalidRange, "INVALID_RANGE", Code::kInvalidArgument},
    {Reason::kInvalidStartPosition, "INVALID_START_POSITION", Code::kInvalidArgument},
    {Reason::kInvalidUpdateMask, "INVALID_UPDATE_MASK", Code::kInvalidArgument},
    {Reason::kInvalidPage, "INVALID_PAGE", Code::kInvalidArgument},
    {Reason::kMissingTarget, "MISSING_TARGET", Code::kInvalidArgument},
    {Reason::kTargetChanged, "TARGET_CHANGED", Code::kInvalidArgument},
    {Reason::kInvalidAckId, "INVALID_ACK_ID", Code::kInvalidArgument},
    {Reason::kInvalidRequest, "INVALID_REQUEST", Code::kInvalidArgument},
    {Reason::kInvalidPushConfig, "INVALID_PUSH_CONFIG", Code::kInvalidArgument},
    {Reason::kInvalidPolicy, "INVALID_POLICY", Code::kInvalidArgument},
    {Reason::kInvalidConfig, "INVALID_CONFIG", Code::kInvalidArgument},
    {Reason::kUnsupported, "UNSUPPORTED", Code::kInvalidArgument},
    {Reason::kTopicNotFound, "TOPIC_NOT_FOUND", Code::kNotFound},
    {Reason::kSubscriptionNotFound, "SUBSCRIPTION_NOT_FOUND", Code::kNotFound},
    {Reason::kSnapshotNotFound, "SNAPSHOT_NOT_FOUND", Code::kNotFound},
    {Reason::kBackupNotFound, "BACKUP_NOT_FOUND", Code::kNotFound},
    {Reason::kTopicExists, "TOPIC_EXISTS", Code::kAlreadyExists},
    {Reason::kSubscriptionExists, "SUBSCRIPTION_EXISTS", Code::kAlreadyExists},
    {Reason::kSnapshotExists, "SNAPSHOT_EXISTS", Code::kAlreadyExists},
    {Reason::kBackupExists, "BACKUP_EXISTS", Code::kAlreadyExists},
    {Reason::kTopicDeleted, "TOPIC_DELETED", Code::kFailedPrecondition},
    {Reason::kSubscriptionDetached, "SUBSCRIPTION_DETACHED", Code::kFailedPrecondition},
    {Reason::kPushSubscription, "PUSH_SUBSCRIPTION", Code::kFailedPrecondition},
    {Reason::kProducerFenced, "PRODUCER_FENCED", Code::kFailedPrecondition},
    {Reason::kSequenceTooOld, "SEQUENCE_TOO_OLD", Code::kFailedPrecondition},
    {Reason::kSnapshotTooShort, "SNAPSHOT_TOO_SHORT", Code::kFailedPrecondition},
    {Reason::kLeaseOver, "LEASE_OVER", Code::kFailedPrecondition},
    {Reason::kEarlierMessageOutstanding, "EARLIER_MESSAGE_OUTSTANDING", Code::kFailedPrecondition},
    {Reason::kDataFolderInUse, "DATA_FOLDER_IN_USE", Code::kFailedPrecondition},
    {Reason::kDataFolderUnusable, "DATA_FOLDER_UNUSABLE", Code::kFailedPrecondition},
    {Reason::kNewerFormat, "NEWER_FORMAT", Code::kFailedPrecondition},
    {Reason::kBackupsDisabled, "BACKUPS_DISABLED", Code::kFailedPrecondition},
    {Reason::kBackupIncomplete, "BACKUP_INCOMPLETE", Code::kFailedPrecondition},
    {Reason::kAddressUnusable, "ADDRESS_UNUSABLE", Code::kFailedPrecondition},
    {Reason::kStorageFull, "STORAGE_FULL", Code::kResourceExhausted},
    {Reason::kTooMuchInFlight, "TOO_MUCH_IN_FLIGHT", Code::kResourceExhausted},
    {Reason::kTooManyConsumers, "TOO_MANY_CONSUMERS", Code::kResourceExhausted},
    {Reason::kTooManyTopics, "TOO_MANY_TOPICS", Code::kResourceExhausted},
    {Reason::kTooManySubscriptions, "TOO_MANY_SUBSCRIPTIONS", Code::kResourceExhausted},
    {Reason::kTooManyStreams, "TOO_MANY_STREAMS", Code::kResourceExhausted},
    {Reason::kQuotaExceeded, "QUOTA_EXCEEDED", Code::kResourceExhausted},
    {Reason::kMemoryBudget, "MEMORY_BUDGET", Code::kResourceExhausted},
    {Reason::kTooManyFailures, "TOO_MANY_FAILURES", Code::kResourceExhausted},
    {Reason::kConcurrentChange, "CONCURRENT_CHANGE", Code::kAborted},
    {Reason::kDraining, "DRAINING", Code::kUnavailable},
    {Reason::kStorageUnavailable, "STORAGE_UNAVAILABLE", Code::kUnavailable},
    {Reason::kCircuitOpen, "CIRCUIT_OPEN", Code::kUnavailable},
    {Reason::kDeadlineExceeded, "DEADLINE_EXCEEDED", Code::kDeadlineExceeded},
    {Reason::kKeysUnavailable, "KEYS_UNAVAILABLE", Code::kUnavailable},
    {Reason::kAuditUnavailable, "AUDIT_UNAVAILABLE", Code::kUnavailable},
    {Reason::kDataLoss, "DATA_LOSS", Code::kDataLoss},
    {Reason::kCredentialsMissing, "CREDENTIALS_MISSING", Code::kUnauthenticated},
    {Reason::kCredentialsInvalid, "CREDENTIALS_INVALID", Code::kUnauthenticated},
    {Reason::kCredentialsExpired, "CREDENTIALS_EXPIRED", Code::kUnauthenticated},
    {Reason::kPermissionDenied, "PERMISSION_DENIED", Code::kPermissionDenied},
    {Reason::kInternal, "INTERNAL", Code::kInternal},
}};

constexpr bool InEnumOrder() {
  for (int i = 0; i < kReasonCount; ++i) {
    if (static_cast<int>(kReasons[i].reason) != i) return false;
  }
  return true;
}
static_assert(InEnumOrder(), "the table of reasons is indexed by the enum");

const ReasonEntry& EntryOf(Reason reason) { return kReasons[static_cast<int>(reason)]; }

}  // namespace

std::string_view ReasonName(Reason reason) { return EntryOf(reason).name; }

absl::StatusCode ReasonCode(Reason reason) { return EntryOf(reason).code; }

absl::Status Error(Reason reason, std::string_view message, const ErrorMetadata& metadata) {
  absl::Status status(ReasonCode(reason), ToAbsl(message));
  status.SetPayload(ToAbsl(kReasonPayload), absl::Cord(std::to_string(static_cast<int>(reason))));
  if (!metadata.empty()) {
    // Length-prefixed, so that any value survives: "5:field8:messages...".
    std::string packed;
    for (const auto& [key, value] : metadata) {
      packed += fmt::format("{}:{}{}:{}", key.size(), key, value.size(), value);
    }
    status.SetPayload(ToAbsl(kMetadataPayload), absl::Cord(packed));
  }
  return status;
}

absl::Status RetryableError(Reason reason, std::string_view message, absl::Duration retry_delay) {
  absl::Status status = Error(reason, message);
  SetRetryDelay(retry_delay, &status);
  return status;
}

void SetRetryDelay(absl::Duration retry_delay, absl::Status* status) {
  status->SetPayload(ToAbsl(kRetryPayload),
                     absl::Cord(std::to_string(absl::ToInt64Milliseconds(retry_delay))));
}

std::optional<Reason> ReasonOf(const absl::Status& status) {
  auto payload = status.GetPayload(ToAbsl(kReasonPayload));
  int number = 0;
  if (!payload || !absl::SimpleAtoi(std::string(*payload), &number)) return std::nullopt;
  if (number < 0 || number >= kReasonCount) return std::nullopt;
  return static_cast<Reason>(number);
}

ErrorMetadata MetadataOf(const absl::Status& status) {
  ErrorMetadata metadata;
  auto payload = status.GetPayload(ToAbsl(kMetadataPayload));
  if (!payload) return metadata;
  const std::string packed(*payload);
  size_t at = 0;
  auto next = [&] {
    const size_t colon = packed.find(':', at);
    const size_t length = std::stoul(packed.substr(at, colon - at));
    at = colon + 1 + length;
    return packed.substr(colon + 1, length);
  };
  while (at < packed.size()) {
    std::string key = next();
    metadata.emplace_back(std::move(key), next());
  }
  return metadata;
}

std::optional<absl::Duration> RetryDelayOf(const absl::Status& status) {
  auto payload = status.GetPayload(ToAbsl(kRetryPayload));
  int64_t millis = 0;
  if (!payload || !absl::SimpleAtoi(std::string(*payload), &millis)) return std::nullopt;
  return absl::Milliseconds(millis);
}

}  // namespace sluice
