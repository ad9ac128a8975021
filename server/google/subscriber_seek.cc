// Subscriber: seeking, and snapshots to seek to.
#include <utility>

#include "core/base/error.h"
#include "fmt/format.h"
#include "server/google/calls.h"
#include "server/google/convert.h"
#include "server/google/subscriber_service.h"
#include "server/native/convert.h"

namespace sluice::server {

grpc::ServerUnaryReactor* GoogleSubscriber::GetSnapshot(Call* call, const pubsub::GetSnapshotRequest* request,
                                                        pubsub::Snapshot* response) {
  auto get = [&]() -> absl::Status {
    auto name = SnapshotName::Parse(request->snapshot());
    if (!name.ok()) return name.status();
    auto snapshot = context_.engine.FindSnapshot(*name);
    if (snapshot.ok()) *response = ToGoogle(*snapshot);
    return snapshot.status();
  };
  return AnswerGoogle(context_, Rpc::kGoogleGetSnapshot, call, *request, get);
}

grpc::ServerUnaryReactor* GoogleSubscriber::ListSnapshots(Call* call, const pubsub::ListSnapshotsRequest* request,
                                                          pubsub::ListSnapshotsResponse* response) {
  auto list = [&]() -> absl::Status {
    if (absl::Status status = CheckProjectName(request->project(), "project"); !status.ok()) return status;
    return ListPage(
        "snapshots of " + request->project(), *request, response,
        [&](std::string_view after, size_t limit) {
          return context_.engine.ListSnapshots(request->project(), after, limit);
        },
        [&](const Snapshot& snapshot) {
          *response->add_snapshots() = ToGoogle(snapshot);
          return snapshot.name.full();
        });
  };
  return AnswerGoogle(context_, Rpc::kGoogleListSnapshots, call, *request, list);
}

grpc::ServerUnaryReactor* GoogleSubscriber::CreateSnapshot(Call* call, const pubsub::CreateSnapshotRequest* request,
                                                           pubsub::Snapshot* response) {
  Reactor* reactor = call->DefaultReactor();
  auto finish = BeginGoogle(context_, Rpc::kGoogleCreateSnapshot, *call, *request, reactor);
  if (!finish) return reactor;
  auto subscription = SubscriptionName::Parse(request->subscription());
  if (!subscription.ok()) return finish(subscription.status()), reactor;
  auto name = SnapshotName::Parse(request->name().empty()
                                      ? fmt::format("{}/snapshots/{}", subscription->project_path(), MadeUpId())
                                      : request->name(),
                                  "name");
  if (!name.ok()) return finish(name.status()), reactor;
  if (request->tags_size() > 0) {
    return finish(texts::Unsupported("tags", "this server does not keep resource manager tags")), reactor;
  }
  context_.engine.CreateSnapshot(*name, *subscription, {request->labels().begin(), request->labels().end()},
                                 [finish, response](const absl::StatusOr<Snapshot>& made) {
                                   if (made.ok()) *response = ToGoogle(*made);
                                   finish(made.status());
                                 });
  return reactor;
}

grpc::ServerUnaryReactor* GoogleSubscriber::UpdateSnapshot(Call* call, const pubsub::UpdateSnapshotRequest* request,
                                                           pubsub::Snapshot* response) {
  Reactor* reactor = call->DefaultReactor();
  auto finish = BeginGoogle(context_, Rpc::kGoogleUpdateSnapshot, *call, *request, reactor);
  if (!finish) return reactor;
  auto name = SnapshotName::Parse(request->snapshot().name(), "snapshot.name");
  if (!name.ok()) return finish(name.status()), reactor;
  auto snapshot = context_.engine.FindSnapshot(*name);
  if (!snapshot.ok()) return finish(snapshot.status()), reactor;
  Labels labels = snapshot->labels;
  if (absl::Status status = MergeGoogle(request->update_mask(), request->snapshot(), &labels); !status.ok()) {
    return finish(status), reactor;
  }
  context_.engine.UpdateSnapshot(*name, std::move(labels), [finish, response](const absl::StatusOr<Snapshot>& updated) {
    if (updated.ok()) *response = ToGoogle(*updated);
    finish(updated.status());
  });
  return reactor;
}

grpc::ServerUnaryReactor* GoogleSubscriber::DeleteSnapshot(Call* call, const pubsub::DeleteSnapshotRequest* request,
                                                           Empty*) {
  Reactor* reactor = call->DefaultReactor();
  auto finish = BeginGoogle(context_, Rpc::kGoogleDeleteSnapshot, *call, *request, reactor);
  if (!finish) return reactor;
  auto name = SnapshotName::Parse(request->snapshot());
  name.ok() ? context_.engine.DeleteSnapshot(*name, finish) : finish(name.status());
  return reactor;
}

grpc::ServerUnaryReactor* GoogleSubscriber::Seek(Call* call, const pubsub::SeekRequest* request, pubsub::SeekResponse*) {
  Reactor* reactor = call->DefaultReactor();
  auto finish = BeginGoogle(context_, Rpc::kGoogleSeek, *call, *request, reactor);
  if (!finish) return reactor;
  auto name = SubscriptionName::Parse(request->subscription());
  if (!name.ok()) return finish(name.status()), reactor;
  switch (request->target_case()) {
    case pubsub::SeekRequest::kSnapshot: {
      auto snapshot = SnapshotName::Parse(request->snapshot());
      snapshot.ok() ? context_.engine.Seek(*name, *snapshot, finish) : finish(snapshot.status());
      break;
    }
    case pubsub::SeekRequest::kTime: {
      v1::StartPosition position;
      *position.mutable_time() = request->time();
      auto to = FromProto(position, "target");
      to.ok() ? context_.engine.Seek(*name, *to, finish) : finish(to.status());
      break;
    }
    case pubsub::SeekRequest::TARGET_NOT_SET:
      finish(texts::InvalidArgument("target"));
  }
  return reactor;
}

}  // namespace sluice::server
