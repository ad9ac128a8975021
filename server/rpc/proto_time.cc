#include "server/rpc/proto_time.h"

#include <string>

#include "core/base/error.h"
#include "core/message/limits.h"
#include "fmt/format.h"

namespace sluice::server {
namespace {

// Timestamps are valid from year 1 to 9999 (google/protobuf/timestamp.proto).
constexpr int64_t kMinSeconds = -62'135'596'800;
constexpr int64_t kMaxSeconds = 253'402'300'799;

}  // namespace

absl::Duration FromProto(const google::protobuf::Duration& d) {
  return absl::Seconds(d.seconds()) + absl::Nanoseconds(d.nanos());
}

absl::Time FromProto(const google::protobuf::Timestamp& t) {
  return absl::FromUnixSeconds(t.seconds()) + absl::Nanoseconds(t.nanos());
}

void ToProto(absl::Duration d, google::protobuf::Duration* out) {
  out->set_seconds(absl::IDivDuration(d, absl::Seconds(1), &d));
  out->set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(d)));
}

void ToProto(absl::Time t, google::protobuf::Timestamp* out) {
  const int64_t seconds = absl::ToUnixSeconds(t);
  out->set_seconds(seconds);
  out->set_nanos(
      static_cast<int32_t>(absl::ToInt64Nanoseconds(t - absl::FromUnixSeconds(seconds))));
}

absl::Duration AckDeadlineFrom(int32_t seconds) {
  return seconds == 0 ? kMinAckDeadline : absl::Seconds(seconds);
}

absl::StatusOr<absl::Time> SeekTimeFrom(const google::protobuf::Timestamp& time,
                                        std::string_view field) {
  if (time.seconds() >= kMinSeconds && time.seconds() <= kMaxSeconds) return FromProto(time);
  return Error(Reason::kInvalidStartPosition,
               fmt::format("{}: {} s is not a time of the years 1 to 9999", field, time.seconds()),
               {{"field", std::string(field)}, {"value", std::to_string(time.seconds())}});
}

}  // namespace sluice::server
