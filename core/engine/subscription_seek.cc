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
    last_used_ = context_->clock.RoughNow();
    seek_ = {std::move(state), std::move(done)};
    seek_waits_ = true;
  }
  Pump();
}

Subscription::Sought Subscription::ApplySeek() {
  Sought sought{*std::move(seek_), acked_.floor(), topic_};
  seek_.reset();
  seek_waits_ = false;
  ForgetAll();
  skipped_.clear();
  wanted_.reset();
  ++epoch_;
  BeginAt(sought.seek.state);
  return sought;
}

void Subscription::TellSought(Sought sought) {
  if (cursor_ != nullptr) {
    cursor_->Seek(std::move(sought.seek.state), std::move(sought.seek.done));
  } else {
    sought.seek.done(absl::OkStatus());
  }
  if (sought.topic == nullptr) return;
  if (floor() > sought.old_floor) sought.topic->FloorMoved(sought.old_floor);
  sought.topic->expiry().Revisit(floor());
}

CursorState Subscription::Progress() const {
  MutexLock lock(mu_);
  return {.acked = acked_, .failures = {}};
}

}  // namespace sluice
