// How a subscription seeks. The one who pumps does it, between two deliveries, so
// that neither the cursor nor a consumer sees anything of before after it.
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
    seek_ = std::make_unique<PendingSeek>(PendingSeek{std::move(state), std::move(done)});
    seek_waits_ = true;
  }
  Pump();
}

Subscription::PendingSeek Subscription::ApplySeek() {
  PendingSeek sought = std::move(*seek_);
  seek_.reset();
  seek_waits_ = false;
  ForgetAll();
  skipped_.clear();
  wanted_.reset();
  ++epoch_;
  BeginAt(sought.state);
  return sought;
}

void Subscription::TellSought(PendingSeek sought) {
  if (cursor_ != nullptr) {
    cursor_->Seek(std::move(sought.state), std::move(sought.done));
  } else {
    sought.done(absl::OkStatus());
  }
}

CursorState Subscription::Progress() const {
  MutexLock lock(mu_);
  return {.acked = acked_, .failures = {}};
}

}  // namespace sluice
