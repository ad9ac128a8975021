// google.pubsub.v1.Publisher over the engine. Publish is bytes in and out; the methods are composed
// one by one over Service, since a raw method cannot be layered over CallbackService in gRPC 1.51.
//
// Thread rule: gRPC calls it from its own threads; constant after construction.
#pragma once

#include "google/pubsub/v1/pubsub.grpc.pb.h"
#include "grpcpp/support/server_callback.h"
#include "server/rpc/admin_operations.h"
#include "server/rpc/service_context.h"

namespace sluice::server {

namespace pubsub = ::google::pubsub::v1;

template <class Base>
using PublisherAdmin = pubsub::Publisher::WithCallbackMethod_CreateTopic<
    pubsub::Publisher::WithCallbackMethod_UpdateTopic<
        pubsub::Publisher::WithCallbackMethod_GetTopic<
            pubsub::Publisher::WithCallbackMethod_ListTopics<
                pubsub::Publisher::WithCallbackMethod_ListTopicSubscriptions<
                    pubsub::Publisher::WithCallbackMethod_ListTopicSnapshots<
                        pubsub::Publisher::WithCallbackMethod_DeleteTopic<
                            pubsub::Publisher::WithCallbackMethod_DetachSubscription<Base>>>>>>>>;
using PublisherMethods =
    PublisherAdmin<pubsub::Publisher::WithRawCallbackMethod_Publish<pubsub::Publisher::Service>>;

class GooglePublisher final : public PublisherMethods {
 public:
  explicit GooglePublisher(ServiceContext& context) : context_(context), admin_(context) {}

  using Call = grpc::CallbackServerContext;
  using Reactor = grpc::ServerUnaryReactor;
  Reactor* CreateTopic(Call*, const pubsub::Topic*, pubsub::Topic*) override;
  Reactor* UpdateTopic(Call*, const pubsub::UpdateTopicRequest*, pubsub::Topic*) override;
  Reactor* Publish(Call*, const grpc::ByteBuffer*, grpc::ByteBuffer*) override;
  Reactor* GetTopic(Call*, const pubsub::GetTopicRequest*, pubsub::Topic*) override;
  Reactor* ListTopics(Call*, const pubsub::ListTopicsRequest*,
                      pubsub::ListTopicsResponse*) override;
  Reactor* ListTopicSubscriptions(Call*, const pubsub::ListTopicSubscriptionsRequest*,
                                  pubsub::ListTopicSubscriptionsResponse*) override;
  Reactor* ListTopicSnapshots(Call*, const pubsub::ListTopicSnapshotsRequest*,
                              pubsub::ListTopicSnapshotsResponse*) override;
  Reactor* DeleteTopic(Call*, const pubsub::DeleteTopicRequest*, google::protobuf::Empty*) override;
  Reactor* DetachSubscription(Call*, const pubsub::DetachSubscriptionRequest*,
                              pubsub::DetachSubscriptionResponse*) override;

 private:
  void PublishBytes(Call& call, const grpc::ByteBuffer& request, Topic::PublishDone done);

  ServiceContext& context_;
  const AdminOperations admin_;
};

}  // namespace sluice::server
