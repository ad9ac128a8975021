#include "server/api/native/admin_service.h"

#include <utility>

#include "core/base/error.h"
#include "core/base/strings.h"
#include "core/base/version.h"
#include "fmt/format.h"
#include "server/api/native/checkpoint_call.h"
#include "server/api/native/convert.h"
#include "server/api/native/update_mask.h"
#include "server/rpc/paging.h"

namespace sluice::server {

grpc::ServerUnaryReactor* AdminService::CreateTopic(Call* call,
                                                    const v1::CreateTopicRequest* request,
                                                    v1::CreateTopicResponse* response) {
  return Run(Rpc::kCreateTopic, call, *request, [&](const UnaryFinish& finish) {
    admin_.CreateTopic(FromProto(request->topic()),
                       AnswerWith(finish, [response](const TopicConfig& made) {
                         *response->mutable_topic() = ToProto(made);
                       }));
  });
}

grpc::ServerUnaryReactor* AdminService::GetTopic(Call* call, const v1::GetTopicRequest* request,
                                                 v1::GetTopicResponse* response) {
  return Answer(Rpc::kGetTopic, call, *request, [&] {
    return Written(admin_.GetTopic({request->name(), "name"}),
                   [&](const TopicConfig& topic) { *response->mutable_topic() = ToProto(topic); });
  });
}

grpc::ServerUnaryReactor* AdminService::ListTopics(Call* call, const v1::ListTopicsRequest* request,
                                                   v1::ListTopicsResponse* response) {
  return Answer(Rpc::kListTopics, call, *request, [&] {
    return admin_.ListTopics(*request, response, [&](const TopicConfig& topic) {
      *response->add_topics() = ToProto(topic);
      return topic.name.full();
    });
  });
}

grpc::ServerUnaryReactor* AdminService::UpdateTopic(Call* call,
                                                    const v1::UpdateTopicRequest* request,
                                                    v1::UpdateTopicResponse* response) {
  return Run(Rpc::kUpdateTopic, call, *request, [&](const UnaryFinish& finish) {
    const auto wanted = FromProto(request->topic());
    if (!wanted.ok()) return finish(wanted.status());
    admin_.UpdateTopic(
        {request->topic().name(), "topic.name"},
        [&](TopicConfig* config) { return Merge(request->update_mask(), *wanted, config); },
        AnswerWith(finish, [response](const TopicConfig& updated) {
          *response->mutable_topic() = ToProto(updated);
        }));
  });
}

grpc::ServerUnaryReactor* AdminService::DeleteTopic(Call* call,
                                                    const v1::DeleteTopicRequest* request,
                                                    v1::DeleteTopicResponse*) {
  return Run(Rpc::kDeleteTopic, call, *request, [&](const UnaryFinish& finish) {
    admin_.DeleteTopic({request->name(), "name"}, finish);
  });
}

grpc::ServerUnaryReactor* AdminService::CreateSubscription(
    Call* call, const v1::CreateSubscriptionRequest* request,
    v1::CreateSubscriptionResponse* response) {
  return Run(Rpc::kCreateSubscription, call, *request, [&](const UnaryFinish& finish) {
    const v1::Subscription& wanted = request->subscription();
    admin_.CreateSubscription(FromProto(wanted), FromProto(wanted.start(), "subscription.start"),
                              AnswerWith(finish, [response](const SubscriptionConfig& made) {
                                *response->mutable_subscription() = ToProto(made);
                              }));
  });
}

grpc::ServerUnaryReactor* AdminService::GetSubscription(Call* call,
                                                        const v1::GetSubscriptionRequest* request,
                                                        v1::GetSubscriptionResponse* response) {
  return Answer(Rpc::kGetSubscription, call, *request, [&] {
    return Written(admin_.GetSubscription({request->name(), "name"}),
                   [&](const SubscriptionConfig& found) {
                     *response->mutable_subscription() = ToProto(found);
                   });
  });
}

grpc::ServerUnaryReactor* AdminService::ListSubscriptions(
    Call* call, const v1::ListSubscriptionsRequest* request,
    v1::ListSubscriptionsResponse* response) {
  return Answer(Rpc::kListSubscriptions, call, *request, [&] {
    if (!request->topic().empty()) return ListSubscriptionsOf(*request, response);
    return admin_.ListSubscriptions(*request, response,
                                    [&](const SubscriptionConfig& subscription) {
                                      *response->add_subscriptions() = ToProto(subscription);
                                      return subscription.name.full();
                                    });
  });
}

absl::Status AdminService::ListSubscriptionsOf(const v1::ListSubscriptionsRequest& request,
                                               v1::ListSubscriptionsResponse* response) const {
  if (absl::Status status = CheckProjectName(request.project(), "project"); !status.ok())
    return status;
  if (auto topic = TopicName::Parse(request.topic()); !topic.ok()) return topic.status();
  const auto of_topic = [&](std::string_view after, size_t limit) {
    std::vector<v1::Subscription> found;
    for (const auto& subscription :
         context_.engine.ListSubscriptions(request.project(), after, SIZE_MAX)) {
      v1::Subscription one = ToProto(subscription->config());
      if (one.topic() != request.topic()) continue;
      found.push_back(std::move(one));
      if (found.size() == limit) break;
    }
    return found;
  };
  return ListPage(fmt::format("subscriptions of {} {}", request.project(), request.topic()),
                  request, response, of_topic, [&](const v1::Subscription& subscription) {
                    *response->add_subscriptions() = subscription;
                    return subscription.name();
                  });
}

grpc::ServerUnaryReactor* AdminService::UpdateSubscription(
    Call* call, const v1::UpdateSubscriptionRequest* request,
    v1::UpdateSubscriptionResponse* response) {
  return Run(Rpc::kUpdateSubscription, call, *request, [&](const UnaryFinish& finish) {
    admin_.UpdateSubscription(
        {request->subscription().name(), "subscription.name"},
        [&](SubscriptionConfig* config) {
          return Merge(request->update_mask(), request->subscription(), config);
        },
        AnswerWith(finish, [response](const SubscriptionConfig& updated) {
          *response->mutable_subscription() = ToProto(updated);
        }));
  });
}

grpc::ServerUnaryReactor* AdminService::DeleteSubscription(
    Call* call, const v1::DeleteSubscriptionRequest* request, v1::DeleteSubscriptionResponse*) {
  return Run(Rpc::kDeleteSubscription, call, *request, [&](const UnaryFinish& finish) {
    admin_.DeleteSubscription({request->name(), "name"}, finish);
  });
}

grpc::ServerUnaryReactor* AdminService::GetTopicStats(Call* call,
                                                      const v1::GetTopicStatsRequest* request,
                                                      v1::GetTopicStatsResponse* response) {
  return Answer(Rpc::kGetTopicStats, call, *request, [&] {
    return Written(admin_.FindTopic({request->name(), "name"}), [&](const auto& topic) {
      *response->mutable_stats() = ToProto(topic->config(), topic->stats());
    });
  });
}

grpc::ServerUnaryReactor* AdminService::GetSubscriptionStats(
    Call* call, const v1::GetSubscriptionStatsRequest* request,
    v1::GetSubscriptionStatsResponse* response) {
  return Answer(Rpc::kGetSubscriptionStats, call, *request, [&] {
    return Written(
        admin_.FindSubscription({request->name(), "name"}), [&](const auto& subscription) {
          *response->mutable_stats() = ToProto(subscription->config(), subscription->stats());
        });
  });
}

grpc::ServerUnaryReactor* AdminService::GetBreakers(Call* call,
                                                    const v1::GetBreakersRequest* request,
                                                    v1::GetBreakersResponse* response) {
  return Answer(Rpc::kGetBreakers, call, *request, [&] {
    *response->mutable_store() = ToProto(context_.engine.store_breaker());
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* AdminService::GetServerInfo(Call* call,
                                                      const v1::GetServerInfoRequest* request,
                                                      v1::GetServerInfoResponse* response) {
  return Answer(Rpc::kGetServerInfo, call, *request, [&]() -> absl::Status {
    const auto caller = context_.access.Identify(*call, EntryOf(Rpc::kGetServerInfo).full_name);
    if (!caller.ok()) return caller.status();
    response->set_version(kVersion);
    ToProto(context_.engine.clock().WallNow(), response->mutable_time());
    if (caller->identity != nullptr) response->set_identity(caller->identity->principal);
    if (!context_.access.Allowed(*caller, Right::kServerView, kServerResource))
      return absl::OkStatus();
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
