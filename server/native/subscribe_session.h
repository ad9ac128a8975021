// One Subscribe stream: a consumer of a subscription.
//
//   kAwaitingTarget --first request--> kOpening --attached--> kOpen --the client is done, an error, the engine ends-->
//   kClosing --nothing being written--> Finish --OnDone--> gone
//
// What the engine delivers waits in `outgoing_` until the write before it is done; then all of it, up to a bound, goes
// into one response. The window bounds what can wait. The next request is read when the one before it was handled.
//
// Thread rule: gRPC runs reactions of one stream in parallel, the engine delivers from any thread: one mutex guards all.
// The stream and the engine each hold a reference.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/base/mutex.h"
#include "core/engine/engine.h"
#include "grpcpp/support/server_callback.h"
#include "server/native/delivery_window.h"
#include "server/native/wire.h"
#include "server/service_context.h"

namespace sluice::server {

class SubscribeSession final : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>,
                               public SessionHandle,
                               public Consumer,
                               public std::enable_shared_from_this<SubscribeSession> {
 public:
  // Begins to read; the session belongs to gRPC until OnDone.
  static SubscribeSession* Start(ServiceContext& context, SessionList::Slot slot);

  SubscribeSession(ServiceContext& context, SessionList::Slot slot) : context_(context), slot_(slot) {}

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

  void Deliver(std::vector<Delivery>& deliveries) override;
  void Ended(absl::Status why) override { Close(why); }

  // The server ends the stream.
  void End(const absl::Status& why) override { Close(why); }

 private:
  enum class State { kAwaitingTarget, kOpening, kOpen, kClosing };

  // The first request: finds what it names and calls Opened, perhaps later and on another thread.
  void OpenTarget() EXCLUDES(mu_);
  void OpenEphemeral(const v1::EphemeralSubscription& wanted) EXCLUDES(mu_);
  void Opened(absl::StatusOr<std::shared_ptr<Subscription>> found) EXCLUDES(mu_);
  absl::Status Attach(std::shared_ptr<Subscription> subscription) EXCLUDES(mu_);

  absl::Status CheckTarget() const;
  // What a request says beside its target; an error ends the stream.
  absl::Status Apply() EXCLUDES(mu_);
  absl::Status ApplyCredit() EXCLUDES(mu_);
  absl::Status ApplyAcks();
  absl::Status ApplyNacks();
  absl::Status ApplyExtensions();

  // A request was handled: reading goes on, or the stream ends.
  void Handled(const absl::Status& status) EXCLUDES(mu_);
  void Close(const absl::Status& why) EXCLUDES(mu_);
  // Ends the stream of a client that has said all, once it has been told what became of its acknowledgements.
  void EndIfAnswered() EXCLUDES(mu_);
  // Starts whatever can be started now: a read, a write, the end.
  void Advance() EXCLUDES(mu_);
  void Write(std::vector<Delivery> deliveries, const v1::SubscribeResponse& front) EXCLUDES(mu_);
  // What became of acknowledgements that are confirmed.
  void Acknowledged(const AckOutcome& outcome) EXCLUDES(mu_);
  // A nack or an extension found fewer leases than it named.
  void Lost(const v1::DeliveryRange& range) EXCLUDES(mu_);

  ServiceContext& context_;
  const SessionList::Slot slot_;
  // The stream's reference.
  std::shared_ptr<SubscribeSession> self_;

  // Belong to the read that is pending or being handled.
  grpc::ByteBuffer request_buffer_;
  v1::SubscribeRequest request_;
  // The target of the first request, serialized.
  std::string target_;
  bool granted_ = false;

  // Set once, before kOpen.
  std::shared_ptr<Subscription> subscription_;
  ConsumerId consumer_;
  v1::Opened opened_;
  bool exactly_once_ = false;

  // Belongs to the write that is pending.
  EncodedDeliveries response_;

  Mutex mu_{LockRank::kSession};
  State state_ GUARDED_BY(mu_) = State::kAwaitingTarget;
  absl::Status end_ GUARDED_BY(mu_);
  std::vector<Delivery> outgoing_ GUARDED_BY(mu_);
  DeliveryWindow window_ GUARDED_BY(mu_);
  // Delivered and not written yet, as it is in the memory ledger; what is left at the end goes with the stream.
  size_t held_ GUARDED_BY(mu_) = 0;
  // What else there is to say with the next write, in parts of it; and acknowledgements whose answer is not there yet.
  // Reading stops while there is much of either.
  v1::SubscribeResponse front_ GUARDED_BY(mu_);
  size_t front_parts_ GUARDED_BY(mu_) = 0;
  size_t unanswered_ GUARDED_BY(mu_) = 0;
  // The client has said all.
  bool half_closed_ GUARDED_BY(mu_) = false;
  // Until the request is handled.
  bool read_pending_ GUARDED_BY(mu_) = true;
  bool write_pending_ GUARDED_BY(mu_) = false;
  bool finished_ GUARDED_BY(mu_) = false;
};

}  // namespace sluice::server
