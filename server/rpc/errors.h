// The one place where errors of the house become errors of gRPC: the code of the reason's category,
// a google.rpc.ErrorInfo (domain "sluice", the reason, field, value and limit as metadata) and,
// where waiting helps, a RetryInfo.
//
// Thread rule: pure functions.
#pragma once

#include "absl/status/status.h"
#include "core/metrics/metrics.h"
#include "grpcpp/support/status.h"
#include "sluice/v1/pubsub.pb.h"

namespace sluice::server {

grpc::Status ToGrpc(const absl::Status& status);

// The same for one batch of a stream that goes on.
v1::Error ToProto(const absl::Status& status);

// Counts a refusal by its reason.
void CountRefusal(const absl::Status& status, EngineMetrics& metrics);

}  // namespace sluice::server
