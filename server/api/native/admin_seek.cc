// Admin: seeking, and snapshots to seek to.
#include <string>
#include <utility>

#include "core/base/error.h"
#include "server/api/native/admin_service.h"
#include "server/api/native/convert.h"

namespace sluice::server {

namespace {

absl::StatusOr<AdminOperations::SeekTarget> TargetOf(const v1::SeekSubscriptionRequest& request) {
  if (request.has_snapshot()) return SnapshotName::Parse(request.snapshot(), "snapshot");
  if (!request.has_position() ||
      request.position().position_case() == v1::StartPosition::POSITION_NOT_SET) {
    return Error(Reason::kInvalidSeek, "target: a position or a snapshot is required",
                 {{"field", "target"}, {"value", ""}});
  }
  return FromProto(request.position(), "position");
}

}  // namespace

grpc::ServerUnaryReactor* AdminService::SeekSubscription(Call* call,
                                                         const v1::SeekSubscriptionRequest* request,
                                                         v1::SeekSubscriptionResponse*) {
  return Run(Rpc::kSeekSubscription, call, *request, [&](const UnaryFinish& finish) {
    admin_.Seek({request->name(), "name"}, TargetOf(*request), finish);
  });
}

grpc::ServerUnaryReactor* AdminService::CreateSnapshot(Call* call,
                                                       const v1::CreateSnapshotRequest* request,
                                                       v1::CreateSnapshotResponse* response) {
  return Run(Rpc::kCreateSnapshot, call, *request, [&](const UnaryFinish& finish) {
    admin_.CreateSnapshot({request->name(), "name"}, {request->subscription(), "subscription"},
                          {request->labels().begin(), request->labels().end()},
                          AnswerWith(finish, [response](const Snapshot& made) {
                            *response->mutable_snapshot() = ToProto(made);
                          }));
  });
}

grpc::ServerUnaryReactor* AdminService::GetSnapshot(Call* call,
                                                    const v1::GetSnapshotRequest* request,
                                                    v1::GetSnapshotResponse* response) {
  return Answer(Rpc::kGetSnapshot, call, *request, [&] {
    return Written(admin_.GetSnapshot({request->name(), "name"}), [&](const Snapshot& snapshot) {
      *response->mutable_snapshot() = ToProto(snapshot);
    });
  });
}

grpc::ServerUnaryReactor* AdminService::ListSnapshots(Call* call,
                                                      const v1::ListSnapshotsRequest* request,
                                                      v1::ListSnapshotsResponse* response) {
  return Answer(Rpc::kListSnapshots, call, *request, [&] {
    return admin_.ListSnapshots(*request, response, [&](const Snapshot& snapshot) {
      *response->add_snapshots() = ToProto(snapshot);
      return snapshot.name.full();
    });
  });
}

grpc::ServerUnaryReactor* AdminService::DeleteSnapshot(Call* call,
                                                       const v1::DeleteSnapshotRequest* request,
                                                       v1::DeleteSnapshotResponse*) {
  return Run(Rpc::kDeleteSnapshot, call, *request, [&](const UnaryFinish& finish) {
    admin_.DeleteSnapshot({request->name(), "name"}, finish);
  });
}

}  // namespace sluice::server
