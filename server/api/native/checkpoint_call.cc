#include "server/api/native/checkpoint_call.h"

#include <utility>

#include "core/base/error.h"
#include "server/api/native/convert.h"
#include "server/rpc/authorization.h"
#include "server/rpc/call_end.h"
#include "server/rpc/errors.h"

namespace sluice::server {
namespace {

// Often enough for a bar on a terminal.
constexpr absl::Duration kTellInterval = absl::Milliseconds(200);

v1::Checkpoint CheckpointOf(const std::string& name, const BackupReport& made) {
  v1::Checkpoint checkpoint;
  checkpoint.set_name(name);
  ToProto(made.created, checkpoint.mutable_create_time());
  checkpoint.set_journal_segment(made.position.segment);
  checkpoint.set_journal_offset(made.position.offset);
  checkpoint.set_files(static_cast<int64_t>(made.files));
  checkpoint.set_bytes(static_cast<int64_t>(made.bytes));
  checkpoint.set_copied_bytes(static_cast<int64_t>(made.copied_bytes));
  checkpoint.set_linked_bytes(static_cast<int64_t>(made.linked_bytes));
  return checkpoint;
}

}  // namespace

CheckpointCall* CheckpointCall::Start(ServiceContext& context,
                                      const grpc::CallbackServerContext& grpc_call,
                                      const v1::CreateCheckpointRequest& request) {
  auto call = std::make_shared<CheckpointCall>(context, grpc_call, request.name());
  call->self_ = call;
  RpcCounters& counters = context.rpcs.of(Rpc::kCreateCheckpoint);
  counters.started.Add();
  counters.received.Add();
  CheckpointCall* const reactor = call.get();
  absl::Status status =
      Authorize(context.access, grpc_call, Rpc::kCreateCheckpoint, request, &reactor->caller_);
  if (status.ok())
    status =
        context.backups->Start({request.name(), request.base(), request.keep()}, std::move(call));
  if (!status.ok()) reactor->FinishWith(status);
  return reactor;
}

absl::Status CheckpointCall::OnProgress(uint64_t done_bytes, uint64_t total_bytes) {
  MutexLock lock(mu_);
  if (cancelled_) return absl::CancelledError("the client is gone");
  const Instant now = context_.engine.clock().Now();
  if (writing_ || now - told_ < kTellInterval) return absl::OkStatus();
  told_ = now;
  writing_ = true;
  message_.set_done_bytes(static_cast<int64_t>(done_bytes));
  message_.set_total_bytes(static_cast<int64_t>(total_bytes));
  lock.Unlock();
  StartWrite(&message_);
  return absl::OkStatus();
}

void CheckpointCall::OnBackup(const absl::StatusOr<BackupReport>& made) {
  {
    MutexLock lock(mu_);
    made_ = made;
  }
  Continue();
}

void CheckpointCall::OnWriteDone(bool ok) {
  if (ok) context_.rpcs.of(Rpc::kCreateCheckpoint).sent.Add();
  {
    MutexLock lock(mu_);
    writing_ = false;
    if (!ok) cancelled_ = true;
  }
  Continue();
}

void CheckpointCall::OnCancel() {
  MutexLock lock(mu_);
  cancelled_ = true;
}

void CheckpointCall::Continue() {
  absl::Status status;
  bool tell = false;
  {
    MutexLock lock(mu_);
    if (!made_ || writing_ || ended_) return;
    tell = made_->ok() && !cancelled_ && !message_.has_checkpoint();
    if (tell) {
      const BackupReport& made = **made_;
      message_.set_done_bytes(static_cast<int64_t>(made.bytes));
      message_.set_total_bytes(static_cast<int64_t>(made.bytes));
      *message_.mutable_checkpoint() = CheckpointOf(name_, made);
      writing_ = true;
    } else {
      status = cancelled_ ? absl::CancelledError("the client is gone") : made_->status();
      ended_ = true;
    }
  }
  tell ? StartWrite(&message_) : FinishWith(status);
}

void CheckpointCall::FinishWith(const absl::Status& status) {
  if (!absl::IsCancelled(status)) CountRefusal(status, context_.metrics.engine);
  if (!status.ok()) ChangeFailed(context_.access, caller_, Rpc::kCreateCheckpoint, status);
  Finish(EndCall(context_, Rpc::kCreateCheckpoint, call_, status));
}

void CheckpointCall::OnDone() { self_ = nullptr; }

}  // namespace sluice::server
