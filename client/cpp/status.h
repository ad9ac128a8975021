// What the server refused, as an absl::Status that carries its reason: ReasonOf, MetadataOf and
// RetryDelayOf of core/base/error.h take it apart. A reason of a newer server, unknown here, stands
// in the message.
//
// Thread rule: pure functions.
#pragma once

#include "absl/status/status.h"
#include "grpcpp/support/status.h"
#include "sluice/v1/pubsub.pb.h"

namespace sluice::client {

absl::Status FromGrpc(const grpc::Status& status);

// The refusal of one batch of a stream that goes on.
absl::Status FromProto(const v1::Error& error);

// Whether the same request may succeed later. A permanent refusal never has one of these codes.
bool IsTransient(const absl::Status& status);

// Whether a stream that ended so is worth opening again.
bool MayReopen(const absl::Status& end);

}  // namespace sluice::client
