// Fields that a newer client sends and this server does not know. Ignoring one would accept a
// request and not do what it asks, so administrative calls refuse it.
//
//   absl::Status status = CheckFieldsKnown(request);  // UNSUPPORTED, field "subscription.push_config.15"
//
// Thread rule: pure function.
#pragma once

#include "absl/status/status.h"
#include "google/protobuf/message.h"

namespace sluice::server {

// UNSUPPORTED when `request`, or a message in it, has a field number that its descriptor does not
// know. The error names the path of the first one.
absl::Status CheckFieldsKnown(const google::protobuf::Message& request);

}  // namespace sluice::server
