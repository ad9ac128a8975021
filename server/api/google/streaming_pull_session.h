// One StreamingPull stream (server/delivery/delivery_stream.h): a consumer whose leases outlive it,
// since these clients open streams again and settle on any connection.
//
// Every response says what the subscription is like, an empty request is a ping and is answered at
// once, and one response comes right after the stream was opened. The window bounds what waits to
// be written, beside what the client bounds itself (max_outstanding_messages and _bytes).
//
// Thread rule: as DeliveryStream.
#pragma once

#include <vector>

#include "server/api/google/ack_ids.h"
#include "server/api/google/texts.h"
#include "server/api/google/wire.h"
#include "server/delivery/delivery_stream.h"

namespace sluice::server {

class StreamingPullSession final : public DeliveryStream {
 public:
  StreamingPullSession(ServiceContext& context, SessionList::Slot slot,
                       const grpc::CallbackServerContext& call, Caller caller)
      : DeliveryStream(context, slot, Rpc::kGoogleStreamingPull, call, std::move(caller)) {}

  void Ended(absl::Status why) override;

 private:
  void Handle(bool first) override EXCLUDES(mu_);
  void TakeFront() override REQUIRES(mu_) { writing_front_.Swap(&front_); }
  void DropFront() override REQUIRES(mu_) { front_.Clear(); }
  EncodedDeliveries Encode(std::vector<Delivery>* deliveries) override;
  absl::Status Told(const absl::Status& status) const override { return texts::Told(status); }

  absl::Status Open(const pubsub::StreamingPullRequest& request) EXCLUDES(mu_);
  absl::Status Attach(const pubsub::StreamingPullRequest& request) EXCLUDES(mu_);
  // A later request; an error ends the stream.
  absl::Status Apply(const pubsub::StreamingPullRequest& request) EXCLUDES(mu_);
  absl::Status ModifyDeadlines(const pubsub::StreamingPullRequest& request) EXCLUDES(mu_);
  void Acknowledge(const pubsub::StreamingPullRequest& request) EXCLUDES(mu_);
  void Acknowledged(const absl::StatusOr<AckIdsOutcome>& outcome) EXCLUDES(mu_);
  // A response is due, whatever it says.
  void Say() EXCLUDES(mu_);

  // Belongs to the write that is pending.
  pubsub::StreamingPullResponse writing_front_;

  pubsub::StreamingPullResponse front_ GUARDED_BY(mu_);
};

}  // namespace sluice::server
