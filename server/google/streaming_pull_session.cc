#include "server/google/streaming_pull_session.h"

#include <iterator>
#include <utility>

#include "core/base/error.h"
#include "grpcpp/impl/codegen/proto_buffer_reader.h"
#include "server/errors.h"
#include "server/google/texts.h"

namespace sluice::server {
namespace {

// One response. Well below the 4 MiB that some clients accept; a single message may be larger than this.
constexpr size_t kMaxResponseBytes = size_t{1} << 20;
// Answers that wait to be written, or to be known, before the stream reads on.
constexpr size_t kMaxUnanswered = 10'000;
// Credit in messages is not how these clients bound what they hold.
constexpr int64_t kEndlessCredit = int64_t{1} << 50;

int64_t LimitFrom(int64_t wanted) { return wanted > 0 ? wanted : AttachOptions::kNoOutstandingLimit; }

absl::Status CheckStreamDeadline(int32_t seconds) {
  const absl::Duration deadline = absl::Seconds(seconds);
  return deadline >= kMinAckDeadline && deadline <= kMaxAckDeadline ? absl::OkStatus() : texts::InvalidAckDeadline(seconds);
}

void Append(const std::vector<std::string>& ids, google::protobuf::RepeatedPtrField<std::string>* out) {
  for (const std::string& id : ids) *out->Add() = id;
}

}  // namespace

StreamingPullSession* StreamingPullSession::Start(ServiceContext& context, SessionList::Slot slot) {
  auto session = std::make_shared<StreamingPullSession>(context, slot);
  session->self_ = session;
  context.rpcs.of(Rpc::kGoogleStreamingPull).started.Add();
  context.rpcs.subscribe_streams.Add(1);
  session->StartRead(&session->request_buffer_);
  context.sessions.Join(slot, session.get());
  return session.get();
}

void StreamingPullSession::OnReadDone(bool ok) {
  bool first = false;
  {
    MutexLock lock(mu_);
    if (!ok) read_pending_ = false;
    half_closed_ = !ok;
    first = state_ == State::kAwaitingFirst;
  }
  if (!ok) return EndIfAnswered();
  context_.rpcs.of(Rpc::kGoogleStreamingPull).received.Add();
  pubsub::StreamingPullRequest request;
  grpc::ProtoBufferReader reader(&request_buffer_);
  absl::Status status;
  if (!request.ParseFromZeroCopyStream(&reader)) {
    status = Error(Reason::kMalformedRequest, "the request is not a serialized google.pubsub.v1.StreamingPullRequest");
  } else {
    status = first ? Open(request) : Apply(request);
  }
  {
    MutexLock lock(mu_);
    read_pending_ = false;
  }
  if (status.ok()) return Advance();
  CountRefusal(status, context_.metrics.engine);
  Close(texts::Told(status));
}

absl::Status StreamingPullSession::Open(const pubsub::StreamingPullRequest& request) {
  auto name = SubscriptionName::Parse(request.subscription());
  if (!name.ok()) return name.status();
  if (absl::Status status = CheckStreamDeadline(request.stream_ack_deadline_seconds()); !status.ok()) return status;
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
      shared_from_this(), {.client_id = request.client_id(),
                           .ack_deadline = absl::Seconds(request.stream_ack_deadline_seconds()),
                           .leases_outlive_it = true,
                           .max_outstanding_messages = LimitFrom(request.max_outstanding_messages()),
                           .max_outstanding_bytes = LimitFrom(request.max_outstanding_bytes())});
  // These clients wait at a subscription without a topic until it is deleted.
  if (ReasonOf(consumer.status()) == Reason::kTopicDeleted) return absl::OkStatus();
  if (!consumer.ok()) return consumer.status();
  consumer_ = *consumer;
  return absl::OkStatus();
}

absl::Status StreamingPullSession::Apply(const pubsub::StreamingPullRequest& request) {
  if (!request.subscription().empty()) return texts::InvalidArgument("subscription");
  if (!request.client_id().empty()) return texts::InvalidArgument("client_id");
  if (request.max_outstanding_messages() != 0) return texts::InvalidArgument("max_outstanding_messages");
  if (request.max_outstanding_bytes() != 0) return texts::InvalidArgument("max_outstanding_bytes");
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
  AcknowledgeIds(context_.engine, subscription_, ids,
                 [self = shared_from_this()](const absl::StatusOr<AckIdsOutcome>& outcome) {
                   self->Acknowledged(outcome);
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
      front_parts_ += outcome->confirmed.size() + outcome->invalid.size() + outcome->unordered.size() +
                      outcome->failed.size();
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
    if (seconds[i] < 0 || absl::Seconds(seconds[i]) > kMaxAckDeadline) return texts::InvalidAckDeadline(seconds[i]);
  }
  for (int begin = 0; begin < ids.size();) {
    int end = begin;
    std::vector<std::string_view> alike;
    for (; end < ids.size() && seconds[end] == seconds[begin]; ++end) alike.emplace_back(ids[end]);
    auto outcome = ModifyDeadlineOfIds(context_.engine, subscription_, alike, seconds[begin]);
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

void StreamingPullSession::EndIfAnswered() {
  {
    MutexLock lock(mu_);
    if (!half_closed_) return;
    if (state_ == State::kOpen && (unanswered_ > 0 || front_parts_ > 0)) return;
  }
  Close(absl::OkStatus());
}

void StreamingPullSession::Deliver(std::vector<Delivery>& deliveries) {
  bool closing = false;
  {
    MutexLock lock(mu_);
    closing = state_ == State::kClosing;
    if (!closing) {
      size_t bytes = 0;
      for (const Delivery& delivery : deliveries) bytes += delivery.batch->body_bytes(delivery.begin, delivery.end);
      held_ += bytes;
      context_.engine.memory().Force(MemoryPart::kOutgoing, bytes);
      std::move(deliveries.begin(), deliveries.end(), std::back_inserter(outgoing_));
      if (write_pending_) return;
    }
  }
  if (!closing) return Advance();
  subscription_->Return(deliveries);
}

void StreamingPullSession::Ended(absl::Status why) {
  if (ReasonOf(why) != Reason::kTopicDeleted) Close(texts::Told(why));
}

void StreamingPullSession::Close(const absl::Status& why) {
  bool detach = false;
  std::vector<Delivery> unsent;
  {
    MutexLock lock(mu_);
    if (state_ != State::kClosing) {
      detach = state_ == State::kOpen;
      state_ = State::kClosing;
      end_ = why;
      unsent.swap(outgoing_);
      front_.Clear();
      front_parts_ = 0;
    }
  }
  if (detach) {
    subscription_->Detach(consumer_);
    // Nobody knows of these leases.
    subscription_->Return(unsent);
  }
  Advance();
}

void StreamingPullSession::Advance() {
  std::vector<Delivery> deliveries;
  pubsub::StreamingPullResponse front;
  bool finish = false;
  absl::Status end;
  {
    MutexLock lock(mu_);
    if (finished_) return;
    if (state_ == State::kClosing) {
      if (write_pending_) return;
      finished_ = finish = true;
      end = end_;
    } else {
      if (state_ == State::kOpen && !read_pending_ && !half_closed_ && front_parts_ + unanswered_ < kMaxUnanswered) {
        read_pending_ = true;
        // Under the lock: once it is released another thread may finish the stream.
        StartRead(&request_buffer_);
      }
      if (write_pending_ || (front_parts_ == 0 && outgoing_.empty())) return;
      deliveries.swap(outgoing_);
      if (std::exchange(front_parts_, 0) > 0) front.Swap(&front_);
      write_pending_ = true;
    }
  }
  if (!finish) return Write(std::move(deliveries), std::move(front));
  const grpc::Status status = ToGrpc(end);
  context_.rpcs.of(Rpc::kGoogleStreamingPull).Handled(status.error_code());
  Finish(status);
}

// Outside the lock: the engine may go on delivering meanwhile. The stream cannot end before this write has.
void StreamingPullSession::Write(std::vector<Delivery> deliveries, pubsub::StreamingPullResponse front) {
  const Subscription::Properties properties = subscription_->properties();
  auto& told = *front.mutable_subscription_properties();
  told.set_exactly_once_delivery_enabled(properties.exactly_once);
  told.set_message_ordering_enabled(properties.ordered);
  const GoogleFrame frame(subscription_->id(), context_.engine.incarnation(), properties.dead_letters);
  response_ = EncodeDeliveries(&deliveries, kMaxResponseBytes, front.SerializeAsString(), frame);
  if (!deliveries.empty()) {
    MutexLock lock(mu_);
    // Once the stream is closing they stay leased until their deadline.
    if (state_ != State::kClosing) {
      outgoing_.insert(outgoing_.begin(), std::make_move_iterator(deliveries.begin()),
                       std::make_move_iterator(deliveries.end()));
    }
  }
  StartWrite(&response_.buffer);
}

void StreamingPullSession::OnWriteDone(bool ok) {
  int64_t bytes = 0;
  bool half_closed = false;
  // An idle stream holds no messages.
  response_.buffer.Clear();
  // Once the lock is released the next write may begin on another thread.
  const size_t written = response_.message_bytes;
  {
    MutexLock lock(mu_);
    write_pending_ = false;
    half_closed = half_closed_;
    window_.Written(static_cast<int64_t>(written));
    held_ -= written;
    if (ok && state_ == State::kOpen) bytes = window_.Take(context_.engine.memory().tight());
  }
  context_.engine.memory().Give(MemoryPart::kOutgoing, written);
  context_.rpcs.of(Rpc::kGoogleStreamingPull).sent.Add();
  if (!ok) return Close(absl::CancelledError("the client is gone"));
  Advance();
  if (bytes > 0) subscription_->Grant(consumer_, 0, bytes);
  if (half_closed) EndIfAnswered();
}

void StreamingPullSession::OnCancel() { Close(absl::CancelledError("the client is gone")); }

void StreamingPullSession::OnDone() {
  {
    MutexLock lock(mu_);
    context_.engine.memory().Give(MemoryPart::kOutgoing, held_);
  }
  context_.rpcs.subscribe_streams.Add(-1);
  context_.sessions.Leave(slot_);
  self_ = nullptr;
}

}  // namespace sluice::server
