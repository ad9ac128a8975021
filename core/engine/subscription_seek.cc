// How a subscription begins anew elsewhere. The one who pumps does it, between two deliveries, so that neither the cursor nor
// a consumer sees anything of before after it.
#include <utility>

#include "core/base/error.h"
#include "core/engine/subscription.h"

namespace sluice {

void Subscription::Seek(CursorState state, StoreDone done) {
  {
    MutexLock lock(mu_);
    if (!ended_.ok()) {
      const absl::Status why = ended_;
      lock.Unlock();
      return done(why);
    }
    seek_ = {std::move(state), std::move(done)};
  }
  Pump();
}

void Subscription::ApplySeek(MutexLock& lock) {
  PendingSeek seek = *std::move(seek_);
  seek_.reset();
  const Offset old_floor = acked_.floor();
  ForgetAll();
  skipped_.clear();
  wanted_.reset();
  ++epoch_;
  BeginAt(seek.state);
  std::shared_ptr<Topic> topic = topic_;
  lock.Unlock();
  if (cursor_ != nullptr) {
    cursor_->Seek(std::move(seek.state), std::move(seek.done));
  } else {
    seek.done(absl::OkStatus());
  }
  if (topic != nullptr && floor() > old_floor) topic->FloorMoved(old_floor);
  lock.Lock();
}

CursorState Subscription::Progress() const {
  MutexLock lock(mu_);
  return {.acked = acked_, .delivered_end = acked_.floor(), .attempts = {}};
}

}  // namespace sluice
