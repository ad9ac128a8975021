#include "server/api/google/subscriber_service.h"

#include <utility>

#include "core/base/error.h"
#include "server/api/google/ack_ids.h"
#include "server/api/google/calls.h"
#include "server/api/google/convert.h"
#include "server/api/google/pull_call.h"
#include "server/api/google/streaming_pull_session.h"
#include "server/push/endpoint.h"
#include "server/rpc/authorization.h"
#include "server/rpc/call_end.h"
#include "server/rpc/errors.h"
#include "server/rpc/refused_stream.h"
#include "server/tracing/messaging_spans.h"

namespace sluice::server {
namespace {

// Of an Acknowledge or ModifyAckDeadline request; clients split theirs by it.
constexpr size_t kMaxAckRequestBytes = 524'288;

// The subscription of a request that carries ack ids, checked as far as both kinds are alike.
absl::StatusOr<std::shared_ptr<Subscription>> Check(ServiceContext& context,
                                                    const grpc::CallbackServerContext& call,
                                                    Rpc rpc, bool scanned, size_t bytes,
                                                    const AckScan& scan) {
  if (!scanned)
    return Error(Reason::kMalformedRequest,
                 "the request is not a serialized google.pubsub.v1 request");
  Caller caller;
  if (absl::Status may = Authorize(context.access, call, rpc, scan.subscription, &caller);
      !may.ok())
    return may;
  if (bytes > kMaxAckRequestBytes) return texts::RequestTooLarge(bytes, kMaxAckRequestBytes);
  auto name = SubscriptionName::Parse(scan.subscription);
  if (!name.ok()) return name.status();
  if (scan.ack_ids.empty()) return texts::NoAckIds();
  return context.engine.FindSubscription(*name);
}

// Ends a call with what became of its ids: OK, or the error that lists those that failed.
void FinishWith(ServiceContext& context, Rpc rpc, const grpc::CallbackServerContext& call,
                grpc::ServerUnaryReactor* reactor, const UnaryFinish& finish,
                const absl::StatusOr<AckIdsOutcome>& outcome) {
  if (!outcome.ok() || outcome->all_confirmed()) return finish(outcome.status());
  const absl::Status refused = Error(Reason::kInvalidAckId, texts::AckIdsFailed());
  CountRefusal(refused, context.metrics.engine);
  (void)EndCall(context, rpc, call, refused);
  // The same with the details that Google's clients look for.
  reactor->Finish(ExactlyOnceError(*outcome));
}

}  // namespace

pubsub::Subscription GoogleSubscriber::Described(const SubscriptionConfig& config) const {
  std::optional<TopicConfig> known;
  if (config.topic) {
    const auto topic = context_.engine.FindTopic(*config.topic);
    if (topic.ok() && (*topic)->id() == config.topic_id) known = (*topic)->config();
  }
  return ToGoogle(config, known);
}

grpc::ServerUnaryReactor* GoogleSubscriber::CreateSubscription(Call* call,
                                                               const pubsub::Subscription* request,
                                                               pubsub::Subscription* response) {
  return RunGoogle(context_, Rpc::kGoogleCreateSubscription, call, *request,
                   [&](const UnaryFinish& finish) {
                     admin_.CreateSubscription(FromGoogle(*request), StartPosition(Latest{}),
                                               Answering(finish, response));
                   });
}

grpc::ServerUnaryReactor* GoogleSubscriber::GetSubscription(
    Call* call, const pubsub::GetSubscriptionRequest* request, pubsub::Subscription* response) {
  return AnswerGoogle(context_, Rpc::kGoogleGetSubscription, call, *request, [&] {
    return Written(admin_.GetSubscription({request->subscription(), "subscription"}),
                   [&](const SubscriptionConfig& found) { *response = Described(found); });
  });
}

grpc::ServerUnaryReactor* GoogleSubscriber::UpdateSubscription(
    Call* call, const pubsub::UpdateSubscriptionRequest* request, pubsub::Subscription* response) {
  return RunGoogle(
      context_, Rpc::kGoogleUpdateSubscription, call, *request, [&](const UnaryFinish& finish) {
        admin_.UpdateSubscription(
            {request->subscription().name(), "subscription.name"},
            [&](SubscriptionConfig* config) {
              return MergeGoogle(request->update_mask(), request->subscription(), config);
            },
            Answering(finish, response));
      });
}

grpc::ServerUnaryReactor* GoogleSubscriber::ListSubscriptions(
    Call* call, const pubsub::ListSubscriptionsRequest* request,
    pubsub::ListSubscriptionsResponse* response) {
  return AnswerGoogle(context_, Rpc::kGoogleListSubscriptions, call, *request, [&] {
    return admin_.ListSubscriptions(*request, response,
                                    [&](const SubscriptionConfig& subscription) {
                                      *response->add_subscriptions() = Described(subscription);
                                      return subscription.name.full();
                                    });
  });
}

grpc::ServerUnaryReactor* GoogleSubscriber::DeleteSubscription(
    Call* call, const pubsub::DeleteSubscriptionRequest* request, Empty*) {
  return RunGoogle(context_, Rpc::kGoogleDeleteSubscription, call, *request,
                   [&](const UnaryFinish& finish) {
                     admin_.DeleteSubscription({request->subscription(), "subscription"}, finish);
                   });
}

grpc::ServerUnaryReactor* GoogleSubscriber::ModifyPushConfig(
    Call* call, const pubsub::ModifyPushConfigRequest* request, Empty*) {
  return RunGoogle(
      context_, Rpc::kGoogleModifyPushConfig, call, *request, [&](const UnaryFinish& finish) {
        admin_.UpdateSubscription(
            {request->subscription(), "subscription"},
            [&](SubscriptionConfig* config) { return SetPush(request->push_config(), config); },
            AnswerWith(finish, [](const SubscriptionConfig&) {}));
      });
}

grpc::ServerUnaryReactor* GoogleSubscriber::Acknowledge(Call* call, const grpc::ByteBuffer* request,
                                                        grpc::ByteBuffer* response) {
  *response = EmptyMessage();
  Reactor* reactor = call->DefaultReactor();
  const auto finish = BeginGoogle(context_, Rpc::kGoogleAcknowledge, *call, reactor);
  std::vector<grpc::Slice> slices;
  std::string flat;
  AckScan scan;
  const bool scanned = ScanAcknowledge(Flatten(*request, &slices, &flat), &scan);
  auto subscription =
      Check(context_, *call, Rpc::kGoogleAcknowledge, scanned, request->Length(), scan);
  if (!subscription.ok()) return finish(subscription.status()), reactor;
  AcknowledgeIds(context_.engine, *subscription, scan.ack_ids,
                 {context_.tracer, CallContext(context_.tracer, *call)},
                 [this, call, reactor, finish](const absl::StatusOr<AckIdsOutcome>& outcome) {
                   FinishWith(context_, Rpc::kGoogleAcknowledge, *call, reactor, finish, outcome);
                 });
  return reactor;
}

grpc::ServerUnaryReactor* GoogleSubscriber::ModifyAckDeadline(Call* call,
                                                              const grpc::ByteBuffer* request,
                                                              grpc::ByteBuffer* response) {
  *response = EmptyMessage();
  Reactor* reactor = call->DefaultReactor();
  const auto finish = BeginGoogle(context_, Rpc::kGoogleModifyAckDeadline, *call, reactor);
  std::vector<grpc::Slice> slices;
  std::string flat;
  AckScan scan;
  const bool scanned = ScanModifyAckDeadline(Flatten(*request, &slices, &flat), &scan);
  auto subscription =
      Check(context_, *call, Rpc::kGoogleModifyAckDeadline, scanned, request->Length(), scan);
  if (!subscription.ok()) return finish(subscription.status()), reactor;
  if (scan.deadline_seconds < 0 || absl::Seconds(scan.deadline_seconds) > kMaxAckDeadline) {
    return finish(texts::InvalidAckDeadline(scan.deadline_seconds)), reactor;
  }
  FinishWith(
      context_, Rpc::kGoogleModifyAckDeadline, *call, reactor, finish,
      ModifyDeadlineOfIds(context_.engine, *subscription, scan.ack_ids, scan.deadline_seconds,
                          {context_.tracer, CallContext(context_.tracer, *call)}));
  return reactor;
}

grpc::ServerUnaryReactor* GoogleSubscriber::Pull(Call* call, const grpc::ByteBuffer* request,
                                                 grpc::ByteBuffer* response) {
  auto slot = context_.sessions.Reserve(StreamKind::kSubscribe);
  if (!slot.ok()) {
    Reactor* reactor = call->DefaultReactor();
    BeginGoogle(context_, Rpc::kGooglePull, *call, reactor)(slot.status());
    return reactor;
  }
  return PullCall::Start(context_, *slot, *call, *request, response);
}

grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* GoogleSubscriber::StreamingPull(
    Call* call) {
  auto caller = context_.access.Identify(*call, EntryOf(Rpc::kGoogleStreamingPull).full_name);
  if (!caller.ok())
    return RefuseStream(context_, Rpc::kGoogleStreamingPull, *call, caller.status());
  auto slot = context_.sessions.Reserve(StreamKind::kSubscribe);
  if (!slot.ok()) return RefuseStream(context_, Rpc::kGoogleStreamingPull, *call, slot.status());
  return DeliveryStream::Start(
      std::make_shared<StreamingPullSession>(context_, *slot, *call, *std::move(caller)));
}

}  // namespace sluice::server
