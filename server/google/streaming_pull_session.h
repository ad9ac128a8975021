// One StreamingPull stream: a consumer of a subscription whose leases outlive it, since these clients open streams again and
// settle on any connection.
//
//   kAwaitingFirst --first request--> kOpen --the client is done, an error, the engine ends--> kClosing
//   kClosing --nothing being written--> Finish --OnDone--> gone
//
// Every response says what the subscription is like, an empty request is a ping and is answered at once, and one response
// comes right after the stream was opened. What the engine delivers waits in `outgoing_` until the write before it is done; the
// window bounds how much that can be, beside what the client bounds itself (max_outstanding_messages and _bytes).
//
// Thread rule: gRPC runs reactions of one stream in parallel, the engine delivers from any thread: one mutex guards all.
// The stream and the engine each hold a reference.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "core/base/mutex.h"
#include "core/engine/engine.h"
#include "grpcpp/support/server_callback.h"
#include "server/google/ack_ids.h"
#include "server/google/wire.h"
#include "server/native/delivery_window.h"
#include "server/service_context.h"

namespace sluice::server {

class StreamingPullSession final : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>,
                                   public SessionHandle,
                                   public Consumer,
                                   public std::enable_shared_from_this<StreamingPullSession> {
 public:
  // Begins to read; the session belongs to gRPC until OnDone.
  static StreamingPullSession* Start(ServiceContext& context, SessionList::Slot slot);

  StreamingPullSession(ServiceContext& context, SessionList::Slot slot) : context_(context), slot_(slot) {}

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

  void Deliver(std::vector<Delivery>& deliveries) override;
  void Ended(absl::Status why) override;

  // The server ends the stream.
  void End(const absl::Status& why) override { Close(why); }

 private:
  enum class State { kAwaitingFirst, kOpen, kClosing };

  absl::Status Open(const pubsub::StreamingPullRequest& request) EXCLUDES(mu_);
  absl::Status Attach(const pubsub::StreamingPullRequest& request) EXCLUDES(mu_);
  // A later request; an error ends the stream.
  absl::Status Apply(const pubsub::StreamingPullRequest& request) EXCLUDES(mu_);
  absl::Status ModifyDeadlines(const pubsub::StreamingPullRequest& request) EXCLUDES(mu_);
  void Acknowledge(const pubsub::StreamingPullRequest& request) EXCLUDES(mu_);
  void Acknowledged(const absl::StatusOr<AckIdsOutcome>& outcome) EXCLUDES(mu_);
  // A response is due, whatever it says.
  void Say() EXCLUDES(mu_);

  void Close(const absl::Status& why) EXCLUDES(mu_);
  // The client has said all, and knows what became of its acknowledgements.
  void EndIfAnswered() EXCLUDES(mu_);
  // Starts whatever can be started now: a read, a write, the end.
  void Advance() EXCLUDES(mu_);
  void Write(std::vector<Delivery> deliveries, pubsub::StreamingPullResponse front) EXCLUDES(mu_);

  ServiceContext& context_;
  const SessionList::Slot slot_;
  // The stream's reference.
  std::shared_ptr<StreamingPullSession> self_;

  // Belongs to the read that is pending or being handled.
  grpc::ByteBuffer request_buffer_;

  // Set once, before kOpen. No consumer has the id 0: where the topic was deleted there is nothing to receive.
  std::shared_ptr<Subscription> subscription_;
  ConsumerId consumer_;

  // Belongs to the write that is pending.
  EncodedDeliveries response_;

  Mutex mu_{LockRank::kSession};
  State state_ GUARDED_BY(mu_) = State::kAwaitingFirst;
  absl::Status end_ GUARDED_BY(mu_);
  std::vector<Delivery> outgoing_ GUARDED_BY(mu_);
  DeliveryWindow window_ GUARDED_BY(mu_);
  // Delivered and not written yet, as it is in the memory ledger; what is left at the end goes with the stream.
  size_t held_ GUARDED_BY(mu_) = 0;
  // What else there is to say with the next write, in parts of it; and acknowledgements whose answer is not there yet.
  // Reading stops while there is much of either.
  pubsub::StreamingPullResponse front_ GUARDED_BY(mu_);
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
