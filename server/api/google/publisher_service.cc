#include "server/api/google/publisher_service.h"

#include <algorithm>
#include <utility>

#include "core/base/error.h"
#include "fmt/format.h"
#include "server/api/google/calls.h"
#include "server/api/google/convert.h"
#include "server/api/google/wire.h"
#include "server/rpc/admit_publish.h"
#include "server/rpc/authorization.h"
#include "server/rpc/errors.h"

namespace sluice::server {
namespace {

// Names of the topic's subscriptions, or of its snapshots, in order.
std::vector<std::string> NamesAt(const Topic& topic, bool snapshots, std::string_view after,
                                 size_t limit) {
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
absl::Status ListAt(const AdminOperations& admin, bool snapshots, const Request& request,
                    Response* response, google::protobuf::RepeatedPtrField<std::string>* names) {
  auto topic = admin.FindTopic({request.topic(), "topic"});
  if (!topic.ok()) return topic.status();
  return ListPage(
      fmt::format("{} at {}", snapshots ? "snapshots" : "subscriptions", request.topic()), request,
      response,
      [&](std::string_view after, size_t limit) {
        return NamesAt(**topic, snapshots, after, limit);
      },
      [&](const std::string& found) { return *names->Add() = found; });
}

}  // namespace

grpc::ServerUnaryReactor* GooglePublisher::CreateTopic(Call* call, const pubsub::Topic* request,
                                                       pubsub::Topic* response) {
  return RunGoogle(context_, Rpc::kGoogleCreateTopic, call, *request,
                   [&](const UnaryFinish& finish) {
                     admin_.CreateTopic(FromGoogle(*request),
                                        AnswerWith(finish, [response](const TopicConfig& made) {
                                          *response = ToGoogle(made);
                                        }));
                   });
}

grpc::ServerUnaryReactor* GooglePublisher::UpdateTopic(Call* call,
                                                       const pubsub::UpdateTopicRequest* request,
                                                       pubsub::Topic* response) {
  return RunGoogle(
      context_, Rpc::kGoogleUpdateTopic, call, *request, [&](const UnaryFinish& finish) {
        admin_.UpdateTopic(
            {request->topic().name(), "topic.name"},
            [&](TopicConfig* config) {
              return MergeGoogle(request->update_mask(), request->topic(), config);
            },
            AnswerWith(finish,
                       [response](const TopicConfig& updated) { *response = ToGoogle(updated); }));
      });
}

void GooglePublisher::PublishBytes(Call& call, const grpc::ByteBuffer& request,
                                   Topic::PublishDone done) {
  std::vector<grpc::Slice> slices;
  std::string flat;
  GooglePublishScan scan;
  if (!ScanPublish(Flatten(request, &slices, &flat), &scan)) {
    return done(
        Error(Reason::kMalformedRequest, "the request is not a serialized publish request"));
  }
  Caller caller;
  if (absl::Status may = Authorize(context_.access, call, Rpc::kGooglePublish, scan.topic, &caller);
      !may.ok())
    return done(may);
  if (request.Length() > kMaxRequestBytes)
    return done(texts::RequestTooLarge(request.Length(), kMaxRequestBytes));
  auto name = TopicName::Parse(scan.topic);
  if (!name.ok()) return done(name.status());
  if (scan.messages.empty()) return done(texts::TooFewMessages());
  if (scan.messages.size() > kMaxMessagesPerBatch)
    return done(texts::TooManyMessages(scan.messages.size()));
  auto topic = context_.engine.FindTopic(*name);
  if (!topic.ok()) return done(topic.status());
  auto batch = BuildBatch(scan.messages);
  done = EndPublishBefore(std::move(done),
                          BeginPublish(context_.tracer, name->full(), scan.messages, BatchOf(batch),
                                       CallContext(context_.tracer, call), CallKind::kUnary));
  if (!batch.ok()) return done(batch.status());
  (*batch)->set_deadline(DeadlineOf(call, context_.engine.clock()));
  const uint64_t publisher =
      context_.admission.limited() ? std::hash<std::string>()(call.peer()) : 0;
  AdmitAndPublish(context_, caller, *name, *std::move(topic), publisher, *std::move(batch),
                  std::move(done));
}

grpc::ServerUnaryReactor* GooglePublisher::Publish(Call* call, const grpc::ByteBuffer* request,
                                                   grpc::ByteBuffer* response) {
  Reactor* reactor = call->DefaultReactor();
  PublishBytes(*call, *request,
               [finish = BeginGoogle(context_, Rpc::kGooglePublish, *call, reactor),
                response](const absl::StatusOr<Published>& published) {
                 if (published.ok())
                   *response = EncodeMessageIds(published->first, published->count);
                 finish(published.status());
               });
  return reactor;
}

grpc::ServerUnaryReactor* GooglePublisher::GetTopic(Call* call,
                                                    const pubsub::GetTopicRequest* request,
                                                    pubsub::Topic* response) {
  return AnswerGoogle(context_, Rpc::kGoogleGetTopic, call, *request, [&] {
    return Written(admin_.GetTopic({request->topic(), "topic"}),
                   [&](const TopicConfig& topic) { *response = ToGoogle(topic); });
  });
}

grpc::ServerUnaryReactor* GooglePublisher::ListTopics(Call* call,
                                                      const pubsub::ListTopicsRequest* request,
                                                      pubsub::ListTopicsResponse* response) {
  return AnswerGoogle(context_, Rpc::kGoogleListTopics, call, *request, [&] {
    return admin_.ListTopics(*request, response, [&](const TopicConfig& topic) {
      *response->add_topics() = ToGoogle(topic);
      return topic.name.full();
    });
  });
}

grpc::ServerUnaryReactor* GooglePublisher::ListTopicSubscriptions(
    Call* call, const pubsub::ListTopicSubscriptionsRequest* request,
    pubsub::ListTopicSubscriptionsResponse* response) {
  return AnswerGoogle(context_, Rpc::kGoogleListTopicSubscriptions, call, *request, [&] {
    return ListAt(admin_, /*snapshots=*/false, *request, response,
                  response->mutable_subscriptions());
  });
}

grpc::ServerUnaryReactor* GooglePublisher::ListTopicSnapshots(
    Call* call, const pubsub::ListTopicSnapshotsRequest* request,
    pubsub::ListTopicSnapshotsResponse* response) {
  return AnswerGoogle(context_, Rpc::kGoogleListTopicSnapshots, call, *request, [&] {
    return ListAt(admin_, /*snapshots=*/true, *request, response, response->mutable_snapshots());
  });
}

grpc::ServerUnaryReactor* GooglePublisher::DeleteTopic(Call* call,
                                                       const pubsub::DeleteTopicRequest* request,
                                                       google::protobuf::Empty*) {
  return RunGoogle(context_, Rpc::kGoogleDeleteTopic, call, *request,
                   [&](const UnaryFinish& finish) {
                     admin_.DeleteTopic({request->topic(), "topic"}, finish);
                   });
}

grpc::ServerUnaryReactor* GooglePublisher::DetachSubscription(
    Call* call, const pubsub::DetachSubscriptionRequest* request,
    pubsub::DetachSubscriptionResponse*) {
  return RunGoogle(context_, Rpc::kGoogleDetachSubscription, call, *request,
                   [&](const UnaryFinish& finish) {
                     admin_.DetachSubscription({request->subscription(), "subscription"}, finish);
                   });
}

}  // namespace sluice::server
