// A stream that ends before it began.
//
// Thread rule: as a session: it belongs to gRPC until OnDone.
#pragma once

#include "grpcpp/support/server_callback.h"
#include "server/rpc/call_end.h"
#include "server/rpc/errors.h"
#include "server/rpc/service_context.h"

namespace sluice::server {

class RefusedStream final : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  explicit RefusedStream(const grpc::Status& status) { Finish(status); }
  void OnDone() override { delete this; }
};

inline RefusedStream* RefuseStream(ServiceContext& context, Rpc rpc,
                                   const grpc::CallbackServerContext& call,
                                   const absl::Status& status) {
  CountRefusal(status, context.metrics.engine);
  context.rpcs.of(rpc).started.Add();
  return new RefusedStream(EndCall(context, rpc, call, status));
}

}  // namespace sluice::server
