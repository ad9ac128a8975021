#include "core/storage/damage.h"

#include <cassert>
#include <string>

#include "absl/strings/numbers.h"
#include "core/base/error.h"
#include "fmt/format.h"

namespace sluice {
namespace {

constexpr std::string_view kFirst = "first_message_id";
constexpr std::string_view kLast = "last_message_id";

}  // namespace

absl::Status DamageError(std::string_view topic, OffsetRange lost, std::string_view segment,
                         uint64_t position) {
  assert(!lost.empty());
  const uint64_t first = lost.begin.value();
  const uint64_t last = lost.end.value() - 1;
  return Error(Reason::kDataLoss,
               fmt::format("topic {}: the messages with ids {} to {} are damaged on the disk, in "
                           "journal segment {} at {}. Seek the "
                           "subscription to message id {}, or set its skip_damaged",
                           topic, first, last, segment, position, last + 1),
               {{"topic", std::string(topic)},
                {std::string(kFirst), std::to_string(first)},
                {std::string(kLast), std::to_string(last)},
                {"path", std::string(segment)}});
}

std::optional<OffsetRange> DamagedMessages(const absl::Status& status) {
  if (!absl::IsDataLoss(status)) return std::nullopt;
  uint64_t first = 0;
  uint64_t last = 0;
  for (const auto& [key, value] : MetadataOf(status)) {
    if (key == kFirst && !absl::SimpleAtoi(value, &first)) return std::nullopt;
    if (key == kLast && !absl::SimpleAtoi(value, &last)) return std::nullopt;
  }
  if (first == 0 || last < first) return std::nullopt;
  return OffsetRange{Offset(first), Offset(last + 1)};
}

}  // namespace sluice
