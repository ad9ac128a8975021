// The limits on what clients send, the same in both APIs. Their source is the public Pub/Sub quotas
// page; the batch count and the request size are also those of the recorded error texts.
//
// Thread rule: constants.
#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/time/time.h"

namespace sluice {

inline constexpr size_t kMaxMessagesPerBatch = 1000;
inline constexpr size_t kMaxRequestBytes = 10'000'000;
inline constexpr size_t kMaxAttributes = 100;
inline constexpr size_t kMaxAttributeKeyBytes = 256;
inline constexpr size_t kMaxAttributeValueBytes = 1024;
inline constexpr size_t kMaxOrderingKeyBytes = 1024;
inline constexpr uint32_t kMaxPriority = 9;
inline constexpr size_t kMinNameLength = 3;
inline constexpr size_t kMaxNameLength = 255;
inline constexpr size_t kMaxClientIdBytes = 255;
inline constexpr size_t kMaxProducerIdBytes = 255;
inline constexpr size_t kMaxFilterBytes = 256;
inline constexpr size_t kMaxLabels = 64;
inline constexpr size_t kMaxLabelBytes = 63;

inline constexpr absl::Duration kMinAckDeadline = absl::Seconds(10);
inline constexpr absl::Duration kMaxAckDeadline = absl::Seconds(600);
inline constexpr absl::Duration kMaxNackDelay = absl::Seconds(600);
inline constexpr absl::Duration kMaxRetryBackoff = absl::Seconds(600);
inline constexpr uint32_t kMinDeliveryAttempts = 5;
inline constexpr uint32_t kMaxDeliveryAttempts = 100;
inline constexpr absl::Duration kMinRetention = absl::Minutes(10);
inline constexpr absl::Duration kMaxRetention = absl::Hours(31 * 24);
inline constexpr absl::Duration kDefaultRetention = absl::Hours(7 * 24);
inline constexpr absl::Duration kMinExpireAfter = absl::Hours(24);
inline constexpr absl::Duration kMinMessageTtl = absl::Seconds(1);
// A snapshot lives this long, less the age of the oldest message that it keeps, and is not made for
// less than the other.
inline constexpr absl::Duration kSnapshotLife = absl::Hours(7 * 24);
inline constexpr absl::Duration kMinSnapshotLife = absl::Hours(1);
inline constexpr int64_t kMinRetentionBytes = 1 << 20;

}  // namespace sluice
