// sluice.v1.Admin: topics, subscriptions and their statistics.
//
// Thread rule: gRPC calls it from its own threads; constant after construction.
#pragma once

#include "grpcpp/support/server_callback.h"
#include "server/rpc/admin_operations.h"
#include "server/rpc/service_context.h"
#include "sluice/v1/admin.grpc.pb.h"

namespace sluice::server {

class AdminService final : public v1::Admin::CallbackService {
 public:
  explicit AdminService(ServiceContext& context) : context_(context), admin_(context) {}

  using Call = grpc::CallbackServerContext;
  using Reactor = grpc::ServerUnaryReactor;
  Reactor* CreateTopic(Call*, const v1::CreateTopicRequest*, v1::CreateTopicResponse*) override;
  Reactor* GetTopic(Call*, const v1::GetTopicRequest*, v1::GetTopicResponse*) override;
  Reactor* ListTopics(Call*, const v1::ListTopicsRequest*, v1::ListTopicsResponse*) override;
  Reactor* UpdateTopic(Call*, const v1::UpdateTopicRequest*, v1::UpdateTopicResponse*) override;
  Reactor* DeleteTopic(Call*, const v1::DeleteTopicRequest*, v1::DeleteTopicResponse*) override;
  Reactor* CreateSubscription(Call*, const v1::CreateSubscriptionRequest*,
                              v1::CreateSubscriptionResponse*) override;
  Reactor* GetSubscription(Call*, const v1::GetSubscriptionRequest*,
                           v1::GetSubscriptionResponse*) override;
  Reactor* ListSubscriptions(Call*, const v1::ListSubscriptionsRequest*,
                             v1::ListSubscriptionsResponse*) override;
  Reactor* UpdateSubscription(Call*, const v1::UpdateSubscriptionRequest*,
                              v1::UpdateSubscriptionResponse*) override;
  Reactor* DeleteSubscription(Call*, const v1::DeleteSubscriptionRequest*,
                              v1::DeleteSubscriptionResponse*) override;
  Reactor* SeekSubscription(Call*, const v1::SeekSubscriptionRequest*,
                            v1::SeekSubscriptionResponse*) override;
  Reactor* CreateSnapshot(Call*, const v1::CreateSnapshotRequest*,
                          v1::CreateSnapshotResponse*) override;
  Reactor* GetSnapshot(Call*, const v1::GetSnapshotRequest*, v1::GetSnapshotResponse*) override;
  Reactor* ListSnapshots(Call*, const v1::ListSnapshotsRequest*,
                         v1::ListSnapshotsResponse*) override;
  Reactor* DeleteSnapshot(Call*, const v1::DeleteSnapshotRequest*,
                          v1::DeleteSnapshotResponse*) override;
  Reactor* GetTopicStats(Call*, const v1::GetTopicStatsRequest*,
                         v1::GetTopicStatsResponse*) override;
  Reactor* GetSubscriptionStats(Call*, const v1::GetSubscriptionStatsRequest*,
                                v1::GetSubscriptionStatsResponse*) override;
  Reactor* GetBreakers(Call*, const v1::GetBreakersRequest*, v1::GetBreakersResponse*) override;
  Reactor* GetServerInfo(Call*, const v1::GetServerInfoRequest*,
                         v1::GetServerInfoResponse*) override;
  grpc::ServerWriteReactor<v1::CreateCheckpointResponse>* CreateCheckpoint(
      Call*, const v1::CreateCheckpointRequest*) override;

 private:
  // For calls that answer later: operation(finish).
  template <class Operation>
  Reactor* Run(Rpc rpc, Call* call, const google::protobuf::Message& request,
               const Operation& operation) {
    return RunUnary(context_, rpc, call, request, operation);
  }
  Reactor* Answer(Rpc rpc, Call* call, const google::protobuf::Message& request,
                  const std::function<absl::Status()>& answer) {
    return AnswerUnary(context_, rpc, call, request, answer);
  }

  absl::Status ListSubscriptionsOf(const v1::ListSubscriptionsRequest& request,
                                   v1::ListSubscriptionsResponse* response) const;

  ServiceContext& context_;
  const AdminOperations admin_;
};

}  // namespace sluice::server
