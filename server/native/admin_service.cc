#include "server/native/admin_service.h"

#include <utility>

#include "core/base/error.h"
#include "core/base/strings.h"
#include "core/base/version.h"
#include "fmt/format.h"
#include "server/native/checkpoint_call.h"
#include "server/native/convert.h"
#include "server/native/update_mask.h"
#include "server/paging.h"
#include "server/push/endpoint.h"

namespace sluice::server {

grpc::ServerUnaryReactor* AdminService::CreateTopic(Call* call, const v1::CreateTopicRequest* request,
                                                    v1::CreateTopicResponse* response) {
  Reactor* reactor = call->DefaultReactor();
  auto finish = Begin(Rpc::kCreateTopic, call, *request, reactor);
  if (!finish) return reactor;
  auto config = FromProto(request->topic());
  if (!config.ok()) return finish(config.status()), reactor;
  context_.engine.CreateTopic(*std::move(config), [finish, response](const absl::StatusOr<TopicConfig>& made) {
    if (made.ok()) *response->mutable_topic() = ToProto(*made);
    finish(made.status());
  });
  return reactor;
}

grpc::ServerUnaryReactor* AdminService::GetTopic(Call* call, const v1::GetTopicRequest* request,
                                                 v1::GetTopicResponse* response) {
  auto get = [&]() -> absl::Status {
    auto name = TopicName::Parse(request->name(), "name");
    if (!name.ok()) return name.status();
    auto topic = context_.engine.FindTopic(*name);
    if (topic.ok()) *response->mutable_topic() = ToProto((*topic)->config());
    return topic.status();
  };
  return Answer(Rpc::kGetTopic, call, *request, get);
}

grpc::ServerUnaryReactor* AdminService::ListTopics(Call* call, const v1::ListTopicsRequest* request,
                                                   v1::ListTopicsResponse* response) {
  auto list = [&]() -> absl::Status {
    if (absl::Status status = CheckProjectName(request->project(), "project"); !status.ok()) return status;
    return ListPage(
        "topics of " + request->project(), *request, response,
        [&](std::string_view after, size_t limit) { return context_.engine.ListTopics(request->project(), after, limit); },
        [&](const auto& topic) {
          *response->add_topics() = ToProto(topic->config());
          return response->topics().rbegin()->name();
        });
  };
  return Answer(Rpc::kListTopics, call, *request, list);
}

grpc::ServerUnaryReactor* AdminService::UpdateTopic(Call* call, const v1::UpdateTopicRequest* request,
                                                    v1::UpdateTopicResponse* response) {
  Reactor* reactor = call->DefaultReactor();
  auto finish = Begin(Rpc::kUpdateTopic, call, *request, reactor);
  if (!finish) return reactor;
  auto wanted = FromProto(request->topic());
  if (!wanted.ok()) return finish(wanted.status()), reactor;
  auto topic = context_.engine.FindTopic(wanted->name);
  if (!topic.ok()) return finish(topic.status()), reactor;
  TopicConfig config = (*topic)->config();
  if (absl::Status status = Merge(request->update_mask(), *wanted, &config); !status.ok()) {
    return finish(status), reactor;
  }
  context_.engine.UpdateTopic(std::move(config), [finish, response](const absl::StatusOr<TopicConfig>& updated) {
    if (updated.ok()) *response->mutable_topic() = ToProto(*updated);
    finish(updated.status());
  });
  return reactor;
}

grpc::ServerUnaryReactor* AdminService::DeleteTopic(Call* call, const v1::DeleteTopicRequest* request,
                                                    v1::DeleteTopicResponse*) {
  Reactor* reactor = call->DefaultReactor();
  auto finish = Begin(Rpc::kDeleteTopic, call, *request, reactor);
  if (!finish) return reactor;
  auto name = TopicName::Parse(request->name(), "name");
  name.ok() ? context_.engine.DeleteTopic(*name, finish) : finish(name.status());
  return reactor;
}

grpc::ServerUnaryReactor* AdminService::CreateSubscription(Call* call, const v1::CreateSubscriptionRequest* request,
                                                           v1::CreateSubscriptionResponse* response) {
  Reactor* reactor = call->DefaultReactor();
  auto finish = Begin(Rpc::kCreateSubscription, call, *request, reactor);
  if (!finish) return reactor;
  auto config = FromProto(request->subscription());
  absl::Status status = config.ok() ? CheckPush(*config, context_.push_to_private) : config.status();
  if (!status.ok()) return finish(status), reactor;
  auto start = FromProto(request->subscription().start(), "subscription.start");
  if (!start.ok()) return finish(start.status()), reactor;
  context_.engine.CreateSubscription(*std::move(config), *start,
                                     [finish, response](const absl::StatusOr<SubscriptionConfig>& made) {
                                       if (made.ok()) *response->mutable_subscription() = ToProto(*made);
                                       finish(made.status());
                                     });
  return reactor;
}

grpc::ServerUnaryReactor* AdminService::GetSubscription(Call* call, const v1::GetSubscriptionRequest* request,
                                                        v1::GetSubscriptionResponse* response) {
  auto get = [&]() -> absl::Status {
    auto name = SubscriptionName::Parse(request->name(), "name");
    if (!name.ok()) return name.status();
    auto subscription = context_.engine.FindSubscription(*name);
    if (subscription.ok()) *response->mutable_subscription() = ToProto((*subscription)->config());
    return subscription.status();
  };
  return Answer(Rpc::kGetSubscription, call, *request, get);
}

grpc::ServerUnaryReactor* AdminService::ListSubscriptions(Call* call, const v1::ListSubscriptionsRequest* request,
                                                          v1::ListSubscriptionsResponse* response) {
  auto list = [&]() -> absl::Status {
    if (absl::Status status = CheckProjectName(request->project(), "project"); !status.ok()) return status;
    if (!request->topic().empty()) {
      if (auto topic = TopicName::Parse(request->topic()); !topic.ok()) return topic.status();
    }
    const auto of_topic = [&](std::string_view after, size_t limit) {
      std::vector<v1::Subscription> found;
      for (const auto& subscription : context_.engine.ListSubscriptions(request->project(), after, SIZE_MAX)) {
        v1::Subscription one = ToProto(subscription->config());
        if (!request->topic().empty() && one.topic() != request->topic()) continue;
        found.push_back(std::move(one));
        if (found.size() == limit) break;
      }
      return found;
    };
    return ListPage(fmt::format("subscriptions of {} {}", request->project(), request->topic()), *request, response,
                    of_topic, [&](const v1::Subscription& subscription) {
                      *response->add_subscriptions() = subscription;
                      return subscription.name();
                    });
  };
  return Answer(Rpc::kListSubscriptions, call, *request, list);
}

grpc::ServerUnaryReactor* AdminService::UpdateSubscription(Call* call, const v1::UpdateSubscriptionRequest* request,
                                                           v1::UpdateSubscriptionResponse* response) {
  Reactor* reactor = call->DefaultReactor();
  auto finish = Begin(Rpc::kUpdateSubscription, call, *request, reactor);
  if (!finish) return reactor;
  auto name = SubscriptionName::Parse(request->subscription().name(), "subscription.name");
  if (!name.ok()) return finish(name.status()), reactor;
  auto subscription = context_.engine.FindSubscription(*name);
  if (!subscription.ok()) return finish(subscription.status()), reactor;
  SubscriptionConfig config = (*subscription)->config();
  absl::Status status = Merge(request->update_mask(), request->subscription(), &config);
  if (status.ok()) status = CheckPush(config, context_.push_to_private);
  if (!status.ok()) return finish(status), reactor;
  context_.engine.UpdateSubscription(std::move(config),
                                     [finish, response](const absl::StatusOr<SubscriptionConfig>& updated) {
                                       if (updated.ok()) *response->mutable_subscription() = ToProto(*updated);
                                       finish(updated.status());
                                     });
  return reactor;
}

grpc::ServerUnaryReactor* AdminService::DeleteSubscription(Call* call, const v1::DeleteSubscriptionRequest* request,
                                                           v1::DeleteSubscriptionResponse*) {
  Reactor* reactor = call->DefaultReactor();
  auto finish = Begin(Rpc::kDeleteSubscription, call, *request, reactor);
  if (!finish) return reactor;
  auto name = SubscriptionName::Parse(request->name(), "name");
  name.ok() ? context_.engine.DeleteSubscription(*name, finish) : finish(name.status());
  return reactor;
}

grpc::ServerUnaryReactor* AdminService::GetTopicStats(Call* call, const v1::GetTopicStatsRequest* request,
                                                      v1::GetTopicStatsResponse* response) {
  auto get = [&]() -> absl::Status {
    auto name = TopicName::Parse(request->name(), "name");
    if (!name.ok()) return name.status();
    auto topic = context_.engine.FindTopic(*name);
    if (topic.ok()) *response->mutable_stats() = ToProto((*topic)->config(), (*topic)->stats());
    return topic.status();
  };
  return Answer(Rpc::kGetTopicStats, call, *request, get);
}

grpc::ServerUnaryReactor* AdminService::GetSubscriptionStats(Call* call,
                                                             const v1::GetSubscriptionStatsRequest* request,
                                                             v1::GetSubscriptionStatsResponse* response) {
  auto get = [&]() -> absl::Status {
    auto name = SubscriptionName::Parse(request->name(), "name");
    if (!name.ok()) return name.status();
    auto subscription = context_.engine.FindSubscription(*name);
    if (subscription.ok()) {
      *response->mutable_stats() = ToProto((*subscription)->config(), (*subscription)->stats());
    }
    return subscription.status();
  };
  return Answer(Rpc::kGetSubscriptionStats, call, *request, get);
}

grpc::ServerUnaryReactor* AdminService::GetBreakers(Call* call, const v1::GetBreakersRequest* request,
                                                    v1::GetBreakersResponse* response) {
  return Answer(Rpc::kGetBreakers, call, *request, [&] {
    *response->mutable_store() = ToProto(context_.engine.store_breaker());
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* AdminService::GetServerInfo(Call* call, const v1::GetServerInfoRequest* request,
                                                      v1::GetServerInfoResponse* response) {
  return Answer(Rpc::kGetServerInfo, call, *request, [&]() -> absl::Status {
    const auto caller = context_.access.Identify(*call, Rpc::kGetServerInfo);
    if (!caller.ok()) return caller.status();
    response->set_version(kVersion);
    ToProto(context_.engine.clock().WallNow(), response->mutable_time());
    if (caller->identity != nullptr) response->set_identity(caller->identity->principal);
    if (!context_.access.Allowed(*caller, Right::kServerView, kServerResource)) return absl::OkStatus();
    const BackendStats stats = context_.engine.backend_stats();
    v1::StoreInfo& store = *response->mutable_store();
    store.set_durability(std::string(context_.engine.durability()));
    store.set_writable(stats.writable);
    store.set_disk_bytes(static_cast<int64_t>(stats.disk_bytes));
    store.set_disk_free_bytes(static_cast<int64_t>(stats.disk_free_bytes));
    return absl::OkStatus();
  });
}

grpc::ServerWriteReactor<v1::CreateCheckpointResponse>* AdminService::CreateCheckpoint(
    Call* call, const v1::CreateCheckpointRequest* request) {
  return CheckpointCall::Start(context_, *call, *request);
}

}  // namespace sluice::server
