// What the streams of both APIs that deliver do alike: a consumer of a subscription that writes
// what the engine delivers, with whatever else there is to say, and settles what the client says.
//
//   kAwaitingFirst --first request--> kOpening --attached--> kOpen --the client is done, an error, the engine ends-->
//   kClosing --nothing being written--> Finish --OnDone--> gone
//
// What the engine delivers waits in `outgoing_` until the write before it is done; then all of it,
// up to a bound, goes into one response. The window bounds what can wait. The next request is read
// when the one before it was handled.
//
// Thread rule: gRPC runs reactions of one stream in parallel, the engine delivers from any thread:
// one mutex guards all. The stream and the engine each hold a reference.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/base/mutex.h"
#include "core/engine/engine.h"
#include "grpcpp/support/server_callback.h"
#include "server/delivery/delivery_window.h"
#include "server/delivery/splice.h"
#include "server/rpc/service_context.h"

namespace sluice::server {

class ActiveSpan;

class DeliveryStream : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>,
                       public SessionHandle,
                       public Consumer,
                       public std::enable_shared_from_this<DeliveryStream> {
 public:
  // Begins to read; the stream belongs to gRPC until OnDone.
  static DeliveryStream* Start(std::shared_ptr<DeliveryStream> stream);

  void OnReadDone(bool ok) final;
  void OnWriteDone(bool ok) final;
  void OnCancel() final;
  void OnDone() final;

  void Deliver(std::vector<Delivery>& deliveries) final;
  void Ended(absl::Status why) override { Close(why); }

  // The server ends the stream.
  void End(const absl::Status& why) final { Close(why); }

 protected:
  enum class State { kAwaitingFirst, kOpening, kOpen, kClosing };

  DeliveryStream(ServiceContext& context, SessionList::Slot slot, Rpc rpc,
                 const grpc::CallbackServerContext& call, Caller caller)
      : context_(context), rpc_(rpc), slot_(slot), call_(call), caller_(std::move(caller)) {}

  // What is left to an API. Handle() looks at request_buffer_ and leads to Handled(), perhaps later
  // and on another thread.
  virtual void Handle(bool first) = 0;
  // What front_parts_ counts belongs to the next write from now on.
  virtual void TakeFront() REQUIRES(mu_) = 0;
  // It is not to be said any more.
  virtual void DropFront() REQUIRES(mu_) = 0;
  // A response: what TakeFront took, and deliveries up to a bound, which are taken off.
  virtual EncodedDeliveries Encode(std::vector<Delivery>* deliveries) = 0;
  // Whether the stream may be about this. If so it is asked again when rights change.
  absl::Status Allow(Right right, const std::string& resource);
  // An error as the API tells it.
  virtual absl::Status Told(const absl::Status& status) const { return status; }

  // A request was handled: reading goes on, or the stream ends.
  void Handled(const absl::Status& status) EXCLUDES(mu_);
  void Close(const absl::Status& why) EXCLUDES(mu_);
  // Ends the stream of a client that has said all, once it has been told what became of its
  // acknowledgements.
  void EndIfAnswered() EXCLUDES(mu_);
  // Starts whatever can be started now: a read, a write, the end.
  void Advance() EXCLUDES(mu_);

  ServiceContext& context_;

  // Belongs to the read that is pending or being handled.
  grpc::ByteBuffer request_buffer_;

  // Set once, before kOpen.
  std::shared_ptr<Subscription> subscription_;
  ConsumerId consumer_;
  // What the client holds when the stream ends is given back at once; otherwise its leases go on.
  bool leases_end_ = false;
  // Unless the engine is about to be closed: the client takes them up when it is opened again.
  bool leases_survive_ = false;

  Mutex mu_{LockRank::kSession};
  State state_ GUARDED_BY(mu_) = State::kAwaitingFirst;
  DeliveryWindow window_ GUARDED_BY(mu_);
  // What else there is to say with the next write, in parts of it; and acknowledgements whose
  // answer is not there yet. Reading stops while there is much of either.
  size_t front_parts_ GUARDED_BY(mu_) = 0;
  size_t unanswered_ GUARDED_BY(mu_) = 0;

 private:
  void Write(std::vector<Delivery> deliveries) EXCLUDES(mu_);
  // The client is gone without a word.
  void Lose() EXCLUDES(mu_);
  void EndLeases() EXCLUDES(mu_);

  const Rpc rpc_;
  const SessionList::Slot slot_;
  const grpc::CallbackServerContext& call_;
  const Caller caller_;
  // The stream's reference.
  std::shared_ptr<DeliveryStream> self_;

  // Belongs to the write that is pending.
  EncodedDeliveries response_;
  std::shared_ptr<ActiveSpan> deliver_span_;

  absl::Status end_ GUARDED_BY(mu_);
  std::vector<Delivery> outgoing_ GUARDED_BY(mu_);
  // Delivered and not written yet, as it is in the memory ledger; what is left at the end goes with
  // the stream.
  size_t held_ GUARDED_BY(mu_) = 0;
  // The client has said all.
  bool half_closed_ GUARDED_BY(mu_) = false;
  // It went without having said so, while the stream was open.
  bool lost_ GUARDED_BY(mu_) = false;
  // Until the request is handled.
  bool read_pending_ GUARDED_BY(mu_) = true;
  bool write_pending_ GUARDED_BY(mu_) = false;
  bool finished_ GUARDED_BY(mu_) = false;
};

}  // namespace sluice::server
