#include "server/google/publisher_service.h"

#include <algorithm>
#include <utility>

#include "core/base/error.h"
#include "fmt/format.h"
#include "server/errors.h"
#include "server/google/calls.h"
#include "server/google/convert.h"
#include "server/google/wire.h"
#include "server/native/publish_request.h"

namespace sluice::server {
namespace {

// Names of the topic's subscriptions, or of its snapshots, in order.
std::vector<std::string> NamesAt(const Topic& topic, bool snapshots, std::string_view after, size_t limit) {
  std::vector<std::string> names;
  for (const auto list = topic.subscriptions(); const auto& subscription : *list) {
    if (subscription->ephemeral() || subscription->is_snapshot() != snapshots) continue;
    const SubscriptionName name = subscription->config().name;
    std::string full = snapshots ? SnapshotNameOf(name).full() : name.full();
    if (full > after) names.push_back(std::move(full));
  }
  std::sort(names.begin(), names.end());
  if (names.size() > limit) names.resize(limit);
  return names;
}

absl::StatusOr<Ref<Batch>> BuildBatch(const std::vector<std::string_view>& messages) {
  BatchBuilder builder;
  for (std::string_view message : messages) {
    if (absl::Status status = builder.Add(message); !status.ok()) return status;
  }
  return builder.Build();
}

// Lists the names of what hangs at a topic, its subscriptions or its snapshots.
template <class Request, class Response>
absl::Status ListAt(const Engine& engine, bool snapshots, const Request& request, Response* response,
                    google::protobuf::RepeatedPtrField<std::string>* names) {
  auto name = TopicName::Parse(request.topic(), "topic");
  if (!name.ok()) return name.status();
  auto topic = engine.FindTopic(*name);
  if (!topic.ok()) return topic.status();
  return ListPage(
      fmt::format("{} at {}", snapshots ? "snapshots" : "subscriptions", name->full()), request, response,
      [&](std::string_view after, size_t limit) { return NamesAt(**topic, snapshots, after, limit); },
      [&](const std::string& found) { return *names->Add() = found; });
}

}  // namespace

grpc::ServerUnaryReactor* GooglePublisher::CreateTopic(Call* call, const pubsub::Topic* request, pubsub::Topic* response) {
  Reactor* reactor = call->DefaultReactor();
  auto finish = BeginGoogle(context_, Rpc::kGoogleCreateTopic, *call, *request, reactor);
  if (!finish) return reactor;
  auto config = FromGoogle(*request);
  if (!config.ok()) return finish(config.status()), reactor;
  context_.engine.CreateTopic(*std::move(config), [finish, response](const absl::StatusOr<TopicConfig>& made) {
    if (made.ok()) *response = ToGoogle(*made);
    finish(made.status());
  });
  return reactor;
}

grpc::ServerUnaryReactor* GooglePublisher::UpdateTopic(Call* call, const pubsub::UpdateTopicRequest* request,
                                                       pubsub::Topic* response) {
  Reactor* reactor = call->DefaultReactor();
  auto finish = BeginGoogle(context_, Rpc::kGoogleUpdateTopic, *call, *request, reactor);
  if (!finish) return reactor;
  auto name = TopicName::Parse(request->topic().name(), "topic.name");
  if (!name.ok()) return finish(name.status()), reactor;
  auto topic = context_.engine.FindTopic(*name);
  if (!topic.ok()) return finish(topic.status()), reactor;
  TopicConfig config = (*topic)->config();
  if (absl::Status status = MergeGoogle(request->update_mask(), request->topic(), &config); !status.ok()) {
    return finish(status), reactor;
  }
  context_.engine.UpdateTopic(std::move(config), [finish, response](const absl::StatusOr<TopicConfig>& updated) {
    if (updated.ok()) *response = ToGoogle(*updated);
    finish(updated.status());
  });
  return reactor;
}

void GooglePublisher::PublishBytes(Call& call, const grpc::ByteBuffer& request, Topic::PublishDone done) {
  std::vector<grpc::Slice> slices;
  std::string flat;
  PublishScan scan;
  // A PublishRequest has the fields 1 and 2 of ours, and no others.
  if (absl::Status status = ScanPublish(Flatten(request, &slices, &flat), &scan); !status.ok()) return done(status);
  Caller caller;
  if (absl::Status may = context_.access.Authorise(call, Rpc::kGooglePublish, scan.topic, &caller); !may.ok()) return done(may);
  if (request.Length() > kMaxRequestBytes) return done(texts::RequestTooLarge(request.Length(), kMaxRequestBytes));
  auto name = TopicName::Parse(scan.topic);
  if (!name.ok()) return done(name.status());
  if (scan.messages.empty()) return done(texts::TooFewMessages());
  if (scan.messages.size() > kMaxMessagesPerBatch) return done(texts::TooManyMessages(scan.messages.size()));
  auto topic = context_.engine.FindTopic(*name);
  if (!topic.ok()) return done(topic.status());
  auto batch = BuildBatch(scan.messages);
  done = EndPublishBefore(std::move(done), BeginPublish(context_.tracer, name->full(), scan.messages, BatchOf(batch),
                                                        CallContext(context_.tracer, call), CallKind::kUnary));
  if (!batch.ok()) return done(batch.status());
  (*batch)->set_deadline(DeadlineOf(call, context_.engine.clock()));
  const uint64_t publisher = context_.admission.limited() ? std::hash<std::string>()(call.peer()) : 0;
  AdmitAndPublish(context_, caller, *name, *std::move(topic), publisher, *std::move(batch), std::move(done));
}

grpc::ServerUnaryReactor* GooglePublisher::Publish(Call* call, const grpc::ByteBuffer* request,
                                                   grpc::ByteBuffer* response) {
  Reactor* reactor = call->DefaultReactor();
  PublishBytes(*call, *request,
               [finish = BeginGoogle(context_, Rpc::kGooglePublish, *call, reactor),
                response](const absl::StatusOr<Published>& published) {
                 if (published.ok()) *response = EncodeMessageIds(published->first, published->count);
                 finish(published.status());
               });
  return reactor;
}

grpc::ServerUnaryReactor* GooglePublisher::GetTopic(Call* call, const pubsub::GetTopicRequest* request,
                                                    pubsub::Topic* response) {
  auto get = [&]() -> absl::Status {
    auto name = TopicName::Parse(request->topic(), "topic");
    if (!name.ok()) return name.status();
    auto topic = context_.engine.FindTopic(*name);
    if (topic.ok()) *response = ToGoogle((*topic)->config());
    return topic.status();
  };
  return AnswerGoogle(context_, Rpc::kGoogleGetTopic, call, *request, get);
}

grpc::ServerUnaryReactor* GooglePublisher::ListTopics(Call* call, const pubsub::ListTopicsRequest* request,
                                                      pubsub::ListTopicsResponse* response) {
  auto list = [&]() -> absl::Status {
    if (absl::Status status = CheckProjectName(request->project(), "project"); !status.ok()) return status;
    return ListPage(
        "topics of " + request->project(), *request, response,
        [&](std::string_view after, size_t limit) { return context_.engine.ListTopics(request->project(), after, limit); },
        [&](const auto& topic) {
          *response->add_topics() = ToGoogle(topic->config());
          return response->topics().rbegin()->name();
        });
  };
  return AnswerGoogle(context_, Rpc::kGoogleListTopics, call, *request, list);
}

grpc::ServerUnaryReactor* GooglePublisher::ListTopicSubscriptions(
    Call* call, const pubsub::ListTopicSubscriptionsRequest* request, pubsub::ListTopicSubscriptionsResponse* response) {
  return AnswerGoogle(context_, Rpc::kGoogleListTopicSubscriptions, call, *request, [&] {
    return ListAt(context_.engine, /*snapshots=*/false, *request, response, response->mutable_subscriptions());
  });
}

grpc::ServerUnaryReactor* GooglePublisher::ListTopicSnapshots(Call* call, const pubsub::ListTopicSnapshotsRequest* request,
                                                              pubsub::ListTopicSnapshotsResponse* response) {
  return AnswerGoogle(context_, Rpc::kGoogleListTopicSnapshots, call, *request, [&] {
    return ListAt(context_.engine, /*snapshots=*/true, *request, response, response->mutable_snapshots());
  });
}

grpc::ServerUnaryReactor* GooglePublisher::DeleteTopic(Call* call, const pubsub::DeleteTopicRequest* request,
                                                       google::protobuf::Empty*) {
  Reactor* reactor = call->DefaultReactor();
  auto finish = BeginGoogle(context_, Rpc::kGoogleDeleteTopic, *call, *request, reactor);
  if (!finish) return reactor;
  auto name = TopicName::Parse(request->topic(), "topic");
  name.ok() ? context_.engine.DeleteTopic(*name, finish) : finish(name.status());
  return reactor;
}

grpc::ServerUnaryReactor* GooglePublisher::DetachSubscription(Call* call,
                                                              const pubsub::DetachSubscriptionRequest* request,
                                                              pubsub::DetachSubscriptionResponse*) {
  Reactor* reactor = call->DefaultReactor();
  auto finish = BeginGoogle(context_, Rpc::kGoogleDetachSubscription, *call, *request, reactor);
  if (!finish) return reactor;
  auto name = SubscriptionName::Parse(request->subscription(), "subscription");
  name.ok() ? context_.engine.DetachSubscription(*name, finish) : finish(name.status());
  return reactor;
}

}  // namespace sluice::server
