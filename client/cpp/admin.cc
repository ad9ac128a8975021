#include "client/cpp/admin.h"

#include "client/cpp/status.h"

namespace sluice::client {

template <class Response, class Request, class Method>
absl::StatusOr<Response> Admin::Call(Method method, const Request& request) {
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + timeout_));
  Response response;
  const grpc::Status status = (stub_.get()->*method)(&context, request, &response);
  if (!status.ok()) return FromGrpc(status);
  return response;
}

absl::StatusOr<v1::Topic> Admin::CreateTopic(const v1::Topic& topic) {
  v1::CreateTopicRequest request;
  *request.mutable_topic() = topic;
  auto response = Call<v1::CreateTopicResponse>(&v1::Admin::Stub::CreateTopic, request);
  if (!response.ok()) return response.status();
  return response->topic();
}

absl::StatusOr<v1::Topic> Admin::GetTopic(const std::string& name) {
  v1::GetTopicRequest request;
  request.set_name(name);
  auto response = Call<v1::GetTopicResponse>(&v1::Admin::Stub::GetTopic, request);
  if (!response.ok()) return response.status();
  return response->topic();
}

absl::StatusOr<std::vector<v1::Topic>> Admin::ListTopics(const std::string& project) {
  std::vector<v1::Topic> all;
  v1::ListTopicsRequest request;
  request.set_project(project);
  do {
    auto page = Call<v1::ListTopicsResponse>(&v1::Admin::Stub::ListTopics, request);
    if (!page.ok()) return page.status();
    all.insert(all.end(), page->topics().begin(), page->topics().end());
    request.set_page_token(page->next_page_token());
  } while (!request.page_token().empty());
  return all;
}

absl::StatusOr<v1::Topic> Admin::UpdateTopic(const v1::Topic& topic,
                                             const std::vector<std::string>& fields) {
  v1::UpdateTopicRequest request;
  *request.mutable_topic() = topic;
  for (const std::string& field : fields) request.mutable_update_mask()->add_paths(field);
  auto response = Call<v1::UpdateTopicResponse>(&v1::Admin::Stub::UpdateTopic, request);
  if (!response.ok()) return response.status();
  return response->topic();
}

absl::Status Admin::DeleteTopic(const std::string& name) {
  v1::DeleteTopicRequest request;
  request.set_name(name);
  return Call<v1::DeleteTopicResponse>(&v1::Admin::Stub::DeleteTopic, request).status();
}

absl::StatusOr<v1::Subscription> Admin::CreateSubscription(const v1::Subscription& subscription) {
  v1::CreateSubscriptionRequest request;
  *request.mutable_subscription() = subscription;
  auto response =
      Call<v1::CreateSubscriptionResponse>(&v1::Admin::Stub::CreateSubscription, request);
  if (!response.ok()) return response.status();
  return response->subscription();
}

absl::StatusOr<v1::Subscription> Admin::GetSubscription(const std::string& name) {
  v1::GetSubscriptionRequest request;
  request.set_name(name);
  auto response = Call<v1::GetSubscriptionResponse>(&v1::Admin::Stub::GetSubscription, request);
  if (!response.ok()) return response.status();
  return response->subscription();
}

absl::StatusOr<std::vector<v1::Subscription>> Admin::ListSubscriptions(const std::string& project,
                                                                       const std::string& topic) {
  std::vector<v1::Subscription> all;
  v1::ListSubscriptionsRequest request;
  request.set_project(project);
  request.set_topic(topic);
  do {
    auto page = Call<v1::ListSubscriptionsResponse>(&v1::Admin::Stub::ListSubscriptions, request);
    if (!page.ok()) return page.status();
    all.insert(all.end(), page->subscriptions().begin(), page->subscriptions().end());
    request.set_page_token(page->next_page_token());
  } while (!request.page_token().empty());
  return all;
}

absl::StatusOr<v1::Subscription> Admin::UpdateSubscription(const v1::Subscription& subscription,
                                                           const std::vector<std::string>& fields) {
  v1::UpdateSubscriptionRequest request;
  *request.mutable_subscription() = subscription;
  for (const std::string& field : fields) request.mutable_update_mask()->add_paths(field);
  auto response =
      Call<v1::UpdateSubscriptionResponse>(&v1::Admin::Stub::UpdateSubscription, request);
  if (!response.ok()) return response.status();
  return response->subscription();
}

absl::Status Admin::DeleteSubscription(const std::string& name) {
  v1::DeleteSubscriptionRequest request;
  request.set_name(name);
  return Call<v1::DeleteSubscriptionResponse>(&v1::Admin::Stub::DeleteSubscription, request)
      .status();
}

absl::Status Admin::Seek(const v1::SeekSubscriptionRequest& request) {
  return Call<v1::SeekSubscriptionResponse>(&v1::Admin::Stub::SeekSubscription, request).status();
}

absl::StatusOr<v1::Snapshot> Admin::CreateSnapshot(const v1::CreateSnapshotRequest& request) {
  auto response = Call<v1::CreateSnapshotResponse>(&v1::Admin::Stub::CreateSnapshot, request);
  if (!response.ok()) return response.status();
  return response->snapshot();
}

absl::StatusOr<v1::Snapshot> Admin::GetSnapshot(const std::string& name) {
  v1::GetSnapshotRequest request;
  request.set_name(name);
  auto response = Call<v1::GetSnapshotResponse>(&v1::Admin::Stub::GetSnapshot, request);
  if (!response.ok()) return response.status();
  return response->snapshot();
}

absl::StatusOr<std::vector<v1::Snapshot>> Admin::ListSnapshots(const std::string& project) {
  std::vector<v1::Snapshot> all;
  v1::ListSnapshotsRequest request;
  request.set_project(project);
  do {
    auto page = Call<v1::ListSnapshotsResponse>(&v1::Admin::Stub::ListSnapshots, request);
    if (!page.ok()) return page.status();
    all.insert(all.end(), page->snapshots().begin(), page->snapshots().end());
    request.set_page_token(page->next_page_token());
  } while (!request.page_token().empty());
  return all;
}

absl::Status Admin::DeleteSnapshot(const std::string& name) {
  v1::DeleteSnapshotRequest request;
  request.set_name(name);
  return Call<v1::DeleteSnapshotResponse>(&v1::Admin::Stub::DeleteSnapshot, request).status();
}

absl::StatusOr<v1::TopicStats> Admin::GetTopicStats(const std::string& name) {
  v1::GetTopicStatsRequest request;
  request.set_name(name);
  auto response = Call<v1::GetTopicStatsResponse>(&v1::Admin::Stub::GetTopicStats, request);
  if (!response.ok()) return response.status();
  return response->stats();
}

absl::StatusOr<v1::SubscriptionStats> Admin::GetSubscriptionStats(const std::string& name) {
  v1::GetSubscriptionStatsRequest request;
  request.set_name(name);
  auto response =
      Call<v1::GetSubscriptionStatsResponse>(&v1::Admin::Stub::GetSubscriptionStats, request);
  if (!response.ok()) return response.status();
  return response->stats();
}

absl::StatusOr<v1::Checkpoint> Admin::CreateCheckpoint(
    const v1::CreateCheckpointRequest& request,
    const std::function<void(int64_t, int64_t)>& progress) {
  grpc::ClientContext context;
  const auto stream = stub_->CreateCheckpoint(&context, request);
  v1::Checkpoint made;
  for (v1::CreateCheckpointResponse response; stream->Read(&response);) {
    if (progress) progress(response.done_bytes(), response.total_bytes());
    if (response.has_checkpoint()) made = response.checkpoint();
  }
  if (const grpc::Status status = stream->Finish(); !status.ok()) return FromGrpc(status);
  return made;
}

absl::StatusOr<v1::GetServerInfoResponse> Admin::GetServerInfo() {
  return Call<v1::GetServerInfoResponse>(&v1::Admin::Stub::GetServerInfo,
                                         v1::GetServerInfoRequest());
}
absl::StatusOr<v1::GetBreakersResponse> Admin::GetBreakers() {
  return Call<v1::GetBreakersResponse>(&v1::Admin::Stub::GetBreakers, v1::GetBreakersRequest());
}

}  // namespace sluice::client
