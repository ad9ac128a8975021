// How every call ends: counted by its code, told in the log where it failed, and put in the terms
// of gRPC.
//
//   Finish(EndCall(context, Rpc::kPublish, call, status));
//
// In the log a failure that is the server's own (INTERNAL, UNKNOWN, DATA_LOSS) is a warning, any
// other is told at the level debug; with the peer, and with request_id and trace_id where the
// client named them.
//
// Thread rule: any thread, before the call is finished.
#pragma once

#include "absl/status/status.h"
#include "grpcpp/server_context.h"
#include "server/rpc/service_context.h"

namespace sluice::server {

// Of a stream.
grpc::Status EndCall(ServiceContext& context, Rpc rpc, const grpc::CallbackServerContext& call,
                     const absl::Status& status);
// Of a call with one answer, which goes with OK.
grpc::Status EndUnary(ServiceContext& context, Rpc rpc, const grpc::CallbackServerContext& call,
                      const absl::Status& status);

// The part that is the log.
void LogFailure(Rpc rpc, const grpc::CallbackServerContext& call, const absl::Status& status);

}  // namespace sluice::server
