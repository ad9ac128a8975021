// What becomes of a message that was delivered too often without success: a copy of it in another
// topic, that says where it came from and why.
//
// Thread rule: value types and pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "core/engine/config.h"
#include "core/message/batch.h"
#include "core/storage/ack_set.h"

namespace sluice {

// Why a lease ended without an acknowledgement, or why there was none. What is returned did not
// fail: it counts no attempt.
enum class ReleaseCause { kNacked, kDeadlinePassed, kConsumerGone, kExpired, kReturned };

// "nacked", "ack deadline passed", "consumer gone", "expired"; REQUIRES: not kReturned.
std::string_view ToString(ReleaseCause cause);

// Messages whose attempts are used up and that wait to be copied.
struct Condemned {
  OffsetRange offsets;
  uint32_t attempts = 0;
  ReleaseCause cause = ReleaseCause::kNacked;
};

// Messages that are copied together: those of the line that were found in one read of the log.
struct Burial {
  // Of the line, which a seek empties.
  uint64_t epoch = 0;
  Offset from;
  std::vector<Condemned> taken;

  uint64_t count() const {
    uint64_t messages = 0;
    for (const Condemned& part : taken) messages += part.offsets.size();
    return messages;
  }
};

// What is added to the attributes of a copy. The first four are Google Cloud Pub/Sub's.
namespace dead_letter_attribute {
inline constexpr std::string_view kAttempts = "CloudPubSubDeadLetterSourceDeliveryCount";
inline constexpr std::string_view kSubscription = "CloudPubSubDeadLetterSourceSubscription";
inline constexpr std::string_view kProject = "CloudPubSubDeadLetterSourceSubscriptionProject";
// RFC 3339, as is kTime.
inline constexpr std::string_view kPublishTime = "CloudPubSubDeadLetterSourceTopicPublishTime";
inline constexpr std::string_view kTopic = "SluiceDeadLetterTopic";
inline constexpr std::string_view kMessageId = "SluiceDeadLetterMessageId";
inline constexpr std::string_view kReason = "SluiceDeadLetterReason";
// When the last delivery had failed.
inline constexpr std::string_view kTime = "SluiceDeadLetterTime";
}  // namespace dead_letter_attribute

// Appends copies of the condemned messages, all of which are in `batch`: the stored bytes with
// attributes added. A key that was there before counts with its last value, as protobuf's maps have
// it.
void AppendDeadLetterCopies(const Batch& batch, const Condemned& condemned,
                            const SubscriptionConfig& config, absl::Time now,
                            std::vector<std::string>* copies);

}  // namespace sluice
