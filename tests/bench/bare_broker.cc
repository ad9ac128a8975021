// A broker that does nothing: what the load of google.pubsub.v1 needs and no more, in memory, with
// typed protobuf and one queue for each subscription. No leases, no checks, no disk;
// acknowledgements are read and forgotten. What it reaches is what gRPC gives on a machine; figures
// of sluiced are ratios to it.
//
//   bare_broker            # prints its port, and goes on until it is killed
#include <atomic>
#include <cstdio>
#include <deque>
#include <map>
#include <mutex>

#include "google/pubsub/v1/pubsub.grpc.pb.h"
#include "grpcpp/server_builder.h"

namespace pubsub = google::pubsub::v1;
using Call = grpc::CallbackServerContext;

constexpr size_t kMostInAResponse = 1000;

class Stream;
struct Queue {
  std::mutex mu;
  std::deque<pubsub::PubsubMessage> messages;
  Stream* stream = nullptr;
};
// A topic and its subscription have the same short name, as the load's have.
std::mutex queues_mu;
std::map<std::string, Queue> queues;
Queue& QueueOf(const std::string& name) {
  std::lock_guard lock(queues_mu);
  return queues[name.substr(name.rfind('/'))];
}

class Stream final
    : public grpc::ServerBidiReactor<pubsub::StreamingPullRequest, pubsub::StreamingPullResponse> {
 public:
  Stream() { StartRead(&request_); }

  void OnReadDone(bool ok) override {
    if (!ok) return End();
    if (queue_ == nullptr) Open();
    StartRead(&request_);
    Pump();
  }
  void OnWriteDone(bool) override {
    {
      std::lock_guard lock(queue_->mu);
      writing_ = false;
    }
    Pump();
  }
  void OnDone() override { delete this; }

  void Pump() {
    {
      std::lock_guard lock(queue_->mu);
      if (writing_ || queue_->messages.empty() || queue_->stream != this) return;
      writing_ = true;
      response_.Clear();
      for (size_t i = 0; i < kMostInAResponse && !queue_->messages.empty();
           ++i, queue_->messages.pop_front()) {
        auto& received = *response_.add_received_messages();
        *received.mutable_message() = std::move(queue_->messages.front());
        received.set_ack_id(received.message().message_id());
      }
    }
    StartWrite(&response_);
  }

 private:
  // Loads of many topics wait for an empty response of each stream, as the real service gives one.
  void Open() {
    queue_ = &QueueOf(request_.subscription());
    std::lock_guard lock(queue_->mu);
    queue_->stream = this;
    writing_ = true;
    StartWrite(&response_);
  }
  void End() {
    if (queue_ != nullptr) {
      std::lock_guard lock(queue_->mu);
      queue_->stream = nullptr;
    }
    Finish(grpc::Status::OK);
  }

  pubsub::StreamingPullRequest request_;
  pubsub::StreamingPullResponse response_;
  Queue* queue_ = nullptr;
  bool writing_ = false;
};

grpc::ServerUnaryReactor* Ok(Call* call) {
  auto* reactor = call->DefaultReactor();
  reactor->Finish(grpc::Status::OK);
  return reactor;
}

class Publisher final : public pubsub::Publisher::CallbackService {
  grpc::ServerUnaryReactor* CreateTopic(Call* call, const pubsub::Topic*, pubsub::Topic*) override {
    return Ok(call);
  }
  grpc::ServerUnaryReactor* DeleteTopic(Call* call, const pubsub::DeleteTopicRequest* request,
                                        google::protobuf::Empty*) override {
    Queue& queue = QueueOf(request->topic());
    std::lock_guard lock(queue.mu);
    queue.messages.clear();
    return Ok(call);
  }
  grpc::ServerUnaryReactor* Publish(Call* call, const pubsub::PublishRequest* request,
                                    pubsub::PublishResponse* response) override {
    Queue& queue = QueueOf(request->topic());
    Stream* stream = nullptr;
    {
      std::lock_guard lock(queue.mu);
      for (const auto& message : request->messages()) {
        *response->add_message_ids() = std::to_string(++next_id_);
        queue.messages.push_back(message);
        queue.messages.back().set_message_id(
            response->message_ids().at(response->message_ids_size() - 1));
      }
      stream = queue.stream;
    }
    if (stream != nullptr) stream->Pump();
    return Ok(call);
  }

  std::atomic<uint64_t> next_id_{0};
};

class Subscriber final : public pubsub::Subscriber::CallbackService {
  grpc::ServerUnaryReactor* CreateSubscription(Call* call, const pubsub::Subscription*,
                                               pubsub::Subscription*) override {
    return Ok(call);
  }
  grpc::ServerUnaryReactor* DeleteSubscription(Call* call, const pubsub::DeleteSubscriptionRequest*,
                                               google::protobuf::Empty*) override {
    return Ok(call);
  }
  grpc::ServerBidiReactor<pubsub::StreamingPullRequest, pubsub::StreamingPullResponse>*
  StreamingPull(Call*) override {
    return new Stream;
  }
};

int main() {
  Publisher publisher;
  Subscriber subscriber;
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.SetMaxReceiveMessageSize(-1);
  builder.RegisterService(&publisher);
  builder.RegisterService(&subscriber);
  const auto server = builder.BuildAndStart();
  std::printf("%d\n", port);
  std::fflush(stdout);
  server->Wait();
}
