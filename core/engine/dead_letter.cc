#include "core/engine/dead_letter.h"

#include <string>
#include <utility>
#include <vector>

namespace sluice {

std::string_view ToString(ReleaseCause cause) {
  switch (cause) {
    case ReleaseCause::kNacked:
      return "nacked";
    case ReleaseCause::kDeadlinePassed:
      return "ack deadline passed";
    case ReleaseCause::kExpired:
      return "expired";
    case ReleaseCause::kConsumerGone:
    case ReleaseCause::kReturned:
      break;
  }
  return "consumer gone";
}

namespace {

// A copy must neither wait nor expire.
std::string WithoutTimes(std::string_view message) {
  const MessageView view(message);
  if (view.deliver_at_us() == kDeliverAtOnce && view.expire_at_us() == kNeverExpires)
    return std::string(message);
  std::string kept;
  WireReader in(message);
  WireField field;
  while (in.Next(&field)) {
    if (field.number == kDeliverAtField || field.number == kExpireAtField) continue;
    if (field.type == WireType::kVarint) {
      AppendVarintField(&kept, field.number, field.value);
    } else {
      AppendBytesField(&kept, field.number, field.bytes);
    }
  }
  return kept;
}

}  // namespace

void AppendDeadLetterCopies(const Batch& batch, const Condemned& condemned,
                            const SubscriptionConfig& config, absl::Time now,
                            std::vector<std::string>* copies) {
  namespace attribute = dead_letter_attribute;
  const auto format = [](absl::Time time) {
    return absl::FormatTime(absl::RFC3339_full, time, absl::UTCTimeZone());
  };
  std::string common;
  AppendAttribute(&common, {attribute::kAttempts, std::to_string(condemned.attempts)});
  AppendAttribute(&common, {attribute::kSubscription, config.name.id()});
  AppendAttribute(&common, {attribute::kProject, config.name.project()});
  AppendAttribute(&common, {attribute::kPublishTime, format(batch.publish_time())});
  AppendAttribute(&common, {attribute::kTopic,
                            config.topic ? std::string_view(config.topic->full()) : kDeletedTopic});
  AppendAttribute(&common, {attribute::kReason, ToString(condemned.cause)});
  AppendAttribute(&common, {attribute::kTime, format(now)});
  for (Offset at = condemned.offsets.begin; at < condemned.offsets.end; ++at) {
    std::string& copy = copies->emplace_back(
        WithoutTimes(batch.message(static_cast<uint32_t>(at - batch.first()))));
    copy += common;
    AppendAttribute(&copy, {attribute::kMessageId, std::to_string(at.value())});
  }
}

}  // namespace sluice
