// A server, and the stubs of google.pubsub.v1 with which tests talk to it. Topic and subscription
// are called "orders" where a call does not say.
//
// Thread rule: one thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "google/pubsub/v1/pubsub.grpc.pb.h"
#include "tests/integration/fixture.h"

namespace sluice::server {

namespace pubsub = google::pubsub::v1;

class GoogleTest : public StoreTest {
 protected:
  void SetUp() override {
    StoreTest::SetUp();
    Connect();
  }
  void Connect() {
    publisher_ = pubsub::Publisher::NewStub(client_->channel());
    subscriber_ = pubsub::Subscriber::NewStub(client_->channel());
  }

  template <class Stub, class Request, class Response>
  grpc::Status Call(Stub& stub,
                    grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                    const Request& request, Response* response) {
    grpc::ClientContext context;
    Client::SetDeadline(&context);
    return (stub.*method)(&context, request, response);
  }

  grpc::Status MakeTopic(const std::string& id) {
    pubsub::Topic topic;
    topic.set_name(TopicPath(id));
    return Call(*publisher_, &pubsub::Publisher::Stub::CreateTopic, topic, &topic);
  }
  // A topic and a subscription "orders".
  void MakeBoth(pubsub::Subscription subscription = {}) {
    ASSERT_TRUE(MakeTopic("orders").ok());
    subscription.set_name(SubscriptionPath("orders"));
    subscription.set_topic(TopicPath("orders"));
    const auto status =
        Call(*subscriber_, &pubsub::Subscriber::Stub::CreateSubscription, subscription, &made_);
    ASSERT_TRUE(status.ok()) << status.error_message();
  }
  std::vector<std::string> Publish(const std::vector<std::string>& payloads) {
    pubsub::PublishRequest request;
    pubsub::PublishResponse response;
    request.set_topic(TopicPath("orders"));
    for (const std::string& payload : payloads) request.add_messages()->set_data(payload);
    const auto status = Call(*publisher_, &pubsub::Publisher::Stub::Publish, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return {response.message_ids().begin(), response.message_ids().end()};
  }
  pubsub::PullResponse Pull(int most, bool at_once = false) {
    pubsub::PullRequest request;
    pubsub::PullResponse response;
    request.set_subscription(SubscriptionPath("orders"));
    request.set_max_messages(most);
    request.set_return_immediately(at_once);
    const auto status = Call(*subscriber_, &pubsub::Subscriber::Stub::Pull, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  }
  static std::vector<std::string> DataOf(const pubsub::PullResponse& response) {
    std::vector<std::string> data;
    for (const auto& received : response.received_messages())
      data.push_back(received.message().data());
    return data;
  }
  static std::vector<std::string> IdsOf(const pubsub::PullResponse& response) {
    std::vector<std::string> ids;
    for (const auto& received : response.received_messages()) ids.push_back(received.ack_id());
    return ids;
  }
  grpc::Status Acknowledge(const std::vector<std::string>& ids) {
    pubsub::AcknowledgeRequest request;
    google::protobuf::Empty nothing;
    request.set_subscription(SubscriptionPath("orders"));
    for (const std::string& id : ids) request.add_ack_ids(id);
    return Call(*subscriber_, &pubsub::Subscriber::Stub::Acknowledge, request, &nothing);
  }
  grpc::Status ModifyAckDeadline(const std::vector<std::string>& ids, int seconds) {
    pubsub::ModifyAckDeadlineRequest request;
    google::protobuf::Empty nothing;
    request.set_subscription(SubscriptionPath("orders"));
    request.set_ack_deadline_seconds(seconds);
    for (const std::string& id : ids) request.add_ack_ids(id);
    return Call(*subscriber_, &pubsub::Subscriber::Stub::ModifyAckDeadline, request, &nothing);
  }
  grpc::Status Update(const std::string& path, const pubsub::Subscription& wanted) {
    pubsub::UpdateSubscriptionRequest request;
    *request.mutable_subscription() = wanted;
    request.mutable_subscription()->set_name(SubscriptionPath("orders"));
    if (!path.empty()) request.mutable_update_mask()->add_paths(path);
    return Call(*subscriber_, &pubsub::Subscriber::Stub::UpdateSubscription, request, &made_);
  }

  pubsub::Subscription made_;
  std::unique_ptr<pubsub::Publisher::Stub> publisher_;
  std::unique_ptr<pubsub::Subscriber::Stub> subscriber_;
};

// A StreamingPull with its first request sent. Reads wait for at most the call's deadline.
class PullStream {
 public:
  PullStream(pubsub::Subscriber::Stub& stub, int64_t max_messages = 0) {
    Client::SetDeadline(&context_);
    stream_ = stub.StreamingPull(&context_);
    pubsub::StreamingPullRequest request;
    request.set_subscription(SubscriptionPath("orders"));
    request.set_stream_ack_deadline_seconds(10);
    request.set_max_outstanding_messages(max_messages);
    Send(request);
  }
  void Send(const pubsub::StreamingPullRequest& request) { stream_->Write(request); }
  pubsub::StreamingPullResponse Read() {
    pubsub::StreamingPullResponse response;
    stream_->Read(&response);
    return response;
  }
  // The next response with messages.
  pubsub::StreamingPullResponse ReadMessages() {
    pubsub::StreamingPullResponse response;
    while (response.received_messages().empty() && stream_->Read(&response)) {
    }
    return response;
  }
  grpc::Status Finish() {
    pubsub::StreamingPullResponse response;
    while (stream_->Read(&response)) {
    }
    return stream_->Finish();
  }
  void Cancel() {
    context_.TryCancel();
    Finish();
  }

 private:
  grpc::ClientContext context_;
  std::unique_ptr<
      grpc::ClientReaderWriter<pubsub::StreamingPullRequest, pubsub::StreamingPullResponse>>
      stream_;
};

}  // namespace sluice::server
