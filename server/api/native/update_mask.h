// Which fields of a resource an update changes.
//
// Thread rule: pure functions.
#pragma once

#include "absl/status/status.h"
#include "core/engine/config.h"
#include "google/protobuf/field_mask.pb.h"
#include "sluice/v1/admin.pb.h"

namespace sluice::server {

// Copies the fields that the mask names. INVALID_UPDATE_MASK for a mask without fields, or with one
// that does not exist or cannot change; whatever is wrong with a value.
absl::Status Merge(const google::protobuf::FieldMask& mask, const TopicConfig& wanted,
                   TopicConfig* config);
absl::Status Merge(const google::protobuf::FieldMask& mask, const v1::Subscription& wanted,
                   SubscriptionConfig* config);

}  // namespace sluice::server
