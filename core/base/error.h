// What can go wrong, as a reason that programs can act on. Inside the house errors are
// absl::Status; a reason and its metadata (field, value, limit) ride in it as a payload, and
// server/ maps them to gRPC in one place.
//
//   return Error(Reason::kTooManyMessages, "messages: 1001 messages, but at most 1000 are allowed per request",
//                {{"field", "messages"}, {"value", "1001"}, {"limit", "1000"}});
//
// Each reason belongs to one category, and so to one code (design: a permanent refusal never has a
// code that clients retry). protos/sluice/v1/error.proto has the same as an enum for clients,
// docs/api.md lists them; tests hold the three together.
//
// Thread rule: pure functions.
#pragma once

#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace sluice {

enum class Reason {
  // Bad input.
  kInvalidName,
  kInvalidUtf8,
  kMalformedRequest,
  kNoMessages,
  kTooManyMessages,
  kRequestTooLarge,
  kEmptyMessage,
  kTooManyAttributes,
  kInvalidAttribute,
  kOrderingKeyTooLong,
  kInvalidPriority,
  kInvalidAckDeadline,
  kInvalidDelay,
  kInvalidTime,
  kInvalidRetention,
  kInvalidLabel,
  kInvalidCredit,
  kInvalidFilter,
  kInvalidRetryPolicy,
  kInvalidDeadLetterPolicy,
  kInvalidOrder,
  kInvalidSeek,
  kInvalidBreakerPolicy,
  kInvalidProducer,
  kInvalidTimeout,
  kInvalidRange,
  kInvalidStartPosition,
  kInvalidUpdateMask,
  kInvalidPage,
  kMissingTarget,
  kTargetChanged,
  kInvalidAckId,
  kInvalidRequest,
  kInvalidPushConfig,
  kInvalidPolicy,
  kInvalidConfig,
  kUnsupported,
  // Missing, or there already.
  kTopicNotFound,
  kSubscriptionNotFound,
  kSnapshotNotFound,
  kBackupNotFound,
  kTopicExists,
  kSubscriptionExists,
  kSnapshotExists,
  kBackupExists,
  // Wrong state.
  kTopicDeleted,
  kSubscriptionDetached,
  kPushSubscription,
  kProducerFenced,
  kSequenceTooOld,
  kSnapshotTooShort,
  kLeaseOver,
  kEarlierMessageOutstanding,
  kDataFolderInUse,
  kDataFolderUnusable,
  kNewerFormat,
  kBackupsDisabled,
  kBackupIncomplete,
  kAddressUnusable,
  // Too much.
  kStorageFull,
  kTooMuchInFlight,
  kTooManyConsumers,
  kTooManyTopics,
  kTooManySubscriptions,
  kTooManyStreams,
  kQuotaExceeded,
  kMemoryBudget,
  kTooManyFailures,
  // Not now.
  kConcurrentChange,
  kDraining,
  kStorageUnavailable,
  kCircuitOpen,
  kDeadlineExceeded,
  kKeysUnavailable,
  kAuditUnavailable,
  // Damaged.
  kDataLoss,
  // Who are you, and may you.
  kCredentialsMissing,
  kCredentialsInvalid,
  kCredentialsExpired,
  kPermissionDenied,
  // A defect of ours.
  kInternal,
};

// "TOO_MANY_MESSAGES" for kTooManyMessages.
std::string_view ReasonName(Reason reason);

// The canonical code of a reason's category.
absl::StatusCode ReasonCode(Reason reason);

using ErrorMetadata = std::vector<std::pair<std::string, std::string>>;

absl::Status Error(Reason reason, std::string_view message, const ErrorMetadata& metadata = {});

// The same, telling the client how long to wait.
absl::Status RetryableError(Reason reason, std::string_view message, absl::Duration retry_delay);
void SetRetryDelay(absl::Duration retry_delay, absl::Status* status);

// What Error() put in; nothing for a status that was made otherwise.
std::optional<Reason> ReasonOf(const absl::Status& status);
ErrorMetadata MetadataOf(const absl::Status& status);
std::optional<absl::Duration> RetryDelayOf(const absl::Status& status);

// How many reasons there are, for counters indexed by reason.
inline constexpr int kReasonCount = static_cast<int>(Reason::kInternal) + 1;

}  // namespace sluice
