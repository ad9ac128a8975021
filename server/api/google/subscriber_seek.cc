// Subscriber: seeking, and snapshots to seek to.
#include <utility>

#include "core/base/error.h"
#include "fmt/format.h"
#include "server/api/google/calls.h"
#include "server/api/google/convert.h"
#include "server/api/google/subscriber_service.h"
#include "server/rpc/proto_time.h"

namespace sluice::server {

namespace {

absl::StatusOr<AdminOperations::SeekTarget> TargetOf(const pubsub::SeekRequest& request) {
  switch (request.target_case()) {
    case pubsub::SeekRequest::kSnapshot:
      return SnapshotName::Parse(request.snapshot());
    case pubsub::SeekRequest::kTime: {
      const auto time = SeekTimeFrom(request.time(), "target.time");
      if (!time.ok()) return time.status();
      return StartPosition(*time);
    }
    case pubsub::SeekRequest::TARGET_NOT_SET:
      break;
  }
  return texts::InvalidArgument("target");
}

}  // namespace

grpc::ServerUnaryReactor* GoogleSubscriber::GetSnapshot(Call* call,
                                                        const pubsub::GetSnapshotRequest* request,
                                                        pubsub::Snapshot* response) {
  return AnswerGoogle(context_, Rpc::kGoogleGetSnapshot, call, *request, [&] {
    return Written(admin_.GetSnapshot({request->snapshot(), "snapshot"}),
                   [&](const Snapshot& snapshot) { *response = ToGoogle(snapshot); });
  });
}

grpc::ServerUnaryReactor* GoogleSubscriber::ListSnapshots(
    Call* call, const pubsub::ListSnapshotsRequest* request,
    pubsub::ListSnapshotsResponse* response) {
  return AnswerGoogle(context_, Rpc::kGoogleListSnapshots, call, *request, [&] {
    return admin_.ListSnapshots(*request, response, [&](const Snapshot& snapshot) {
      *response->add_snapshots() = ToGoogle(snapshot);
      return snapshot.name.full();
    });
  });
}

grpc::ServerUnaryReactor* GoogleSubscriber::CreateSnapshot(
    Call* call, const pubsub::CreateSnapshotRequest* request, pubsub::Snapshot* response) {
  return RunGoogle(
      context_, Rpc::kGoogleCreateSnapshot, call, *request, [&](const UnaryFinish& finish) {
        const auto subscription = SubscriptionName::Parse(request->subscription());
        if (!subscription.ok()) return finish(subscription.status());
        const std::string made_up =
            fmt::format("{}/snapshots/{}", subscription->project_path(), MadeUpId());
        const std::string& name = request->name().empty() ? made_up : request->name();
        if (auto parsed = SnapshotName::Parse(name, "name"); !parsed.ok())
          return finish(parsed.status());
        if (request->tags_size() > 0) {
          return finish(
              texts::Unsupported("tags", "this server does not keep resource manager tags"));
        }
        admin_.CreateSnapshot(
            {name, "name"}, {request->subscription(), "subscription"},
            {request->labels().begin(), request->labels().end()},
            AnswerWith(finish, [response](const Snapshot& made) { *response = ToGoogle(made); }));
      });
}

grpc::ServerUnaryReactor* GoogleSubscriber::UpdateSnapshot(
    Call* call, const pubsub::UpdateSnapshotRequest* request, pubsub::Snapshot* response) {
  return RunGoogle(
      context_, Rpc::kGoogleUpdateSnapshot, call, *request, [&](const UnaryFinish& finish) {
        admin_.UpdateSnapshot(
            {request->snapshot().name(), "snapshot.name"},
            [&](Labels* labels) {
              return MergeGoogle(request->update_mask(), request->snapshot(), labels);
            },
            AnswerWith(finish,
                       [response](const Snapshot& updated) { *response = ToGoogle(updated); }));
      });
}

grpc::ServerUnaryReactor* GoogleSubscriber::DeleteSnapshot(
    Call* call, const pubsub::DeleteSnapshotRequest* request, Empty*) {
  return RunGoogle(context_, Rpc::kGoogleDeleteSnapshot, call, *request,
                   [&](const UnaryFinish& finish) {
                     admin_.DeleteSnapshot({request->snapshot(), "snapshot"}, finish);
                   });
}

grpc::ServerUnaryReactor* GoogleSubscriber::Seek(Call* call, const pubsub::SeekRequest* request,
                                                 pubsub::SeekResponse*) {
  return RunGoogle(context_, Rpc::kGoogleSeek, call, *request, [&](const UnaryFinish& finish) {
    admin_.Seek({request->subscription(), "subscription"}, TargetOf(*request), finish);
  });
}

}  // namespace sluice::server
