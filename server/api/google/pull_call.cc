#include "server/api/google/pull_call.h"

#include <algorithm>
#include <utility>

#include "core/base/error.h"
#include "grpcpp/impl/codegen/proto_buffer_reader.h"
#include "server/api/google/texts.h"
#include "server/rpc/admit_publish.h"
#include "server/rpc/authorization.h"
#include "server/rpc/call_end.h"
#include "server/rpc/errors.h"
#include "server/tracing/messaging_spans.h"

namespace sluice::server {
namespace {

// One response, below the 4 MiB that a client accepts whose channel says nothing else; a single
// message may be larger.
constexpr int64_t kMaxPullBytes = int64_t{3} << 20;
// The most that an empty answer waits; and one that is to come at once, when what there is has to
// be read.
constexpr absl::Duration kLongestWait = absl::Seconds(60);
constexpr absl::Duration kLongestRead = absl::Milliseconds(500);
// How long an answer waits for more once it has messages, and how often one that is to come at once
// looks whether they were read.
constexpr absl::Duration kFillTime = absl::Milliseconds(3);
// Before the client gives up.
constexpr absl::Duration kBeforeDeadline = absl::Milliseconds(200);

}  // namespace

PullCall* PullCall::Start(ServiceContext& context, SessionList::Slot slot,
                          const grpc::CallbackServerContext& call,
                          const grpc::ByteBuffer& request_buffer, grpc::ByteBuffer* response) {
  auto pull = std::make_shared<PullCall>(context, slot, call, response);
  pull->self_ = pull;
  pull->trace_ = CallContext(context.tracer, call);
  context.rpcs.of(Rpc::kGooglePull).StartedUnary();
  pubsub::PullRequest request;
  grpc::ByteBuffer copy(request_buffer);
  grpc::ProtoBufferReader reader(&copy);
  const Instant deadline = DeadlineOf(call, context.engine.clock());
  absl::Status status = Error(Reason::kMalformedRequest,
                              "the request is not a serialized google.pubsub.v1.PullRequest");
  if (request.ParseFromZeroCopyStream(&reader)) {
    Caller caller;
    status = Authorize(context.access, call, Rpc::kGooglePull, request.subscription(), &caller);
    if (status.ok()) status = pull->Begin(request, deadline);
  }
  if (!status.ok()) pull->Answer(status);
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
  auto consumer = subscription_->Attach(shared_from_this(), {.client_id = {},
                                                             .leases_outlive_it = true,
                                                             .takes_one_delivery = true,
                                                             .waits_without_topic = true});
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
  // The field is deprecated, since an answer at once may be empty though there is something.
  at_once_ = request.return_immediately();
  const absl::Duration wait = at_once_ ? kLongestRead : kLongestWait;
  const Instant until =
      deadline == Instant::Never() ? now + wait : std::min(now + wait, deadline + -kBeforeDeadline);
  wanted_ = request.max_messages();
  subscription_->Grant(*consumer, wanted_, kMaxPullBytes);
  if (until <= now) {
    Answer(absl::OkStatus());
    return absl::OkStatus();
  }
  context_.engine.timers().At(until, [weak = weak_from_this()] {
    if (auto self = weak.lock()) self->Answer(absl::OkStatus());
  });
  LookForMore(/*waited=*/false);
  return absl::OkStatus();
}

void PullCall::Deliver(std::vector<Delivery>& deliveries) {
  bool late = false;
  bool full = false;
  bool wait_for_more = false;
  {
    MutexLock lock(mu_);
    late = answered_;
    if (!late) {
      wait_for_more = looks_ && collected_.empty();
      for (Delivery& delivery : deliveries) {
        messages_ += delivery.count();
        bytes_ += static_cast<int64_t>(delivery.batch->body_bytes(delivery.begin, delivery.end));
        collected_.push_back(std::move(delivery));
      }
      full = messages_ >= wanted_ || bytes_ >= kMaxPullBytes;
    }
  }
  // What came too late for this answer is for the next one.
  if (late) return subscription_->Return(deliveries);
  if (full) return Answer(absl::OkStatus());
  if (wait_for_more) LookSoon();
}

void PullCall::LookForMore(bool waited) {
  bool some = false;
  {
    MutexLock lock(mu_);
    if (answered_) return;
    looks_ = true;
    some = !collected_.empty();
  }
  // A subscription at rest has nothing for this call now: all there is was delivered, is leased or
  // waits for its time.
  const bool enough =
      some ? waited || subscription_->AtRest() : at_once_ && subscription_->AtRest();
  if (enough) return Answer(absl::OkStatus());
  if (some || at_once_) LookSoon();
}

void PullCall::LookSoon() {
  context_.engine.timers().At(context_.engine.clock().Now() + kFillTime, [weak = weak_from_this()] {
    if (auto self = weak.lock()) self->LookForMore(/*waited=*/true);
  });
}

void PullCall::Ended(absl::Status why) { Answer(why); }

void PullCall::Answer(const absl::Status& status) {
  ConsumerId consumer;
  std::vector<Delivery> deliveries;
  {
    MutexLock lock(mu_);
    if (std::exchange(answered_, true)) return;
    consumer = consumer_;
    deliveries.swap(collected_);
  }
  if (subscription_ != nullptr) {
    subscription_->Detach(consumer);
    EncodedDeliveries encoded{.buffer = EmptyMessage()};
    if (status.ok() && !deliveries.empty()) {
      const GoogleFrame frame(subscription_->id(), context_.engine.incarnation(),
                              subscription_->properties().dead_letters);
      encoded = EncodeDeliveries(&deliveries, kMaxPullBytes, "", frame);
    }
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
