#include "server/google/subscriber_service.h"

#include <utility>

#include "core/base/error.h"
#include "server/call_end.h"
#include "server/errors.h"
#include "server/google/ack_ids.h"
#include "server/google/calls.h"
#include "server/google/convert.h"
#include "server/google/pull_call.h"
#include "server/google/streaming_pull_session.h"
#include "server/push/endpoint.h"
#include "server/refused_stream.h"
#include "server/tracing/messaging_spans.h"

namespace sluice::server {
namespace {

// Of an Acknowledge or ModifyAckDeadline request; clients split theirs by it.
constexpr size_t kMaxAckRequestBytes = 524'288;

// The subscription of a request that carries ack ids, checked as far as both kinds are alike.
absl::StatusOr<std::shared_ptr<Subscription>> Check(ServiceContext& context, const grpc::CallbackServerContext& call, Rpc rpc,
                                                    bool scanned, size_t bytes, const AckScan& scan) {
  if (!scanned) return Error(Reason::kMalformedRequest, "the request is not a serialized google.pubsub.v1 request");
  Caller caller;
  if (absl::Status may = context.access.Authorise(call, rpc, scan.subscription, &caller); !may.ok()) return may;
  if (bytes > kMaxAckRequestBytes) return texts::RequestTooLarge(bytes, kMaxAckRequestBytes);
  auto name = SubscriptionName::Parse(scan.subscription);
  if (!name.ok()) return name.status();
  if (scan.ack_ids.empty()) return texts::NoAckIds();
  return context.engine.FindSubscription(*name);
}

// Ends a call with what became of its ids: OK, or the error that lists those that failed.
void FinishWith(ServiceContext& context, Rpc rpc, const grpc::CallbackServerContext& call, grpc::ServerUnaryReactor* reactor,
                const UnaryFinish& finish, const absl::StatusOr<AckIdsOutcome>& outcome) {
  if (!outcome.ok() || outcome->all_confirmed()) return finish(outcome.status());
  const absl::Status refused = Error(Reason::kInvalidAckId, texts::AckIdsFailed());
  CountRefusal(refused, context.metrics.engine);
  (void)EndCall(context, rpc, call, refused);
  // The same with the details that Google's clients look for.
  reactor->Finish(ExactlyOnceError(*outcome));
}

}  // namespace

grpc::ServerUnaryReactor* GoogleSubscriber::CreateSubscription(Call* call, const pubsub::Subscription* request,
                                                               pubsub::Subscription* response) {
  Reactor* reactor = call->DefaultReactor();
  auto finish = BeginGoogle(context_, Rpc::kGoogleCreateSubscription, *call, *request, reactor);
  if (!finish) return reactor;
  auto config = FromGoogle(*request);
  absl::Status status = config.ok() ? CheckPush(*config, context_.push_to_private) : config.status();
  if (!status.ok()) return finish(status), reactor;
  context_.engine.CreateSubscription(
      *std::move(config), Latest{}, [this, finish, response](const absl::StatusOr<SubscriptionConfig>& made) {
        if (made.ok()) *response = ToGoogle(*made, TopicOf(context_.engine, *made));
        finish(made.status());
      });
  return reactor;
}

grpc::ServerUnaryReactor* GoogleSubscriber::GetSubscription(Call* call, const pubsub::GetSubscriptionRequest* request,
                                                            pubsub::Subscription* response) {
  auto get = [&]() -> absl::Status {
    auto name = SubscriptionName::Parse(request->subscription());
    if (!name.ok()) return name.status();
    auto subscription = context_.engine.FindSubscription(*name);
    if (!subscription.ok()) return subscription.status();
    const SubscriptionConfig config = (*subscription)->config();
    *response = ToGoogle(config, TopicOf(context_.engine, config));
    return absl::OkStatus();
  };
  return AnswerGoogle(context_, Rpc::kGoogleGetSubscription, call, *request, get);
}

grpc::ServerUnaryReactor* GoogleSubscriber::UpdateSubscription(Call* call,
                                                               const pubsub::UpdateSubscriptionRequest* request,
                                                               pubsub::Subscription* response) {
  Reactor* reactor = call->DefaultReactor();
  auto finish = BeginGoogle(context_, Rpc::kGoogleUpdateSubscription, *call, *request, reactor);
  if (!finish) return reactor;
  auto name = SubscriptionName::Parse(request->subscription().name(), "subscription.name");
  if (!name.ok()) return finish(name.status()), reactor;
  auto subscription = context_.engine.FindSubscription(*name);
  if (!subscription.ok()) return finish(subscription.status()), reactor;
  SubscriptionConfig config = (*subscription)->config();
  absl::Status status = MergeGoogle(request->update_mask(), request->subscription(), &config);
  if (status.ok()) status = CheckPush(config, context_.push_to_private);
  if (!status.ok()) return finish(status), reactor;
  context_.engine.UpdateSubscription(
      std::move(config), [this, finish, response](const absl::StatusOr<SubscriptionConfig>& updated) {
        if (updated.ok()) *response = ToGoogle(*updated, TopicOf(context_.engine, *updated));
        finish(updated.status());
      });
  return reactor;
}

grpc::ServerUnaryReactor* GoogleSubscriber::ListSubscriptions(Call* call,
                                                              const pubsub::ListSubscriptionsRequest* request,
                                                              pubsub::ListSubscriptionsResponse* response) {
  auto list = [&]() -> absl::Status {
    if (absl::Status status = CheckProjectName(request->project(), "project"); !status.ok()) return status;
    return ListPage(
        "subscriptions of " + request->project(), *request, response,
        [&](std::string_view after, size_t limit) {
          return context_.engine.ListSubscriptions(request->project(), after, limit);
        },
        [&](const auto& subscription) {
          const SubscriptionConfig config = subscription->config();
          *response->add_subscriptions() = ToGoogle(config, TopicOf(context_.engine, config));
          return config.name.full();
        });
  };
  return AnswerGoogle(context_, Rpc::kGoogleListSubscriptions, call, *request, list);
}

grpc::ServerUnaryReactor* GoogleSubscriber::DeleteSubscription(Call* call,
                                                               const pubsub::DeleteSubscriptionRequest* request, Empty*) {
  Reactor* reactor = call->DefaultReactor();
  auto finish = BeginGoogle(context_, Rpc::kGoogleDeleteSubscription, *call, *request, reactor);
  if (!finish) return reactor;
  auto name = SubscriptionName::Parse(request->subscription());
  name.ok() ? context_.engine.DeleteSubscription(*name, finish) : finish(name.status());
  return reactor;
}

grpc::ServerUnaryReactor* GoogleSubscriber::ModifyPushConfig(Call* call, const pubsub::ModifyPushConfigRequest* request,
                                                             Empty*) {
  Reactor* reactor = call->DefaultReactor();
  auto finish = BeginGoogle(context_, Rpc::kGoogleModifyPushConfig, *call, *request, reactor);
  if (!finish) return reactor;
  auto name = SubscriptionName::Parse(request->subscription());
  if (!name.ok()) return finish(name.status()), reactor;
  auto subscription = context_.engine.FindSubscription(*name);
  if (!subscription.ok()) return finish(subscription.status()), reactor;
  SubscriptionConfig config = (*subscription)->config();
  absl::Status status = SetPush(request->push_config(), &config);
  if (status.ok()) status = CheckPush(config, context_.push_to_private);
  if (!status.ok()) return finish(status), reactor;
  context_.engine.UpdateSubscription(
      std::move(config), [finish](const absl::StatusOr<SubscriptionConfig>& updated) { finish(updated.status()); });
  return reactor;
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
  auto subscription = Check(context_, *call, Rpc::kGoogleAcknowledge, scanned, request->Length(), scan);
  if (!subscription.ok()) return finish(subscription.status()), reactor;
  AcknowledgeIds(context_.engine, *subscription, scan.ack_ids,
                 {context_.tracer, CallContext(context_.tracer, *call)},
                 [this, call, reactor, finish](const absl::StatusOr<AckIdsOutcome>& outcome) {
                   FinishWith(context_, Rpc::kGoogleAcknowledge, *call, reactor, finish, outcome);
                 });
  return reactor;
}

grpc::ServerUnaryReactor* GoogleSubscriber::ModifyAckDeadline(Call* call, const grpc::ByteBuffer* request,
                                                              grpc::ByteBuffer* response) {
  *response = EmptyMessage();
  Reactor* reactor = call->DefaultReactor();
  const auto finish = BeginGoogle(context_, Rpc::kGoogleModifyAckDeadline, *call, reactor);
  std::vector<grpc::Slice> slices;
  std::string flat;
  AckScan scan;
  const bool scanned = ScanModifyAckDeadline(Flatten(*request, &slices, &flat), &scan);
  auto subscription = Check(context_, *call, Rpc::kGoogleModifyAckDeadline, scanned, request->Length(), scan);
  if (!subscription.ok()) return finish(subscription.status()), reactor;
  if (scan.deadline_seconds < 0 || absl::Seconds(scan.deadline_seconds) > kMaxAckDeadline) {
    return finish(texts::InvalidAckDeadline(scan.deadline_seconds)), reactor;
  }
  FinishWith(context_, Rpc::kGoogleModifyAckDeadline, *call, reactor, finish,
             ModifyDeadlineOfIds(context_.engine, *subscription, scan.ack_ids, scan.deadline_seconds,
                                 {context_.tracer, CallContext(context_.tracer, *call)}));
  return reactor;
}

grpc::ServerUnaryReactor* GoogleSubscriber::Pull(Call* call, const grpc::ByteBuffer* request, grpc::ByteBuffer* response) {
  auto slot = context_.sessions.Reserve(StreamKind::kSubscribe);
  if (!slot.ok()) {
    Reactor* reactor = call->DefaultReactor();
    BeginGoogle(context_, Rpc::kGooglePull, *call, reactor)(slot.status());
    return reactor;
  }
  return PullCall::Start(context_, *slot, *call, *request, response);
}

grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* GoogleSubscriber::StreamingPull(Call* call) {
  auto caller = context_.access.Identify(*call, Rpc::kGoogleStreamingPull);
  if (!caller.ok()) return RefuseStream(context_, Rpc::kGoogleStreamingPull, *call, caller.status());
  auto slot = context_.sessions.Reserve(StreamKind::kSubscribe);
  if (!slot.ok()) return RefuseStream(context_, Rpc::kGoogleStreamingPull, *call, slot.status());
  return DeliveryStream::Start(std::make_shared<StreamingPullSession>(context_, *slot, *call, *std::move(caller)));
}

}  // namespace sluice::server
