// One CreateCheckpoint: progress while the backup is made, then what was made, or an error.
//
//   kMaking --the backup ended--> kEnding --nothing being written--> Finish --OnDone--> deleted
//
// A client that goes away ends the backup, of which nothing is left.
//
// Thread rule: gRPC runs reactions, the backup's thread tells: one mutex guards all. gRPC and the
// backup each hold a reference.
#pragma once

#include <memory>
#include <optional>

#include "absl/status/statusor.h"
#include "core/base/mutex.h"
#include "grpcpp/support/server_callback.h"
#include "server/backup/backups.h"
#include "server/rpc/service_context.h"
#include "sluice/v1/admin.pb.h"

namespace sluice::server {

class CheckpointCall final : public grpc::ServerWriteReactor<v1::CreateCheckpointResponse>,
                             public BackupListener,
                             public std::enable_shared_from_this<CheckpointCall> {
 public:
  // Ends by itself.
  static CheckpointCall* Start(ServiceContext& context, const grpc::CallbackServerContext& call,
                               const v1::CreateCheckpointRequest& request);

  CheckpointCall(ServiceContext& context, const grpc::CallbackServerContext& call, std::string name)
      : context_(context), call_(call), name_(std::move(name)) {}

  void OnWriteDone(bool ok) override EXCLUDES(mu_);
  void OnCancel() override EXCLUDES(mu_);
  void OnDone() override;

  absl::Status OnProgress(uint64_t done_bytes, uint64_t total_bytes) override EXCLUDES(mu_);
  void OnBackup(const absl::StatusOr<BackupReport>& made) override EXCLUDES(mu_);

 private:
  // Says what became of it, once that is known and nothing is being written.
  void Continue() EXCLUDES(mu_);
  void FinishWith(const absl::Status& status);

  ServiceContext& context_;
  const grpc::CallbackServerContext& call_;
  const std::string name_;
  // Set before the backup begins.
  Caller caller_;
  // The call's reference.
  std::shared_ptr<CheckpointCall> self_;

  Mutex mu_{LockRank::kSession};
  bool cancelled_ GUARDED_BY(mu_) = false;
  bool writing_ GUARDED_BY(mu_) = false;
  Instant told_ GUARDED_BY(mu_);
  std::optional<absl::StatusOr<BackupReport>> made_ GUARDED_BY(mu_);
  bool ended_ GUARDED_BY(mu_) = false;
  // What is being written.
  v1::CreateCheckpointResponse message_;
};

}  // namespace sluice::server
