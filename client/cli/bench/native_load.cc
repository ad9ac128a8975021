#include <memory>
#include <vector>

#include "client/cli/bench/channel.h"
#include "client/cli/bench/load.h"
#include "client/cli/bench/native_publisher.h"
#include "client/cli/bench/stream_subscriber.h"

namespace sluice::cli {
namespace {

class Native final : public Load {
 public:
  Native(const Session& session, const LoadOptions& options, Tally* tally)
      : session_(session), options_(options), tally_(tally) {}
  ~Native() override {
    for (const auto& channel : streaming_) WaitUntilReleased(channel);
  }

  absl::Status SetUp() override {
    client::Admin admin = session_.OpenAdmin();
    v1::Topic topic;
    topic.set_name(options_.topic);
    if (options_.own_topic) {
      if (auto made = admin.CreateTopic(topic); !made.ok()) return made.status();
    }
    for (size_t i = 0; i < options_.subscriptions; ++i) {
      v1::Subscription subscription;
      subscription.set_name(options_.SubscriptionOf(i));
      subscription.set_topic(options_.topic);
      subscription.set_enable_message_ordering(options_.ordered);
      subscription.set_enable_exactly_once_delivery(options_.exactly_once);
      if (auto made = admin.CreateSubscription(subscription); !made.ok()) return made.status();
    }
    return absl::OkStatus();
  }

  void CleanUp() override {
    client::Admin admin = session_.OpenAdmin();
    for (size_t i = 0; i < options_.subscriptions; ++i)
      admin.DeleteSubscription(options_.SubscriptionOf(i)).IgnoreError();
    if (options_.own_topic) admin.DeleteTopic(options_.topic).IgnoreError();
  }

  std::unique_ptr<LoadPublisher> Publish(size_t number) override {
    return std::make_unique<NativePublisher>(OpenChannel(session_), options_, number, tally_);
  }

  std::shared_ptr<LoadSubscriber> Subscribe(size_t number) override {
    auto subscriber = MakeNativeSubscriber(options_, number % options_.subscriptions, tally_);
    streaming_.push_back(OpenChannel(session_));
    subscriber->Start(streaming_.back());
    return subscriber;
  }

 private:
  const Session& session_;
  const LoadOptions& options_;
  Tally* const tally_;
  // Those of the subscribers.
  std::vector<std::shared_ptr<grpc::Channel>> streaming_;
};

}  // namespace

std::unique_ptr<Load> NativeLoad(const Session& session, const LoadOptions& options, Tally* tally) {
  return std::make_unique<Native>(session, options, tally);
}

}  // namespace sluice::cli
