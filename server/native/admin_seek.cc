// Admin: seeking, and snapshots to seek to.
#include <string>
#include <utility>

#include "core/base/error.h"
#include "server/native/admin_service.h"
#include "server/native/convert.h"
#include "server/paging.h"

namespace sluice::server {

grpc::ServerUnaryReactor* AdminService::SeekSubscription(Call* call, const v1::SeekSubscriptionRequest* request,
                                                         v1::SeekSubscriptionResponse*) {
  Reactor* reactor = call->DefaultReactor();
  auto finish = Begin(Rpc::kSeekSubscription, call, *request, reactor);
  if (!finish) return reactor;
  auto name = SubscriptionName::Parse(request->name(), "name");
  if (!name.ok()) return finish(name.status()), reactor;
  if (request->has_snapshot()) {
    auto snapshot = SnapshotName::Parse(request->snapshot(), "snapshot");
    snapshot.ok() ? context_.engine.Seek(*name, *snapshot, finish) : finish(snapshot.status());
    return reactor;
  }
  if (!request->has_position() || request->position().position_case() == v1::StartPosition::POSITION_NOT_SET) {
    finish(Error(Reason::kInvalidSeek, "target: a position or a snapshot is required", {{"field", "target"}, {"value", ""}}));
    return reactor;
  }
  auto position = FromProto(request->position(), "position");
  position.ok() ? context_.engine.Seek(*name, *position, finish) : finish(position.status());
  return reactor;
}

grpc::ServerUnaryReactor* AdminService::CreateSnapshot(Call* call, const v1::CreateSnapshotRequest* request,
                                                       v1::CreateSnapshotResponse* response) {
  Reactor* reactor = call->DefaultReactor();
  auto finish = Begin(Rpc::kCreateSnapshot, call, *request, reactor);
  if (!finish) return reactor;
  auto name = SnapshotName::Parse(request->name(), "name");
  if (!name.ok()) return finish(name.status()), reactor;
  auto subscription = SubscriptionName::Parse(request->subscription(), "subscription");
  if (!subscription.ok()) return finish(subscription.status()), reactor;
  context_.engine.CreateSnapshot(*name, *subscription, {request->labels().begin(), request->labels().end()},
                                 [finish, response](const absl::StatusOr<Snapshot>& made) {
                                   if (made.ok()) *response->mutable_snapshot() = ToProto(*made);
                                   finish(made.status());
                                 });
  return reactor;
}

grpc::ServerUnaryReactor* AdminService::GetSnapshot(Call* call, const v1::GetSnapshotRequest* request,
                                                    v1::GetSnapshotResponse* response) {
  auto get = [&]() -> absl::Status {
    auto name = SnapshotName::Parse(request->name(), "name");
    if (!name.ok()) return name.status();
    auto snapshot = context_.engine.FindSnapshot(*name);
    if (snapshot.ok()) *response->mutable_snapshot() = ToProto(*snapshot);
    return snapshot.status();
  };
  return Answer(Rpc::kGetSnapshot, call, *request, get);
}

grpc::ServerUnaryReactor* AdminService::ListSnapshots(Call* call, const v1::ListSnapshotsRequest* request,
                                                      v1::ListSnapshotsResponse* response) {
  auto list = [&]() -> absl::Status {
    if (absl::Status status = CheckProjectName(request->project(), "project"); !status.ok()) return status;
    return ListPage(
        "snapshots of " + request->project(), *request, response,
        [&](std::string_view after, size_t limit) {
          return context_.engine.ListSnapshots(request->project(), after, limit);
        },
        [&](const Snapshot& snapshot) {
          *response->add_snapshots() = ToProto(snapshot);
          return snapshot.name.full();
        });
  };
  return Answer(Rpc::kListSnapshots, call, *request, list);
}

grpc::ServerUnaryReactor* AdminService::DeleteSnapshot(Call* call, const v1::DeleteSnapshotRequest* request,
                                                       v1::DeleteSnapshotResponse*) {
  Reactor* reactor = call->DefaultReactor();
  auto finish = Begin(Rpc::kDeleteSnapshot, call, *request, reactor);
  if (!finish) return reactor;
  auto name = SnapshotName::Parse(request->name(), "name");
  name.ok() ? context_.engine.DeleteSnapshot(*name, finish) : finish(name.status());
  return reactor;
}

}  // namespace sluice::server
