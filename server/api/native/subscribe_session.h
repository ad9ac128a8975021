// One Subscribe stream of sluice.v1 (server/delivery/delivery_stream.h).
//
// Thread rule: as DeliveryStream.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "server/api/native/wire.h"
#include "server/delivery/delivery_stream.h"

namespace sluice::server {

class SubscribeSession final : public DeliveryStream {
 public:
  SubscribeSession(ServiceContext& context, SessionList::Slot slot,
                   const grpc::CallbackServerContext& call, Caller caller)
      : DeliveryStream(context, slot, Rpc::kSubscribe, call, std::move(caller)) {}

 private:
  void Handle(bool first) override EXCLUDES(mu_);
  void TakeFront() override REQUIRES(mu_) { writing_front_.Swap(&front_); }
  void DropFront() override REQUIRES(mu_) { front_.Clear(); }
  EncodedDeliveries Encode(std::vector<Delivery>* deliveries) override;

  // The first request: finds what it names and calls Opened, perhaps later and on another thread.
  void OpenTarget() EXCLUDES(mu_);
  void OpenEphemeral(const v1::EphemeralSubscription& wanted) EXCLUDES(mu_);
  void Opened(absl::StatusOr<std::shared_ptr<Subscription>> found) EXCLUDES(mu_);
  absl::Status Attach(std::shared_ptr<Subscription> subscription) EXCLUDES(mu_);

  void TakeUp(const std::vector<LateAck>& held) EXCLUDES(mu_);
  absl::Status CheckTarget() const;
  // What a request says beside its target; an error ends the stream.
  absl::Status Apply() EXCLUDES(mu_);
  absl::Status ApplyCredit() EXCLUDES(mu_);
  absl::Status ApplyAcks() EXCLUDES(mu_);
  absl::Status ApplyNacks() EXCLUDES(mu_);
  absl::Status ApplyExtensions() EXCLUDES(mu_);

  // What became of acknowledgements that are confirmed.
  void Acknowledged(const AckOutcome& outcome) EXCLUDES(mu_);
  // A nack or an extension found fewer leases than it named.
  void Lost(const v1::DeliveryRange& range) EXCLUDES(mu_);

  // Belong to the read that is pending or being handled.
  v1::SubscribeRequest request_;
  // The target of the first request, serialized.
  std::string target_;
  bool granted_ = false;

  // Set once, before kOpen.
  v1::Opened opened_;
  bool exactly_once_ = false;

  // Belongs to the write that is pending.
  v1::SubscribeResponse writing_front_;

  v1::SubscribeResponse front_ GUARDED_BY(mu_);
};

}  // namespace sluice::server
