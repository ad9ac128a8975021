#include "server/native/pubsub_service.h"

#include <utility>

#include "core/base/error.h"
#include "server/errors.h"
#include "server/native/publish_session.h"
#include "server/native/subscribe_session.h"

namespace sluice::server {
namespace {

// A stream that ends before it began.
class RefusedStream final : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  explicit RefusedStream(const grpc::Status& status) { Finish(status); }
  void OnDone() override { delete this; }
};

RefusedStream* Refuse(ServiceContext& context, Rpc rpc, const absl::Status& status) {
  CountRefusal(status, context.metrics.engine);
  const grpc::Status answer = ToGrpc(status);
  context.rpcs.of(rpc).started.Add();
  context.rpcs.of(rpc).Handled(answer.error_code());
  return new RefusedStream(answer);
}

// Publishes one batch from the bytes of a PublishBatchRequest; done(status or where) exactly once.
void PublishBytes(Engine& engine, const grpc::ByteBuffer& request, Topic::PublishDone done) {
  std::vector<grpc::Slice> slices;
  std::string flat;
  PublishScan scan;
  if (absl::Status status = ScanPublish(Flatten(request, &slices, &flat), &scan); !status.ok()) return done(status);
  auto name = TopicName::Parse(scan.topic);
  if (!name.ok()) return done(name.status());
  auto topic = engine.FindTopic(*name);
  if (!topic.ok()) return done(topic.status());
  BatchBuilder builder;
  for (std::string_view message : scan.messages) {
    if (absl::Status status = builder.Add(message); !status.ok()) return done(status);
  }
  auto batch = builder.Build();
  if (!batch.ok()) return done(batch.status());
  (*topic)->Publish(*std::move(batch), std::move(done));
}

}  // namespace

grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* PubSubService::Publish(grpc::CallbackServerContext*) {
  auto slot = context_.sessions.Reserve();
  if (!slot.ok()) return Refuse(context_, Rpc::kPublish, slot.status());
  return PublishSession::Start(context_, *slot);
}

grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* PubSubService::Subscribe(grpc::CallbackServerContext*) {
  auto slot = context_.sessions.Reserve();
  if (!slot.ok()) return Refuse(context_, Rpc::kSubscribe, slot.status());
  return SubscribeSession::Start(context_, *slot);
}

grpc::ServerUnaryReactor* PubSubService::PublishBatch(grpc::CallbackServerContext* call,
                                                      const grpc::ByteBuffer* request, grpc::ByteBuffer* response) {
  RpcCounters& counters = context_.rpcs.of(Rpc::kPublishBatch);
  counters.StartedUnary();
  grpc::ServerUnaryReactor* reactor = call->DefaultReactor();
  PublishBytes(context_.engine, *request, [this, &counters, reactor, response](absl::StatusOr<Published> published) {
    if (published.ok()) {
      v1::PublishBatchResponse answer;
      answer.set_first_message_id(published->first.value());
      answer.set_count(published->count);
      *response = ToBuffer(answer);
    } else {
      CountRefusal(published.status(), context_.metrics.engine);
    }
    const grpc::Status status = ToGrpc(published.status());
    counters.HandledUnary(status.error_code());
    reactor->Finish(status);
  });
  return reactor;
}

}  // namespace sluice::server
