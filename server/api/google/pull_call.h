// One Pull: a consumer that collects messages until there are as many as wanted, until there are no
// more at the moment, or for a few milliseconds from the first on; a while at the most when there
// are none. Beside open streams, which take their turns, several deliveries make one answer.
//
// Thread rule: as a stream session: one mutex guards all; gRPC and the engine each hold a
// reference.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "core/base/mutex.h"
#include "core/engine/engine.h"
#include "core/message/span_context.h"
#include "grpcpp/support/server_callback.h"
#include "server/api/google/wire.h"
#include "server/rpc/service_context.h"

namespace sluice::server {

class ActiveSpan;

class PullCall final : public grpc::ServerUnaryReactor,
                       public SessionHandle,
                       public Consumer,
                       public std::enable_shared_from_this<PullCall> {
 public:
  // Ends by itself.
  static PullCall* Start(ServiceContext& context, SessionList::Slot slot,
                         const grpc::CallbackServerContext& call, const grpc::ByteBuffer& request,
                         grpc::ByteBuffer* response);

  PullCall(ServiceContext& context, SessionList::Slot slot, const grpc::CallbackServerContext& call,
           grpc::ByteBuffer* response)
      : context_(context), slot_(slot), call_(call), response_(response) {}

  void OnCancel() override { Answer(absl::CancelledError("the client is gone")); }
  void OnDone() override;

  void Deliver(std::vector<Delivery>& deliveries) override;
  void Ended(absl::Status why) override;
  void End(const absl::Status& why) override { Answer(why); }

 private:
  // An error, or nothing while it waits.
  absl::Status Begin(const pubsub::PullRequest& request, Instant deadline) EXCLUDES(mu_);
  // Answers when what was collected is enough, or looks again soon. `waited` says that it had its
  // time.
  void LookForMore(bool waited) EXCLUDES(mu_);
  void LookSoon();
  // With what was collected; after an error that goes back. Only the first call counts.
  void Answer(const absl::Status& status) EXCLUDES(mu_);

  ServiceContext& context_;
  const SessionList::Slot slot_;
  const grpc::CallbackServerContext& call_;
  grpc::ByteBuffer* const response_;
  // The call's reference.
  std::shared_ptr<PullCall> self_;
  // Set before it is granted anything.
  std::shared_ptr<Subscription> subscription_;
  std::optional<SpanContext> trace_;
  bool at_once_ = false;
  int64_t wanted_ = 0;
  // Belongs to the answer.
  std::shared_ptr<ActiveSpan> deliver_span_;
  std::vector<Delivery> answered_with_;

  Mutex mu_{LockRank::kSession};
  ConsumerId consumer_ GUARDED_BY(mu_);
  bool answered_ GUARDED_BY(mu_) = false;
  std::vector<Delivery> collected_ GUARDED_BY(mu_);
  int64_t messages_ GUARDED_BY(mu_) = 0;
  int64_t bytes_ GUARDED_BY(mu_) = 0;
  // From then on the first delivery has to see to it that somebody looks again.
  bool looks_ GUARDED_BY(mu_) = false;
};

}  // namespace sluice::server
