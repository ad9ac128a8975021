// What tests say to a server: the stubs, streams that wait with a deadline, and what an error says.
//
//   Client client(server.grpc_port());
//   client.CreateTopic("orders");
//   SubscribeStream stream(client);
//   stream.Send(...);
//   std::vector<v1::Delivery> got = stream.Take(3);
//
// Every call has a deadline of 20 s, so that a test that waits in vain fails instead of hanging.
//
// Thread rule: one thread.
#pragma once

#include <chrono>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"
#include "gtest/gtest.h"
#include "sluice/v1/admin.grpc.pb.h"
#include "sluice/v1/pubsub.grpc.pb.h"

namespace sluice::server {

inline std::string TopicPath(const std::string& id) { return "projects/test/topics/" + id; }
inline std::string SubscriptionPath(const std::string& id) {
  return "projects/test/subscriptions/" + id;
}

// The google.rpc.ErrorInfo of a status; empty without one.
inline google::rpc::ErrorInfo InfoOf(const grpc::Status& status) {
  google::rpc::ErrorInfo info;
  google::rpc::Status details;
  if (details.ParseFromString(status.error_details()) && details.details_size() > 0)
    details.details(0).UnpackTo(&info);
  return info;
}

// "INVALID_ARGUMENT/NO_MESSAGES": the code and the reason together, as tests compare them.
inline std::string CodeAndReason(const grpc::Status& status) {
  static constexpr const char* kCodes[] = {"OK",
                                           "CANCELLED",
                                           "UNKNOWN",
                                           "INVALID_ARGUMENT",
                                           "DEADLINE_EXCEEDED",
                                           "NOT_FOUND",
                                           "ALREADY_EXISTS",
                                           "PERMISSION_DENIED",
                                           "RESOURCE_EXHAUSTED",
                                           "FAILED_PRECONDITION",
                                           "ABORTED",
                                           "OUT_OF_RANGE",
                                           "UNIMPLEMENTED",
                                           "INTERNAL",
                                           "UNAVAILABLE",
                                           "DATA_LOSS",
                                           "UNAUTHENTICATED"};
  if (status.ok()) return "OK";
  return std::string(kCodes[status.error_code()]) + "/" + InfoOf(status).reason();
}

class Client {
 public:
  explicit Client(int port) {
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(-1);
    // A connection of its own, even to a port that another test used.
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    channel_ = grpc::CreateCustomChannel("127.0.0.1:" + std::to_string(port),
                                         grpc::InsecureChannelCredentials(), arguments);
    pubsub_ = v1::PubSub::NewStub(channel_);
    admin_ = v1::Admin::NewStub(channel_);
  }

  const std::shared_ptr<grpc::Channel>& channel() const { return channel_; }
  v1::PubSub::Stub& pubsub() { return *pubsub_; }

  static void SetDeadline(grpc::ClientContext* context) {
    context->set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
  }

  // Any method of Admin: Call(&v1::Admin::Stub::GetTopic, request, &response).
  template <class Request, class Response>
  grpc::Status Call(grpc::Status (v1::Admin::Stub::*method)(grpc::ClientContext*, const Request&,
                                                            Response*),
                    const Request& request, Response* response) {
    grpc::ClientContext context;
    SetDeadline(&context);
    return (admin_.get()->*method)(&context, request, response);
  }

  grpc::Status CreateTopic(const v1::Topic& topic) {
    v1::CreateTopicRequest request;
    v1::CreateTopicResponse response;
    *request.mutable_topic() = topic;
    return Call(&v1::Admin::Stub::CreateTopic, request, &response);
  }
  grpc::Status CreateTopic(const std::string& id) {
    v1::Topic topic;
    topic.set_name(TopicPath(id));
    return CreateTopic(topic);
  }
  grpc::Status CreateSubscription(const v1::Subscription& subscription) {
    v1::CreateSubscriptionRequest request;
    v1::CreateSubscriptionResponse response;
    *request.mutable_subscription() = subscription;
    return Call(&v1::Admin::Stub::CreateSubscription, request, &response);
  }
  grpc::Status CreateSubscription(const std::string& id, const std::string& topic) {
    v1::Subscription subscription;
    subscription.set_name(SubscriptionPath(id));
    subscription.set_topic(TopicPath(topic));
    return CreateSubscription(subscription);
  }
  grpc::Status DeleteTopic(const std::string& id) {
    v1::DeleteTopicRequest request;
    v1::DeleteTopicResponse response;
    request.set_name(TopicPath(id));
    return Call(&v1::Admin::Stub::DeleteTopic, request, &response);
  }
  grpc::Status DeleteSubscription(const std::string& id) {
    v1::DeleteSubscriptionRequest request;
    v1::DeleteSubscriptionResponse response;
    request.set_name(SubscriptionPath(id));
    return Call(&v1::Admin::Stub::DeleteSubscription, request, &response);
  }
  v1::SubscriptionStats Stats(const std::string& id) {
    v1::GetSubscriptionStatsRequest request;
    v1::GetSubscriptionStatsResponse response;
    request.set_name(SubscriptionPath(id));
    const grpc::Status status = Call(&v1::Admin::Stub::GetSubscriptionStats, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.stats();
  }

  grpc::Status PublishBatch(const v1::PublishBatchRequest& request,
                            v1::PublishBatchResponse* response) {
    grpc::ClientContext context;
    SetDeadline(&context);
    return pubsub_->PublishBatch(&context, request, response);
  }
  // The payloads as one batch; returns the id of the first message.
  uint64_t Publish(const std::string& topic, const std::vector<std::string>& payloads) {
    v1::PublishBatchRequest request;
    v1::PublishBatchResponse response;
    request.set_topic(TopicPath(topic));
    for (const std::string& payload : payloads) request.add_messages()->set_data(payload);
    const grpc::Status status = PublishBatch(request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    EXPECT_EQ(response.count(), payloads.size());
    return response.first_message_id();
  }

 private:
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::PubSub::Stub> pubsub_;
  std::unique_ptr<v1::Admin::Stub> admin_;
};

class PublishStream {
 public:
  explicit PublishStream(Client& client) {
    Client::SetDeadline(&context_);
    stream_ = client.pubsub().Publish(&context_);
  }

  bool Send(const v1::PublishRequest& request) { return stream_->Write(request); }
  bool Send(const std::string& topic, uint64_t batch_id, const std::vector<std::string>& payloads) {
    v1::PublishRequest request;
    if (!topic.empty()) request.set_topic(TopicPath(topic));
    request.set_batch_id(batch_id);
    for (const std::string& payload : payloads) request.add_messages()->set_data(payload);
    return Send(request);
  }
  // The next `count` results, or fewer when the stream ends before.
  std::vector<v1::PublishResult> Take(size_t count) {
    std::vector<v1::PublishResult> taken;
    for (v1::PublishResponse response; taken.size() < count && stream_->Read(&response);) {
      taken.insert(taken.end(), response.results().begin(), response.results().end());
    }
    return taken;
  }
  // Says that nothing more comes.
  void Close() { stream_->WritesDone(); }
  // Waits for the end.
  grpc::Status End() {
    for (v1::PublishResponse response; stream_->Read(&response);) {
    }
    return stream_->Finish();
  }

 private:
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::PublishRequest, v1::PublishResponse>> stream_;
};

class SubscribeStream {
 public:
  explicit SubscribeStream(Client& client) {
    Client::SetDeadline(&context_);
    stream_ = client.pubsub().Subscribe(&context_);
  }
  // Opens a subscription; with credit when `messages` is not 0.
  SubscribeStream(Client& client, const std::string& subscription, int64_t messages = 0,
                  int64_t bytes = 0)
      : SubscribeStream(client) {
    v1::SubscribeRequest request;
    request.set_subscription(SubscriptionPath(subscription));
    if (messages != 0) *request.mutable_credit() = CreditOf(messages, bytes);
    Send(request);
    ReadOpened();
  }

  static v1::Credit CreditOf(int64_t messages, int64_t bytes = 0) {
    v1::Credit credit;
    credit.set_messages(messages);
    credit.set_bytes(bytes);
    return credit;
  }

  bool Send(const v1::SubscribeRequest& request) { return stream_->Write(request); }
  void Grant(int64_t messages, int64_t bytes = 0) {
    v1::SubscribeRequest request;
    *request.mutable_credit() = CreditOf(messages, bytes);
    Send(request);
  }
  void Ack(uint64_t first, uint64_t last = 0) {
    v1::SubscribeRequest request;
    request.add_acks()->set_first(first);
    request.mutable_acks(0)->set_last(last);
    Send(request);
  }
  void Nack(uint64_t first, uint64_t last, int64_t delay_seconds = 0) {
    v1::SubscribeRequest request;
    v1::Nack* nack = request.add_nacks();
    nack->mutable_range()->set_first(first);
    nack->mutable_range()->set_last(last);
    nack->mutable_delay()->set_seconds(delay_seconds);
    Send(request);
  }
  void Extend(uint64_t first, uint64_t last, int32_t seconds) {
    v1::SubscribeRequest request;
    v1::Extension* extension = request.add_extensions();
    extension->mutable_range()->set_first(first);
    extension->mutable_range()->set_last(last);
    extension->set_ack_deadline_seconds(seconds);
    Send(request);
  }

  v1::SubscribeResponse Read() {
    v1::SubscribeResponse response;
    EXPECT_TRUE(stream_->Read(&response));
    return response;
  }
  v1::Opened ReadOpened() {
    const v1::SubscribeResponse response = Read();
    EXPECT_TRUE(response.has_opened());
    Keep(response);
    return response.opened();
  }
  // The next `count` deliveries, or fewer when the stream ends before.
  std::vector<v1::Delivery> Take(size_t count) {
    for (v1::SubscribeResponse response; waiting_.size() < count && stream_->Read(&response);) {
      EXPECT_FALSE(response.has_opened());
      Keep(response);
    }
    std::vector<v1::Delivery> taken;
    for (; taken.size() < count && !waiting_.empty(); waiting_.pop_front())
      taken.push_back(waiting_.front());
    return taken;
  }
  std::vector<std::string> TakeData(size_t count) {
    std::vector<std::string> data;
    for (const v1::Delivery& delivery : Take(count)) data.push_back(delivery.message().data());
    return data;
  }
  // The client ends the stream, once what it sent was taken in.
  grpc::Status Close() {
    stream_->WritesDone();
    return End();
  }
  void Cancel() { context_.TryCancel(); }
  // Waits for the end.
  grpc::Status End() {
    for (v1::SubscribeResponse response; stream_->Read(&response);) Keep(response);
    return stream_->Finish();
  }
  // What became of acknowledgements, as far as it was read: "1-3 OK", "4-4 LEASE_OVER".
  const std::vector<std::string>& ack_results() const { return ack_results_; }

 private:
  void Keep(const v1::SubscribeResponse& response) {
    waiting_.insert(waiting_.end(), response.deliveries().begin(), response.deliveries().end());
    for (const v1::AckResult& result : response.ack_results()) {
      ack_results_.push_back(std::to_string(result.range().first()) + "-" +
                             std::to_string(result.range().last()) + " " +
                             (result.has_error() ? result.error().reason() : "OK"));
    }
  }

  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::SubscribeRequest, v1::SubscribeResponse>> stream_;
  std::deque<v1::Delivery> waiting_;
  std::vector<std::string> ack_results_;
};

}  // namespace sluice::server
