#include "server/api/native/subscribe_session.h"

#include <limits>
#include <utility>

#include "core/base/error.h"
#include "fmt/format.h"
#include "grpcpp/impl/codegen/proto_buffer_reader.h"
#include "server/api/native/convert.h"
#include "server/rpc/errors.h"
#include "server/tracing/messaging_spans.h"

namespace sluice::server {
namespace {

// One response. Well below the 4 MiB that clients accept unless told otherwise; a single message
// may be larger than this.
constexpr size_t kMaxResponseBytes = size_t{1} << 20;

absl::Status BadRange(std::string_view field, uint64_t first, uint64_t last) {
  return Error(Reason::kInvalidRange,
               fmt::format("{}: first {} and last {}: first must be at least 1 and at most last",
                           field, first, last),
               {{"field", std::string(field)}, {"value", fmt::format("{}-{}", first, last)}});
}

absl::StatusOr<LeaseRange> ToLeases(const v1::DeliveryRange& range, std::string_view field) {
  const uint64_t last = range.last() == 0 ? range.first() : range.last();
  if (range.first() == 0 || last < range.first())
    return BadRange(field, range.first(), range.last());
  return LeaseRange{LeaseId(range.first()), LeaseId(last)};
}

absl::Status OutOfBounds(Reason reason, std::string_view field, const std::string& value,
                         const std::string& limit) {
  return Error(reason, fmt::format("{}: {}, but it must be {}", field, value, limit),
               {{"field", std::string(field)}, {"value", value}, {"limit", limit}});
}

// What the client says that it holds.
absl::StatusOr<std::vector<LateAck>> HeldOf(const v1::TakeUp& take_up) {
  std::vector<LateAck> held;
  for (const v1::HeldDeliveries& run : take_up.held()) {
    auto leases = ToLeases(run.range(), "take_up.held.range");
    if (!leases.ok()) return leases.status();
    const uint64_t first = run.first_message_id();
    if (first == 0 ||
        leases->last - leases->first >= std::numeric_limits<uint64_t>::max() - first) {
      return OutOfBounds(Reason::kInvalidRange, "take_up.held.first_message_id",
                         std::to_string(first), "the id of a message");
    }
    held.push_back({*leases, Offset(first)});
  }
  return held;
}

void AddResults(const std::vector<LeaseRange>& ranges, const absl::Status& status,
                v1::SubscribeResponse* response) {
  for (const LeaseRange& range : ranges) {
    v1::AckResult& result = *response->add_ack_results();
    result.mutable_range()->set_first(range.first.value());
    result.mutable_range()->set_last(range.last.value());
    if (!status.ok()) *result.mutable_error() = ToProto(status);
  }
}

}  // namespace

void SubscribeSession::Handle(bool first) {
  grpc::ProtoBufferReader reader(&request_buffer_);
  const bool parsed = request_.ParseFromZeroCopyStream(&reader);
  if (!parsed) {
    return Handled(Error(Reason::kMalformedRequest,
                         "the request is not a serialized sluice.v1.SubscribeRequest, or a string "
                         "of it is not UTF-8"));
  }
  if (first) return OpenTarget();
  const absl::Status target = CheckTarget();
  Handled(target.ok() ? Apply() : target);
}

EncodedDeliveries SubscribeSession::Encode(std::vector<Delivery>* deliveries) {
  EncodedDeliveries encoded = EncodeDeliveries(deliveries, kMaxResponseBytes, writing_front_);
  writing_front_.Clear();
  return encoded;
}

void SubscribeSession::OpenTarget() {
  if (request_.client_id().size() > kMaxClientIdBytes) {
    return Handled(OutOfBounds(Reason::kRequestTooLarge, "client_id",
                               fmt::format("{} bytes", request_.client_id().size()),
                               fmt::format("at most {} bytes", kMaxClientIdBytes)));
  }
  switch (request_.target_case()) {
    case v1::SubscribeRequest::kSubscription: {
      target_ = request_.subscription();
      if (absl::Status may = Allow(Right::kSubscriptionsConsume, target_); !may.ok())
        return Handled(may);
      auto name = SubscriptionName::Parse(target_);
      return name.ok() ? Opened(context_.engine.FindSubscription(*name)) : Handled(name.status());
    }
    case v1::SubscribeRequest::kEphemeral:
      target_ = request_.ephemeral().SerializeAsString();
      return OpenEphemeral(request_.ephemeral());
    case v1::SubscribeRequest::TARGET_NOT_SET:
      break;
  }
  Handled(Error(Reason::kMissingTarget,
                "subscription: the first request of a stream must name what to receive",
                {{"field", "subscription"}, {"value", ""}}));
}

void SubscribeSession::OpenEphemeral(const v1::EphemeralSubscription& wanted) {
  if (absl::Status may = Allow(Right::kTopicsAttachSubscription, wanted.topic()); !may.ok())
    return Handled(may);
  auto topic = TopicName::Parse(wanted.topic(), "ephemeral.topic");
  if (!topic.ok()) return Handled(topic.status());
  auto start = FromProto(wanted.start(), "ephemeral.start");
  if (!start.ok()) return Handled(start.status());
  SubscriptionConfig config;
  config.topic = *std::move(topic);
  config.ack_deadline = AckDeadlineFrom(wanted.ack_deadline_seconds());
  config.filter = wanted.filter();
  context_.engine.OpenEphemeral(
      std::move(config), *start,
      [this, self = shared_from_this()](absl::StatusOr<std::shared_ptr<Subscription>> made) {
        Opened(std::move(made));
      });
}

absl::Status SubscribeSession::Attach(std::shared_ptr<Subscription> subscription) {
  const auto held = HeldOf(request_.take_up());
  if (!held.ok()) return held.status();
  const SubscriptionConfig config = subscription->config();
  leases_survive_ = request_.has_take_up() && request_.has_subscription() && config.exactly_once;
  auto consumer = subscription->Attach(
      shared_from_this(), {.client_id = request_.client_id(), .takes_up_leases = leases_survive_});
  if (!consumer.ok()) return consumer.status();
  opened_.set_subscription(config.name.full());
  opened_.set_topic(config.topic ? config.topic->full() : std::string(kDeletedTopic));
  opened_.set_ack_deadline_seconds(static_cast<int32_t>(absl::ToInt64Seconds(config.ack_deadline)));
  opened_.set_exactly_once_delivery(config.exactly_once);
  opened_.set_message_ordering(config.ordered);
  opened_.set_incarnation(context_.engine.incarnation());
  exactly_once_ = config.exactly_once;
  leases_end_ = true;
  consumer_ = *consumer;
  subscription_ = std::move(subscription);
  if (leases_survive_) TakeUp(*held);
  return absl::OkStatus();
}

void SubscribeSession::TakeUp(const std::vector<LateAck>& held) {
  for (const auto& [leases, first] : held) {
    const OffsetRange offsets{first, first + (leases.last - leases.first) + 1};
    const auto all =
        subscription_->TakeUp(consumer_, request_.take_up().incarnation(), leases.first, offsets);
    MutexLock lock(mu_);
    for (const sluice::TakenUp& taken : all) {
      v1::TakenUp& told = *front_.add_taken_up();
      told.mutable_range()->set_first(taken.earlier.first.value());
      told.mutable_range()->set_last(taken.earlier.last.value());
      told.set_first_delivery_id(taken.now.value());
    }
  }
}

void SubscribeSession::Opened(absl::StatusOr<std::shared_ptr<Subscription>> found) {
  if (!found.ok()) return Handled(found.status());
  if (absl::Status status = Attach(*std::move(found)); !status.ok()) return Handled(status);
  bool closed = false;
  {
    MutexLock lock(mu_);
    closed = state_ == State::kClosing;
    if (!closed) {
      state_ = State::kOpen;
      *front_.mutable_opened() = opened_;
      ++front_parts_;
    }
  }
  // Who ended it meanwhile had nothing to detach yet.
  if (closed) return subscription_->Detach(consumer_, /*keeps_leases=*/leases_survive_);
  Handled(Apply());
}

absl::Status SubscribeSession::CheckTarget() const {
  const bool same =
      request_.target_case() == v1::SubscribeRequest::TARGET_NOT_SET ||
      (request_.has_subscription() && request_.subscription() == target_) ||
      (request_.has_ephemeral() && request_.ephemeral().SerializeAsString() == target_);
  if (same) return absl::OkStatus();
  return Error(Reason::kTargetChanged,
               "subscription: this stream receives something else; open another one",
               {{"field", "subscription"}, {"limit", opened_.subscription()}});
}

// In the order that protos/sluice/v1/pubsub.proto promises.
absl::Status SubscribeSession::Apply() {
  absl::Status status = ApplyCredit();
  if (status.ok()) status = ApplyAcks();
  if (status.ok()) status = ApplyNacks();
  if (status.ok()) status = ApplyExtensions();
  return status;
}

absl::Status SubscribeSession::ApplyCredit() {
  if (!request_.has_credit()) return absl::OkStatus();
  const v1::Credit& credit = request_.credit();
  if (credit.messages() < 0 || credit.bytes() < 0 ||
      (credit.messages() == 0 && credit.bytes() == 0)) {
    const bool bytes = credit.bytes() < 0;
    return OutOfBounds(Reason::kInvalidCredit, bytes ? "credit.bytes" : "credit.messages",
                       std::to_string(bytes ? credit.bytes() : credit.messages()), "at least 1");
  }
  int64_t bytes = 0;
  {
    MutexLock lock(mu_);
    if (!granted_ && credit.bytes() == 0) window_.Unlimited();
    window_.Grant(credit.bytes());
    bytes = window_.Take(context_.engine.memory().tight());
  }
  granted_ = true;
  subscription_->Grant(consumer_, credit.messages(), bytes);
  return absl::OkStatus();
}

absl::Status SubscribeSession::ApplyAcks() {
  if (request_.acks().empty()) return absl::OkStatus();
  std::vector<LeaseRange> acks;
  acks.reserve(static_cast<size_t>(request_.acks_size()));
  for (const v1::DeliveryRange& range : request_.acks()) {
    auto leases = ToLeases(range, "acks");
    if (!leases.ok()) return leases.status();
    acks.push_back(*leases);
  }
  auto span = BeginSettle(context_.tracer, "ack", *subscription_, acks);
  if (!exactly_once_) {
    EndSettle(span, absl::OkStatus(), subscription_->Ack(consumer_, acks));
    return absl::OkStatus();
  }
  {
    MutexLock lock(mu_);
    ++unanswered_;
  }
  subscription_->AckConfirmed(
      consumer_, acks,
      [this, self = shared_from_this(), span = std::move(span)](const AckOutcome& outcome) {
        EndSettle(span, outcome);
        Acknowledged(outcome);
      });
  return absl::OkStatus();
}

void SubscribeSession::Acknowledged(const AckOutcome& outcome) {
  {
    MutexLock lock(mu_);
    --unanswered_;
    if (state_ != State::kOpen) return;
    AddResults(outcome.confirmed, outcome.status, &front_);
    AddResults(
        outcome.refused,
        Error(Reason::kLeaseOver, "acks: this stream does not hold these deliveries any more"),
        &front_);
    AddResults(
        outcome.too_early,
        Error(Reason::kEarlierMessageOutstanding,
              "acks: an earlier message of the same ordering key has to be acknowledged first"),
        &front_);
    front_parts_ += outcome.confirmed.size() + outcome.refused.size() + outcome.too_early.size();
  }
  Advance();
  EndIfAnswered();
}

void SubscribeSession::Lost(const v1::DeliveryRange& range) {
  MutexLock lock(mu_);
  if (state_ != State::kOpen) return;
  *front_.add_lost() = range;
  ++front_parts_;
}

absl::Status SubscribeSession::ApplyNacks() {
  for (const v1::Nack& nack : request_.nacks()) {
    auto leases = ToLeases(nack.range(), "nacks.range");
    if (!leases.ok()) return leases.status();
    const absl::Duration delay = FromProto(nack.delay());
    if (delay < absl::ZeroDuration() || delay > kMaxNackDelay) {
      return OutOfBounds(Reason::kInvalidDelay, "nacks.delay", absl::FormatDuration(delay),
                         fmt::format("0 to {}", absl::FormatDuration(kMaxNackDelay)));
    }
    const auto span = BeginSettle(context_.tracer, "nack", *subscription_, {*leases});
    uint64_t found = 0;
    if (exactly_once_) {
      for (const LeaseRange& part : subscription_->NackConfirmed(consumer_, {*leases}, delay))
        found += part.last - part.first + 1;
      if (found <= leases->last - leases->first) Lost(nack.range());
    } else {
      found = subscription_->Nack(consumer_, *leases, delay);
    }
    EndSettle(span, absl::OkStatus(), found);
  }
  return absl::OkStatus();
}

absl::Status SubscribeSession::ApplyExtensions() {
  for (const v1::Extension& extension : request_.extensions()) {
    auto leases = ToLeases(extension.range(), "extensions.range");
    if (!leases.ok()) return leases.status();
    const absl::Duration deadline = absl::Seconds(extension.ack_deadline_seconds());
    if (deadline < absl::Seconds(1) || deadline > kMaxAckDeadline) {
      return OutOfBounds(Reason::kInvalidAckDeadline, "extensions.ack_deadline_seconds",
                         std::to_string(extension.ack_deadline_seconds()),
                         fmt::format("1 to {}", absl::ToInt64Seconds(kMaxAckDeadline)));
    }
    const uint64_t found = subscription_->Extend(consumer_, *leases, deadline);
    if (exactly_once_ && found <= leases->last - leases->first) Lost(extension.range());
  }
  return absl::OkStatus();
}

}  // namespace sluice::server
