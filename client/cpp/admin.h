// Topics and subscriptions: the calls of sluice.v1.Admin with a deadline and a status that carries
// the reason.
//
//   Admin admin(connection);
//   absl::StatusOr<v1::Topic> topic = admin.CreateTopic(wanted);
//
// Thread rule: every member may be called from any thread; each blocks for at most the timeout,
// where it says nothing else.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/cpp/connection.h"
#include "sluice/v1/admin.grpc.pb.h"

namespace sluice::client {

class Admin {
 public:
  explicit Admin(std::shared_ptr<Connection> connection, absl::Duration timeout = absl::Seconds(10))
      : connection_(std::move(connection)),
        timeout_(timeout),
        stub_(v1::Admin::NewStub(connection_->channel())) {}

  absl::StatusOr<v1::Topic> CreateTopic(const v1::Topic& topic);
  absl::StatusOr<v1::Topic> GetTopic(const std::string& name);
  // All of `projects/P`.
  absl::StatusOr<std::vector<v1::Topic>> ListTopics(const std::string& project);
  absl::StatusOr<v1::Topic> UpdateTopic(const v1::Topic& topic,
                                        const std::vector<std::string>& fields);
  absl::Status DeleteTopic(const std::string& name);

  absl::StatusOr<v1::Subscription> CreateSubscription(const v1::Subscription& subscription);
  absl::StatusOr<v1::Subscription> GetSubscription(const std::string& name);
  // All of `projects/P`, or those of one topic.
  absl::StatusOr<std::vector<v1::Subscription>> ListSubscriptions(const std::string& project,
                                                                  const std::string& topic = "");
  absl::StatusOr<v1::Subscription> UpdateSubscription(const v1::Subscription& subscription,
                                                      const std::vector<std::string>& fields);
  absl::Status DeleteSubscription(const std::string& name);

  absl::Status Seek(const v1::SeekSubscriptionRequest& request);
  absl::StatusOr<v1::Snapshot> CreateSnapshot(const v1::CreateSnapshotRequest& request);
  absl::StatusOr<v1::Snapshot> GetSnapshot(const std::string& name);
  // All of `projects/P`.
  absl::StatusOr<std::vector<v1::Snapshot>> ListSnapshots(const std::string& project);
  absl::Status DeleteSnapshot(const std::string& name);

  absl::StatusOr<v1::TopicStats> GetTopicStats(const std::string& name);
  absl::StatusOr<v1::SubscriptionStats> GetSubscriptionStats(const std::string& name);
  absl::StatusOr<v1::GetBreakersResponse> GetBreakers();
  absl::StatusOr<v1::GetServerInfoResponse> GetServerInfo();

  // Blocks until the backup is made, however long that takes. `progress` is told the bytes that are
  // done, and all.
  absl::StatusOr<v1::Checkpoint> CreateCheckpoint(
      const v1::CreateCheckpointRequest& request,
      const std::function<void(int64_t done, int64_t total)>& progress);

 private:
  // Calls a method of the stub.
  template <class Response, class Request, class Method>
  absl::StatusOr<Response> Call(Method method, const Request& request);

  const std::shared_ptr<Connection> connection_;
  const absl::Duration timeout_;
  const std::unique_ptr<v1::Admin::Stub> stub_;
};

}  // namespace sluice::client
