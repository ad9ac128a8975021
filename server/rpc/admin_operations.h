// What both APIs do with topics, subscriptions and snapshots, in the engine's terms: a name is
// read, what there is is found, changed and put back. An API reads its requests and writes its
// answers (FromProto and ToProto, FromGoogle and ToGoogle), and that is all it does itself.
//
//   admin_.UpdateTopic({request->topic().name(), "topic.name"}, [&](TopicConfig* config) { return Merge(mask, wanted, config); },
//                      AnswerWith(finish, [response](const TopicConfig& updated) { *response->mutable_topic() = ToProto(updated); }));
//
// Errors are those of the engine (core/engine/engine.h), and INVALID_ARGUMENT for a name.
//
// Thread rule: any thread.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "core/engine/engine.h"
#include "core/message/names.h"
#include "server/rpc/paging.h"
#include "server/rpc/service_context.h"
#include "server/rpc/unary_call.h"

namespace sluice::server {

// A name as the request has it, and what the request calls it.
struct NameField {
  std::string_view name;
  std::string_view field;
};

// Ends a call with what an operation gave, after write(value) where it gave one.
template <class Write>
auto AnswerWith(UnaryFinish finish, Write write) {
  return [finish = std::move(finish), write = std::move(write)](const auto& result) {
    if (result.ok()) write(*result);
    finish(result.status());
  };
}

// The same for a call that answers at once.
template <class Result, class Write>
absl::Status Written(const Result& result, const Write& write) {
  if (result.ok()) write(*result);
  return result.status();
}

class AdminOperations {
 public:
  explicit AdminOperations(ServiceContext& context) : context_(context), engine_(context.engine) {}

  template <class T>
  using Done = Engine::Done<T>;
  using StatusDone = Engine::StatusDone;
  using SeekTarget = std::variant<StartPosition, SnapshotName>;

  void CreateTopic(absl::StatusOr<TopicConfig> wanted, const Done<TopicConfig>& done) const;
  absl::StatusOr<std::shared_ptr<Topic>> FindTopic(NameField name) const;
  absl::StatusOr<TopicConfig> GetTopic(NameField name) const;
  // change(&config) may refuse.
  template <class Change>
  void UpdateTopic(NameField name, const Change& change, const Done<TopicConfig>& done) const {
    auto config = GetTopic(name);
    absl::Status status = config.ok() ? change(&*config) : config.status();
    status.ok() ? engine_.UpdateTopic(*std::move(config), done) : done(status);
  }
  void DeleteTopic(NameField name, const StatusDone& done) const;
  // A page of those of the request's project. add(config) puts one into the response and returns
  // its name.
  template <class Request, class Response, class Add>
  absl::Status ListTopics(const Request& request, Response* response, const Add& add) const {
    return List("topics", request, response, &Engine::ListTopics,
                [&](const auto& topic) { return add(topic->config()); });
  }

  void CreateSubscription(absl::StatusOr<SubscriptionConfig> wanted,
                          const absl::StatusOr<StartPosition>& start,
                          const Done<SubscriptionConfig>& done) const;
  absl::StatusOr<std::shared_ptr<Subscription>> FindSubscription(NameField name) const;
  absl::StatusOr<SubscriptionConfig> GetSubscription(NameField name) const;
  template <class Change>
  void UpdateSubscription(NameField name, const Change& change,
                          const Done<SubscriptionConfig>& done) const {
    auto config = GetSubscription(name);
    absl::Status status = config.ok() ? change(&*config) : config.status();
    if (status.ok()) status = CheckPushOf(*config);
    status.ok() ? engine_.UpdateSubscription(*std::move(config), done) : done(status);
  }
  void DeleteSubscription(NameField name, const StatusDone& done) const;
  void DetachSubscription(NameField name, const StatusDone& done) const;
  void Seek(NameField name, const absl::StatusOr<SeekTarget>& to, const StatusDone& done) const;
  template <class Request, class Response, class Add>
  absl::Status ListSubscriptions(const Request& request, Response* response, const Add& add) const {
    return List("subscriptions", request, response, &Engine::ListSubscriptions,
                [&](const auto& subscription) { return add(subscription->config()); });
  }

  void CreateSnapshot(NameField name, NameField subscription, Labels labels,
                      const Done<Snapshot>& done) const;
  absl::StatusOr<Snapshot> GetSnapshot(NameField name) const;
  // change(&labels) may refuse.
  template <class Change>
  void UpdateSnapshot(NameField name, const Change& change, const Done<Snapshot>& done) const {
    auto snapshot = GetSnapshot(name);
    absl::Status status = snapshot.ok() ? change(&snapshot->labels) : snapshot.status();
    status.ok() ? engine_.UpdateSnapshot(snapshot->name, std::move(snapshot->labels), done)
                : done(status);
  }
  void DeleteSnapshot(NameField name, const StatusDone& done) const;
  template <class Request, class Response, class Add>
  absl::Status ListSnapshots(const Request& request, Response* response, const Add& add) const {
    return List("snapshots", request, response, &Engine::ListSnapshots, add);
  }

 private:
  template <class Request, class Response, class Items, class Add>
  absl::Status List(const std::string& kind, const Request& request, Response* response,
                    Items items, const Add& add) const {
    const std::string& project = request.project();
    if (absl::Status status = CheckProjectName(project, "project"); !status.ok()) return status;
    return ListPage(
        kind + " of " + project, request, response,
        [&](std::string_view after, size_t limit) {
          return (engine_.*items)(project, after, limit);
        },
        add);
  }
  absl::Status CheckPushOf(const SubscriptionConfig& config) const;

  ServiceContext& context_;
  Engine& engine_;
};

}  // namespace sluice::server
