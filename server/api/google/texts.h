// What google.pubsub.v1 says when something is wrong: the codes and texts recorded from the real
// service, which clients and their tests know by heart. Errors of the house are told in those words
// where there are any, with our details (reason, field, value, limit) beside them.
//
// Thread rule: pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace sluice::server::texts {

// The same error in the words of the service.
absl::Status Told(const absl::Status& status);

absl::Status TooFewMessages();
absl::Status TooManyMessages(size_t count);
absl::Status RequestTooLarge(size_t bytes, size_t limit);
absl::Status InvalidAckDeadline(int64_t seconds);
absl::Status NoAckIds();
absl::Status InvalidAckId(std::string_view ack_id);
absl::Status InvalidArgument(std::string_view argument);
// `resource` is "Subscription", say.
absl::Status MaskMissing(std::string_view resource);
absl::Status MaskImmutable(std::string_view resource, std::string_view path);
absl::Status MaskUnknown(std::string_view resource, std::string_view path);
absl::Status RetentionOutOfBounds(absl::Duration retention);
absl::Status ExpirationTooSmall(absl::Duration ttl);
// Something this server does not do: nothing is accepted and then ignored.
absl::Status Unsupported(std::string_view field, std::string_view what);

// Text of exactly-once failures, and the reasons given for each id.
std::string_view AckIdsFailed();
inline constexpr std::string_view kPermanentFailure = "PERMANENT_FAILURE_INVALID_ACK_ID";
inline constexpr std::string_view kUnorderedFailure = "TRANSIENT_FAILURE_UNORDERED_ACK_ID";
inline constexpr std::string_view kTransientFailure = "TRANSIENT_FAILURE_ACK_ID";

// "9m59s", as the texts have it.
std::string SpanText(absl::Duration span);

}  // namespace sluice::server::texts
