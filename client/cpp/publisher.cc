#include "client/cpp/publisher.h"

#include <utility>

#include "client/cpp/publisher_core.h"

namespace sluice::client {

Publisher::Publisher(std::shared_ptr<Connection> connection, std::string topic,
                     PublisherOptions options)
    : connection_(std::move(connection)),
      core_(std::make_shared<PublisherCore>(
          GrpcStreams(connection_->channel(), "/sluice.v1.PubSub/Publish"), connection_->clock(),
          connection_->timers(), std::move(topic), std::move(options))) {}

Publisher::Publisher(StreamFactory streams, const Clock& clock, TimerQueue& timers,
                     std::string topic, PublisherOptions options)
    : core_(std::make_shared<PublisherCore>(std::move(streams), clock, timers, std::move(topic),
                                            std::move(options))) {}

Publisher::~Publisher() { core_->Abandon(); }

void Publisher::Publish(const Message& message, Done done) {
  core_->Publish({&message, 1}, PublisherCore::Company::kOthers, std::move(done));
}

std::future<absl::StatusOr<uint64_t>> Publisher::Publish(const Message& message) {
  auto promise = std::make_shared<std::promise<absl::StatusOr<uint64_t>>>();
  auto future = promise->get_future();
  Publish(message, [promise = std::move(promise)](absl::StatusOr<uint64_t> id) {
    promise->set_value(std::move(id));
  });
  return future;
}

void Publisher::PublishBatch(std::span<const Message> messages, Done done) {
  core_->Publish(messages, PublisherCore::Company::kNone, std::move(done));
}

void Publisher::Flush() { core_->Flush(); }

absl::Status Publisher::Close(absl::Duration timeout) { return core_->Close(timeout); }

}  // namespace sluice::client
