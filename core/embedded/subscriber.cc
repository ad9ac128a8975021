#include "core/embedded/subscriber.h"

#include "core/embedded/subscriber_core.h"

namespace sluice::embedded {

Subscriber::~Subscriber() { Close(absl::Seconds(10)).IgnoreError(); }

absl::Status Subscriber::Close(absl::Duration timeout) {
  core_->Stop();
  return core_->Finish(timeout);
}

SubscriberCounters Subscriber::counters() const { return core_->counters(); }

}  // namespace sluice::embedded
