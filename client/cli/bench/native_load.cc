#include <span>
#include <vector>

#include "client/cli/bench/load.h"
#include "client/cpp/publisher.h"
#include "client/cpp/subscriber.h"
#include "fmt/format.h"

namespace sluice::cli {
namespace {

class NativePublisher final : public LoadPublisher {
 public:
  NativePublisher(const Session& session, const LoadOptions& options, Tally* tally)
      : options_(options),
        tally_(*tally),
        messages_(options.batch),
        publisher_(session.Connect(), options.topic, Settings(options)) {
    for (client::Message& message : messages_) message.data.assign(options.size, 'x');
  }

  void Send(const Batch& batch) override {
    for (size_t i = 0; i < batch.count; ++i) {
      if (options_.keys > 0) {
        messages_[i].ordering_key = fmt::format("key-{}-{}", batch.publisher, (batch.first + i) % options_.keys);
      }
      WriteStamp(batch, i, messages_[i].data.data());
    }
    publisher_.PublishBatch(messages_, [this, batch](const absl::StatusOr<uint64_t>& id) {
      id.ok() ? tally_.Accepted(batch) : tally_.Refused(batch, id.status());
    });
  }

  void Close() override { publisher_.Close(absl::Seconds(30)).IgnoreError(); }

 private:
  static client::PublisherOptions Settings(const LoadOptions& options) {
    client::PublisherOptions settings;
    settings.batch_messages = options.batch;
    settings.max_messages = options.batch * options.inflight;
    settings.max_bytes = SIZE_MAX;
    return settings;
  }

  const LoadOptions& options_;
  Tally& tally_;
  std::vector<client::Message> messages_;
  client::Publisher publisher_;
};

class NativeSubscriber final : public LoadSubscriber {
 public:
  NativeSubscriber(const Session& session, const LoadOptions& options, Tally* tally)
      : subscriber_(session.Connect(), client::SubscriberTarget{.subscription = options.subscription}, Settings(options, tally)) {
    subscriber_.StartBatches([tally](std::span<const client::ReceivedMessage> messages) {
      tally->Delivered(messages, [](const client::ReceivedMessage& message) { return std::string_view(message.data); });
      return client::Verdict::Ack();
    });
  }

  void Stop() override { subscriber_.Stop(absl::Seconds(10)).IgnoreError(); }

 private:
  static client::SubscriberOptions Settings(const LoadOptions& options, Tally* tally) {
    client::SubscriberOptions settings;
    settings.concurrency = 1;
    settings.max_outstanding_messages = MaxOutstanding(options);
    settings.finished = [tally](const absl::Status& status) { tally->Failed(status); };
    return settings;
  }

  client::Subscriber subscriber_;
};

class Native final : public Load {
 public:
  Native(const Session& session, const LoadOptions& options, Tally* tally)
      : session_(session), options_(options), tally_(tally) {}

  absl::Status SetUp() override {
    client::Admin admin = session_.OpenAdmin();
    v1::Topic topic;
    topic.set_name(options_.topic);
    if (options_.own_topic) {
      if (auto made = admin.CreateTopic(topic); !made.ok()) return made.status();
    }
    v1::Subscription subscription;
    subscription.set_name(options_.subscription);
    subscription.set_topic(options_.topic);
    subscription.set_enable_message_ordering(options_.ordered);
    return admin.CreateSubscription(subscription).status();
  }

  void CleanUp() override {
    client::Admin admin = session_.OpenAdmin();
    admin.DeleteSubscription(options_.subscription).IgnoreError();
    if (options_.own_topic) admin.DeleteTopic(options_.topic).IgnoreError();
  }

  std::unique_ptr<LoadPublisher> Publish(size_t) override {
    return std::make_unique<NativePublisher>(session_, options_, tally_);
  }

  std::shared_ptr<LoadSubscriber> Subscribe(size_t) override {
    return std::make_shared<NativeSubscriber>(session_, options_, tally_);
  }

 private:
  const Session& session_;
  const LoadOptions& options_;
  Tally* const tally_;
};

}  // namespace

std::unique_ptr<Load> NativeLoad(const Session& session, const LoadOptions& options, Tally* tally) {
  return std::make_unique<Native>(session, options, tally);
}

}  // namespace sluice::cli
