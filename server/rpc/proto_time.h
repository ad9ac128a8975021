// Between durations and times of protobuf and those of the engine, for both APIs.
//
// Thread rule: pure functions.
#pragma once

#include <cstdint>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "google/protobuf/duration.pb.h"
#include "google/protobuf/timestamp.pb.h"

namespace sluice::server {

absl::Duration FromProto(const google::protobuf::Duration& d);
absl::Time FromProto(const google::protobuf::Timestamp& t);
void ToProto(absl::Duration d, google::protobuf::Duration* out);
void ToProto(absl::Time t, google::protobuf::Timestamp* out);

// The ack deadline of a subscription; 0 means the default.
absl::Duration AckDeadlineFrom(int32_t seconds);

// The time to seek to. INVALID_START_POSITION names `field` when it is not of the years 1 to 9999.
absl::StatusOr<absl::Time> SeekTimeFrom(const google::protobuf::Timestamp& time,
                                        std::string_view field);

}  // namespace sluice::server
