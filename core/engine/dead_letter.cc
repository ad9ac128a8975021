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
    case ReleaseCause::kConsumerGone:
      break;
  }
  return "consumer gone";
}

Ref<Batch> DeadLetterCopy(const Batch& batch, const Condemned& condemned, const SubscriptionConfig& config,
                          absl::Time now) {
  namespace attribute = dead_letter_attribute;
  const auto format = [](absl::Time time) { return absl::FormatTime(absl::RFC3339_full, time, absl::UTCTimeZone()); };
  std::string common;
  AppendAttribute(&common, {attribute::kAttempts, std::to_string(condemned.attempts)});
  AppendAttribute(&common, {attribute::kSubscription, config.name.id()});
  AppendAttribute(&common, {attribute::kProject, config.name.project()});
  AppendAttribute(&common, {attribute::kPublishTime, format(batch.publish_time())});
  AppendAttribute(&common, {attribute::kTopic, config.topic->full()});
  AppendAttribute(&common, {attribute::kReason, ToString(condemned.cause)});
  AppendAttribute(&common, {attribute::kTime, format(now)});
  std::vector<std::string> copies;
  for (Offset at = condemned.offsets.begin; at < condemned.offsets.end; ++at) {
    std::string& copy = copies.emplace_back(batch.message(static_cast<uint32_t>(at - batch.first())));
    copy += common;
    AppendAttribute(&copy, {attribute::kMessageId, std::to_string(at.value())});
  }
  return Batch::Compose({copies.begin(), copies.end()});
}

}  // namespace sluice
