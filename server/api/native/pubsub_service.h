// sluice.v1.PubSub: bytes in and out, so that messages are neither parsed nor serialized here. The
// three methods are composed over Service one by one, since a raw bidi method cannot be layered
// over CallbackService in gRPC 1.51.
//
// Thread rule: gRPC calls it from its own threads; constant after construction.
#pragma once

#include "grpcpp/support/server_callback.h"
#include "server/rpc/service_context.h"
#include "sluice/v1/pubsub.grpc.pb.h"

namespace sluice::server {

using RawPubSub =
    v1::PubSub::WithRawCallbackMethod_Publish<v1::PubSub::WithRawCallbackMethod_PublishBatch<
        v1::PubSub::WithRawCallbackMethod_Subscribe<v1::PubSub::Service>>>;

class PubSubService final : public RawPubSub {
 public:
  explicit PubSubService(ServiceContext& context) : context_(context) {}

  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* Publish(
      grpc::CallbackServerContext*) override;
  grpc::ServerUnaryReactor* PublishBatch(grpc::CallbackServerContext* call,
                                         const grpc::ByteBuffer* request,
                                         grpc::ByteBuffer* response) override;
  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* Subscribe(
      grpc::CallbackServerContext*) override;

 private:
  ServiceContext& context_;
};

}  // namespace sluice::server
