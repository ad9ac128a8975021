#include "server/api/native/pubsub_service.h"

#include <utility>

#include "core/base/error.h"
#include "server/api/native/publish_request.h"
#include "server/api/native/publish_session.h"
#include "server/api/native/subscribe_session.h"
#include "server/rpc/admit_publish.h"
#include "server/rpc/authorization.h"
#include "server/rpc/call_end.h"
#include "server/rpc/errors.h"
#include "server/rpc/refused_stream.h"

namespace sluice::server {
namespace {

// Publishes one batch from the bytes of a PublishBatchRequest; done(status or where) exactly once.
// The answer gets what failed in partial mode.
void PublishBytes(ServiceContext& context, grpc::CallbackServerContext& call,
                  const grpc::ByteBuffer& request, v1::PublishBatchResponse* answer,
                  Topic::PublishDone done) {
  std::vector<grpc::Slice> slices;
  std::string flat;
  PublishScan scan;
  if (absl::Status status = ScanPublish(Flatten(request, &slices, &flat), &scan); !status.ok())
    return done(status);
  Caller caller;
  if (absl::Status may = Authorize(context.access, call, Rpc::kPublishBatch, scan.topic, &caller);
      !may.ok())
    return done(may);
  auto name = TopicName::Parse(scan.topic);
  if (!name.ok()) return done(name.status());
  auto topic = context.engine.FindTopic(*name);
  if (!topic.ok()) return done(topic.status());
  BatchBuilder builder;
  auto batch = BuildBatch(scan, &builder);
  done = EndPublishBefore(std::move(done),
                          BeginPublish(context.tracer, name->full(), scan.messages, BatchOf(batch),
                                       CallContext(context.tracer, call), CallKind::kUnary));
  if (!batch.ok()) return done(batch.status());
  SetFailures(builder.refusals(), context.metrics.engine, answer->mutable_failures());
  if (!*batch) return done(Published{});
  (*batch)->set_deadline(DeadlineOf(call, context.engine.clock()));
  const uint64_t publisher =
      context.admission.limited() ? std::hash<std::string>()(call.peer()) : 0;
  AdmitAndPublish(context, caller, *name, *std::move(topic), publisher, *std::move(batch),
                  std::move(done));
}

}  // namespace

grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* PubSubService::Publish(
    grpc::CallbackServerContext* call) {
  auto caller = context_.access.Identify(*call, EntryOf(Rpc::kPublish).full_name);
  if (!caller.ok()) return RefuseStream(context_, Rpc::kPublish, *call, caller.status());
  auto slot = context_.sessions.Reserve(StreamKind::kPublish);
  if (!slot.ok()) return RefuseStream(context_, Rpc::kPublish, *call, slot.status());
  return PublishSession::Start(context_, *slot, *call, *std::move(caller));
}

grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* PubSubService::Subscribe(
    grpc::CallbackServerContext* call) {
  auto caller = context_.access.Identify(*call, EntryOf(Rpc::kSubscribe).full_name);
  if (!caller.ok()) return RefuseStream(context_, Rpc::kSubscribe, *call, caller.status());
  auto slot = context_.sessions.Reserve(StreamKind::kSubscribe);
  if (!slot.ok()) return RefuseStream(context_, Rpc::kSubscribe, *call, slot.status());
  return DeliveryStream::Start(
      std::make_shared<SubscribeSession>(context_, *slot, *call, *std::move(caller)));
}

grpc::ServerUnaryReactor* PubSubService::PublishBatch(grpc::CallbackServerContext* call,
                                                      const grpc::ByteBuffer* request,
                                                      grpc::ByteBuffer* response) {
  context_.rpcs.of(Rpc::kPublishBatch).StartedUnary();
  grpc::ServerUnaryReactor* reactor = call->DefaultReactor();
  auto answer = std::make_shared<v1::PublishBatchResponse>();
  PublishBytes(context_, *call, *request, answer.get(),
               [this, call, reactor, response, answer](absl::StatusOr<Published> published) {
                 if (published.ok()) {
                   answer->set_first_message_id(published->first.value());
                   answer->set_count(published->count);
                   *response = ToBuffer(*answer);
                 } else {
                   CountRefusal(published.status(), context_.metrics.engine);
                 }
                 reactor->Finish(EndUnary(context_, Rpc::kPublishBatch, *call, published.status()));
               });
  return reactor;
}

}  // namespace sluice::server
