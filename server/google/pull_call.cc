#include "server/google/pull_call.h"

#include <algorithm>
#include <utility>

#include "core/base/error.h"
#include "grpcpp/impl/codegen/proto_buffer_reader.h"
#include "server/call_end.h"
#include "server/errors.h"
#include "server/google/texts.h"
#include "server/native/publish_request.h"
#include "server/tracing/messaging_spans.h"

namespace sluice::server {
namespace {

// One response, below the 4 MiB that a client accepts whose channel says nothing else; a single message may be larger. The
// most that an empty one waits; and one that is to come at once, when what there is has to be read.
constexpr int64_t kMaxPullBytes = int64_t{3} << 20;
constexpr absl::Duration kLongestWait = absl::Seconds(60);
constexpr absl::Duration kShortestWait = absl::Milliseconds(500);
// Before the client gives up.
constexpr absl::Duration kBeforeDeadline = absl::Milliseconds(200);

}  // namespace

PullCall* PullCall::Start(ServiceContext& context, SessionList::Slot slot, const grpc::CallbackServerContext& call,
                          const grpc::ByteBuffer& request_buffer, grpc::ByteBuffer* response) {
  auto pull = std::make_shared<PullCall>(context, slot, call, response);
  pull->self_ = pull;
  pull->trace_ = CallContext(context.tracer, call);
  context.rpcs.of(Rpc::kGooglePull).StartedUnary();
  pubsub::PullRequest request;
  grpc::ByteBuffer copy(request_buffer);
  grpc::ProtoBufferReader reader(&copy);
  const Instant deadline = DeadlineOf(call, context.engine.clock());
  absl::Status status = Error(Reason::kMalformedRequest, "the request is not a serialized google.pubsub.v1.PullRequest");
  if (request.ParseFromZeroCopyStream(&reader)) {
    Caller caller;
    status = context.access.Authorise(call, Rpc::kGooglePull, request.subscription(), &caller);
    if (status.ok()) status = pull->Begin(request, deadline);
  }
  if (!status.ok()) pull->Answer(status, {});
  context.sessions.Join(slot, pull.get());
  return pull.get();
}

absl::Status PullCall::Begin(const pubsub::PullRequest& request, Instant deadline) {
  auto name = SubscriptionName::Parse(request.subscription());
  if (!name.ok()) return name.status();
  if (request.max_messages() <= 0) return texts::InvalidArgument("max_messages");
  auto found = context_.engine.FindSubscription(*name);
  if (!found.ok()) return found.status();
  subscription_ = *std::move(found);
  auto consumer = subscription_->Attach(
      shared_from_this(), {.client_id = {}, .leases_outlive_it = true, .waits_without_topic = true});
  if (!consumer.ok()) return consumer.status();
  {
    MutexLock lock(mu_);
    consumer_ = *consumer;
    // Who ended it meanwhile had nothing to detach yet.
    if (answered_) {
      lock.Unlock();
      subscription_->Detach(*consumer);
      return absl::OkStatus();
    }
  }
  const Instant now = context_.engine.clock().Now();
  // The field is deprecated, since an answer at once is often empty though there is something.
  const bool at_once = request.return_immediately();
  const bool nothing = at_once && subscription_->stats().backlog_messages == 0;
  const absl::Duration wait = nothing ? absl::ZeroDuration() : at_once ? kShortestWait : kLongestWait;
  const Instant until = deadline == Instant::Never() ? now + wait : std::min(now + wait, deadline + -kBeforeDeadline);
  if (!nothing) subscription_->Grant(*consumer, request.max_messages(), kMaxPullBytes);
  if (until <= now) {
    Answer(absl::OkStatus(), {});
  } else {
    context_.engine.timers().At(until, [weak = weak_from_this()] {
      if (auto self = weak.lock()) self->Answer(absl::OkStatus(), {});
    });
  }
  return absl::OkStatus();
}

void PullCall::Deliver(std::vector<Delivery>& deliveries) { Answer(absl::OkStatus(), std::move(deliveries)); }

void PullCall::Ended(absl::Status why) { Answer(why, {}); }

void PullCall::Answer(const absl::Status& status, std::vector<Delivery> deliveries) {
  bool first = false;
  ConsumerId consumer;
  {
    MutexLock lock(mu_);
    first = !std::exchange(answered_, true);
    consumer = consumer_;
  }
  // What came too late for this answer is for the next one.
  if (!first) {
    if (!deliveries.empty()) subscription_->Return(deliveries);
    return;
  }
  if (subscription_ != nullptr) {
    subscription_->Detach(consumer);
    const GoogleFrame frame(subscription_->id(), context_.engine.incarnation(), subscription_->properties().dead_letters);
    EncodedDeliveries encoded{.buffer = EmptyMessage()};
    if (!deliveries.empty()) encoded = EncodeDeliveries(&deliveries, kMaxPullBytes, "", frame);
    deliver_span_ = BeginDeliver(context_.tracer, subscription_, encoded.deliveries, trace_);
    response_->Swap(&encoded.buffer);
    answered_with_ = std::move(encoded.deliveries);
    if (!deliveries.empty()) subscription_->Return(deliveries);
  }
  if (!absl::IsCancelled(status)) CountRefusal(status, context_.metrics.engine);
  Finish(EndUnary(context_, Rpc::kGooglePull, call_, texts::Told(status)));
}

void PullCall::OnDone() {
  // The client had gone before the answer.
  if (call_.IsCancelled() && !answered_with_.empty()) subscription_->Return(answered_with_);
  EndSpan(deliver_span_, absl::OkStatus());
  context_.sessions.Leave(slot_);
  self_ = nullptr;
}

}  // namespace sluice::server
