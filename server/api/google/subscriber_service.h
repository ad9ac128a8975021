// google.pubsub.v1.Subscriber over the engine. Acknowledge, ModifyAckDeadline, Pull and
// StreamingPull are bytes in and out.
//
// Thread rule: gRPC calls it from its own threads; constant after construction.
#pragma once

#include "google/pubsub/v1/pubsub.grpc.pb.h"
#include "grpcpp/support/server_callback.h"
#include "server/api/google/wire.h"
#include "server/rpc/admin_operations.h"
#include "server/rpc/service_context.h"

namespace sluice::server {

template <class Base>
using SubscriberAdmin = pubsub::Subscriber::WithCallbackMethod_CreateSubscription<
    pubsub::Subscriber::WithCallbackMethod_GetSubscription<
        pubsub::Subscriber::WithCallbackMethod_UpdateSubscription<
            pubsub::Subscriber::WithCallbackMethod_ListSubscriptions<
                pubsub::Subscriber::WithCallbackMethod_DeleteSubscription<
                    pubsub::Subscriber::WithCallbackMethod_ModifyPushConfig<Base>>>>>>;
template <class Base>
using SubscriberSnapshots = pubsub::Subscriber::WithCallbackMethod_GetSnapshot<
    pubsub::Subscriber::WithCallbackMethod_ListSnapshots<
        pubsub::Subscriber::WithCallbackMethod_CreateSnapshot<
            pubsub::Subscriber::WithCallbackMethod_UpdateSnapshot<
                pubsub::Subscriber::WithCallbackMethod_DeleteSnapshot<
                    pubsub::Subscriber::WithCallbackMethod_Seek<Base>>>>>>;
template <class Base>
using SubscriberMessages = pubsub::Subscriber::WithRawCallbackMethod_ModifyAckDeadline<
    pubsub::Subscriber::WithRawCallbackMethod_Acknowledge<
        pubsub::Subscriber::WithRawCallbackMethod_Pull<
            pubsub::Subscriber::WithRawCallbackMethod_StreamingPull<Base>>>>;
using SubscriberMethods =
    SubscriberAdmin<SubscriberSnapshots<SubscriberMessages<pubsub::Subscriber::Service>>>;

class GoogleSubscriber final : public SubscriberMethods {
 public:
  explicit GoogleSubscriber(ServiceContext& context) : context_(context), admin_(context) {}

  using Call = grpc::CallbackServerContext;
  using Reactor = grpc::ServerUnaryReactor;
  using Empty = google::protobuf::Empty;
  Reactor* CreateSubscription(Call*, const pubsub::Subscription*, pubsub::Subscription*) override;
  Reactor* GetSubscription(Call*, const pubsub::GetSubscriptionRequest*,
                           pubsub::Subscription*) override;
  Reactor* UpdateSubscription(Call*, const pubsub::UpdateSubscriptionRequest*,
                              pubsub::Subscription*) override;
  Reactor* ListSubscriptions(Call*, const pubsub::ListSubscriptionsRequest*,
                             pubsub::ListSubscriptionsResponse*) override;
  Reactor* DeleteSubscription(Call*, const pubsub::DeleteSubscriptionRequest*, Empty*) override;
  Reactor* ModifyPushConfig(Call*, const pubsub::ModifyPushConfigRequest*, Empty*) override;

  Reactor* ModifyAckDeadline(Call*, const grpc::ByteBuffer*, grpc::ByteBuffer*) override;
  Reactor* Acknowledge(Call*, const grpc::ByteBuffer*, grpc::ByteBuffer*) override;
  Reactor* Pull(Call*, const grpc::ByteBuffer*, grpc::ByteBuffer*) override;
  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* StreamingPull(Call*) override;

  // Snapshots and seeking (subscriber_seek.cc).
  Reactor* GetSnapshot(Call*, const pubsub::GetSnapshotRequest*, pubsub::Snapshot*) override;
  Reactor* ListSnapshots(Call*, const pubsub::ListSnapshotsRequest*,
                         pubsub::ListSnapshotsResponse*) override;
  Reactor* CreateSnapshot(Call*, const pubsub::CreateSnapshotRequest*, pubsub::Snapshot*) override;
  Reactor* UpdateSnapshot(Call*, const pubsub::UpdateSnapshotRequest*, pubsub::Snapshot*) override;
  Reactor* DeleteSnapshot(Call*, const pubsub::DeleteSnapshotRequest*, Empty*) override;
  Reactor* Seek(Call*, const pubsub::SeekRequest*, pubsub::SeekResponse*) override;

 private:
  // With what is known of its topic.
  pubsub::Subscription Described(const SubscriptionConfig& config) const;
  AdminOperations::Done<SubscriptionConfig> Answering(UnaryFinish finish,
                                                      pubsub::Subscription* response) const {
    return AnswerWith(std::move(finish), [this, response](const SubscriptionConfig& made) {
      *response = Described(made);
    });
  }

  ServiceContext& context_;
  const AdminOperations admin_;
};

}  // namespace sluice::server
