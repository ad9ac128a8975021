#include <memory>
#include <vector>

#include "client/cli/bench/channel.h"
#include "client/cli/bench/google_publisher.h"
#include "client/cli/bench/load.h"
#include "client/cli/bench/stream_subscriber.h"
#include "client/cpp/status.h"
#include "google/pubsub/v1/pubsub.grpc.pb.h"

namespace sluice::cli {
namespace {

namespace pubsub = ::google::pubsub::v1;

class Google final : public Load {
 public:
  Google(const Session& session, const LoadOptions& options, Tally* tally)
      : session_(session),
        options_(options),
        tally_(tally),
        channel_(OpenChannel(session)),
        publisher_(pubsub::Publisher::NewStub(channel_)),
        subscriber_(pubsub::Subscriber::NewStub(channel_)) {}

  ~Google() override {
    for (const auto& channel : streaming_) WaitUntilReleased(channel);
  }

  absl::Status SetUp() override {
    pubsub::Topic topic;
    topic.set_name(options_.topic);
    if (absl::Status status = Call(*publisher_, &pubsub::Publisher::Stub::CreateTopic, topic, &topic); !status.ok()) {
      return status;
    }
    for (const std::string& name : options_.subscriptions) {
      pubsub::Subscription subscription;
      subscription.set_name(name);
      subscription.set_topic(options_.topic);
      subscription.set_enable_message_ordering(options_.ordered);
      absl::Status status = Call(*subscriber_, &pubsub::Subscriber::Stub::CreateSubscription, subscription, &subscription);
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  }

  void CleanUp() override {
    google::protobuf::Empty nothing;
    for (const std::string& name : options_.subscriptions) {
      pubsub::DeleteSubscriptionRequest subscription;
      subscription.set_subscription(name);
      Call(*subscriber_, &pubsub::Subscriber::Stub::DeleteSubscription, subscription, &nothing).IgnoreError();
    }
    pubsub::DeleteTopicRequest topic;
    topic.set_topic(options_.topic);
    Call(*publisher_, &pubsub::Publisher::Stub::DeleteTopic, topic, &nothing).IgnoreError();
  }

  std::unique_ptr<LoadPublisher> Publish(size_t number) override {
    return std::make_unique<GooglePublisher>(OpenChannel(session_), options_, number, tally_);
  }

  std::shared_ptr<LoadSubscriber> Subscribe(size_t subscription) override {
    auto subscriber = MakeGoogleSubscriber(options_, subscription, tally_);
    streaming_.push_back(OpenChannel(session_));
    subscriber->Start(streaming_.back());
    return subscriber;
  }

 private:
  template <class Stub, class Request, class Response>
  absl::Status Call(Stub& stub, grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                    const Request& request, Response* response) {
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(absl::Now() + session_.timeout));
    return client::FromGrpc((stub.*method)(&context, request, response));
  }

  const Session& session_;
  const LoadOptions& options_;
  Tally* const tally_;
  const std::shared_ptr<grpc::Channel> channel_;
  const std::unique_ptr<pubsub::Publisher::Stub> publisher_;
  const std::unique_ptr<pubsub::Subscriber::Stub> subscriber_;
  // Those of the subscribers.
  std::vector<std::shared_ptr<grpc::Channel>> streaming_;
};

}  // namespace

std::unique_ptr<Load> GoogleLoad(const Session& session, const LoadOptions& options, Tally* tally) {
  return std::make_unique<Google>(session, options, tally);
}

}  // namespace sluice::cli
