#include "client/cpp/subscriber.h"

#include <utility>

#include "client/cpp/subscriber_core.h"

namespace sluice::client {

Subscriber::Subscriber(std::shared_ptr<Connection> connection, SubscriberTarget target,
                       SubscriberOptions options)
    : connection_(std::move(connection)),
      core_(std::make_shared<SubscriberCore>(
          GrpcStreams(connection_->channel(), "/sluice.v1.PubSub/Subscribe"), connection_->clock(),
          connection_->timers(), std::move(target), std::move(options))) {}

Subscriber::Subscriber(StreamFactory streams, const Clock& clock, TimerQueue& timers,
                       SubscriberTarget target, SubscriberOptions options)
    : core_(std::make_shared<SubscriberCore>(std::move(streams), clock, timers, std::move(target),
                                             std::move(options))) {}

Subscriber::~Subscriber() { core_->Abandon(); }

void Subscriber::Start(Handler handler) {
  core_->Start(1, [handler = std::move(handler)](std::span<const ReceivedMessage> messages) {
    return handler(messages.front());
  });
}

void Subscriber::StartBatches(BatchHandler handler) { core_->Start(SIZE_MAX, std::move(handler)); }

absl::Status Subscriber::Stop(absl::Duration timeout) { return core_->Stop(timeout); }

SubscriberCounters Subscriber::counters() const { return core_->counters(); }

}  // namespace sluice::client
