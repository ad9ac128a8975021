#include "server/api/google/streaming_pull_session.h"

#include <utility>

#include "core/base/error.h"
#include "grpcpp/impl/codegen/proto_buffer_reader.h"
#include "server/rpc/errors.h"

namespace sluice::server {
namespace {

// One response. Well below the 4 MiB that some clients accept; a single message may be larger than
// this.
constexpr size_t kMaxResponseBytes = size_t{1} << 20;
// Credit in messages is not how these clients bound what they hold.
constexpr int64_t kEndlessCredit = int64_t{1} << 50;

int64_t LimitFrom(int64_t wanted) {
  return wanted > 0 ? wanted : AttachOptions::kNoOutstandingLimit;
}

absl::Status CheckStreamDeadline(int32_t seconds) {
  const absl::Duration deadline = absl::Seconds(seconds);
  return deadline >= kMinAckDeadline && deadline <= kMaxAckDeadline
             ? absl::OkStatus()
             : texts::InvalidAckDeadline(seconds);
}

void Append(const std::vector<std::string>& ids,
            google::protobuf::RepeatedPtrField<std::string>* out) {
  for (const std::string& id : ids) *out->Add() = id;
}

}  // namespace

void StreamingPullSession::Handle(bool first) {
  pubsub::StreamingPullRequest request;
  grpc::ProtoBufferReader reader(&request_buffer_);
  if (!request.ParseFromZeroCopyStream(&reader)) {
    return Handled(Error(Reason::kMalformedRequest,
                         "the request is not a serialized google.pubsub.v1.StreamingPullRequest"));
  }
  Handled(first ? Open(request) : Apply(request));
}

EncodedDeliveries StreamingPullSession::Encode(std::vector<Delivery>* deliveries) {
  const Subscription::Properties properties = subscription_->properties();
  auto& told = *writing_front_.mutable_subscription_properties();
  told.set_exactly_once_delivery_enabled(properties.exactly_once);
  told.set_message_ordering_enabled(properties.ordered);
  const GoogleFrame frame(subscription_->id(), context_.engine.incarnation(),
                          properties.dead_letters);
  EncodedDeliveries encoded =
      EncodeDeliveries(deliveries, kMaxResponseBytes, writing_front_.SerializeAsString(), frame);
  writing_front_.Clear();
  return encoded;
}

absl::Status StreamingPullSession::Open(const pubsub::StreamingPullRequest& request) {
  if (absl::Status may = Allow(Right::kSubscriptionsConsume, request.subscription()); !may.ok())
    return may;
  auto name = SubscriptionName::Parse(request.subscription());
  if (!name.ok()) return name.status();
  if (absl::Status status = CheckStreamDeadline(request.stream_ack_deadline_seconds());
      !status.ok())
    return status;
  if (request.client_id().size() > kMaxClientIdBytes) return texts::InvalidArgument("client_id");
  auto found = context_.engine.FindSubscription(*name);
  if (!found.ok()) return found.status();
  subscription_ = *std::move(found);
  if (absl::Status status = Attach(request); !status.ok()) return status;
  int64_t bytes = 0;
  bool closed = false;
  {
    MutexLock lock(mu_);
    closed = state_ == State::kClosing;
    if (!closed) state_ = State::kOpen;
    window_.Unlimited();
    bytes = window_.Take(context_.engine.memory().tight());
  }
  // Who ended it meanwhile had nothing to detach yet.
  if (closed) {
    subscription_->Detach(consumer_);
    return absl::OkStatus();
  }
  Say();
  subscription_->Grant(consumer_, kEndlessCredit, bytes);
  // What a stream that was opened again still holds of the one before.
  Acknowledge(request);
  return ModifyDeadlines(request);
}

absl::Status StreamingPullSession::Attach(const pubsub::StreamingPullRequest& request) {
  auto consumer = subscription_->Attach(
      shared_from_this(),
      {.client_id = request.client_id(),
       .ack_deadline = absl::Seconds(request.stream_ack_deadline_seconds()),
       .leases_outlive_it = true,
       .max_outstanding_messages = LimitFrom(request.max_outstanding_messages()),
       .max_outstanding_bytes = LimitFrom(request.max_outstanding_bytes()),
       .waits_without_topic = true});
  if (!consumer.ok()) return consumer.status();
  consumer_ = *consumer;
  return absl::OkStatus();
}

absl::Status StreamingPullSession::Apply(const pubsub::StreamingPullRequest& request) {
  if (!request.subscription().empty()) return texts::InvalidArgument("subscription");
  if (!request.client_id().empty()) return texts::InvalidArgument("client_id");
  if (request.max_outstanding_messages() != 0)
    return texts::InvalidArgument("max_outstanding_messages");
  if (request.max_outstanding_bytes() != 0) return texts::InvalidArgument("max_outstanding_bytes");
  if (request.protocol_version() != 0) return texts::InvalidArgument("protocol_version");
  if (const int32_t seconds = request.stream_ack_deadline_seconds(); seconds != 0) {
    if (absl::Status status = CheckStreamDeadline(seconds); !status.ok()) return status;
    subscription_->SetAckDeadline(consumer_, absl::Seconds(seconds));
  }
  if (request.ack_ids().empty() && request.modify_deadline_ack_ids().empty() &&
      request.modify_deadline_seconds().empty()) {
    Say();
    return absl::OkStatus();
  }
  if (!request.ack_ids().empty()) Acknowledge(request);
  return ModifyDeadlines(request);
}

void StreamingPullSession::Acknowledge(const pubsub::StreamingPullRequest& request) {
  if (request.ack_ids().empty()) return;
  {
    MutexLock lock(mu_);
    ++unanswered_;
  }
  const std::vector<std::string_view> ids(request.ack_ids().begin(), request.ack_ids().end());
  AcknowledgeIds(context_.engine, subscription_, ids, {context_.tracer, std::nullopt},
                 [this, self = shared_from_this()](const absl::StatusOr<AckIdsOutcome>& outcome) {
                   Acknowledged(outcome);
                 });
}

void StreamingPullSession::Acknowledged(const absl::StatusOr<AckIdsOutcome>& outcome) {
  {
    MutexLock lock(mu_);
    --unanswered_;
    if (state_ != State::kOpen) return;
    const bool confirms = outcome.ok() && !(outcome->confirmed.empty() && outcome->all_confirmed());
    if (confirms) {
      auto& confirmation = *front_.mutable_acknowledge_confirmation();
      Append(outcome->confirmed, confirmation.mutable_ack_ids());
      Append(outcome->invalid, confirmation.mutable_invalid_ack_ids());
      Append(outcome->unordered, confirmation.mutable_unordered_ack_ids());
      Append(outcome->failed, confirmation.mutable_temporary_failed_ack_ids());
      front_parts_ += outcome->confirmed.size() + outcome->invalid.size() +
                      outcome->unordered.size() + outcome->failed.size();
    }
  }
  if (!outcome.ok()) {
    CountRefusal(outcome.status(), context_.metrics.engine);
    return Close(outcome.status());
  }
  Advance();
  EndIfAnswered();
}

absl::Status StreamingPullSession::ModifyDeadlines(const pubsub::StreamingPullRequest& request) {
  const auto& ids = request.modify_deadline_ack_ids();
  const auto& seconds = request.modify_deadline_seconds();
  if (ids.size() != seconds.size()) return texts::InvalidArgument("modify_deadline_seconds");
  for (int i = 0; i < seconds.size(); ++i) {
    if (seconds[i] < 0 || absl::Seconds(seconds[i]) > kMaxAckDeadline)
      return texts::InvalidAckDeadline(seconds[i]);
  }
  for (int begin = 0; begin < ids.size();) {
    int end = begin;
    std::vector<std::string_view> alike;
    for (; end < ids.size() && seconds[end] == seconds[begin]; ++end) alike.emplace_back(ids[end]);
    auto outcome = ModifyDeadlineOfIds(context_.engine, subscription_, alike, seconds[begin],
                                       {context_.tracer, std::nullopt});
    if (!outcome.ok()) return outcome.status();
    begin = end;
    if (outcome->confirmed.empty() && outcome->all_confirmed()) continue;
    MutexLock lock(mu_);
    auto& confirmation = *front_.mutable_modify_ack_deadline_confirmation();
    Append(outcome->confirmed, confirmation.mutable_ack_ids());
    Append(outcome->invalid, confirmation.mutable_invalid_ack_ids());
    front_parts_ += outcome->confirmed.size() + outcome->invalid.size();
  }
  return absl::OkStatus();
}

void StreamingPullSession::Say() {
  {
    MutexLock lock(mu_);
    ++front_parts_;
  }
  Advance();
}

void StreamingPullSession::Ended(absl::Status why) { Close(texts::Told(why)); }

}  // namespace sluice::server
