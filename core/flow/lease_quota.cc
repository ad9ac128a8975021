#include "core/flow/lease_quota.h"

#include <algorithm>

namespace sluice {

LeaseQuota::Share::~Share() {
  MutexLock lock(quota_.mu_);
  state_->gone = true;
  quota_.leased_ -= state_->held;
  if (state_->held > 0) quota_.WakeNext();
}

uint64_t LeaseQuota::Take(const std::shared_ptr<State>& share, uint64_t most) {
  MutexLock lock(mu_);
  const uint64_t of_all = limits_.server - std::min(limits_.server, leased_);
  const uint64_t of_share = limits_.subscription - std::min(limits_.subscription, share->held);
  const uint64_t count = std::min({most, of_all, of_share});
  leased_ += count;
  share->held += count;
  if (count < most && !share->in_line) {
    share->in_line = true;
    line_.push_back(share);
  }
  // Whoever was called and left room passes the call on.
  if (leased_ < limits_.server) WakeNext();
  return count;
}

void LeaseQuota::Give(const std::shared_ptr<State>& share, uint64_t count) {
  MutexLock lock(mu_);
  leased_ -= count;
  share->held -= count;
  WakeNext();
}

void LeaseQuota::WakeNext() {
  if (leased_ >= limits_.server) return;
  const auto has_room = [this](const auto& share) { return share->gone || share->held < limits_.subscription; };
  while (true) {
    const auto next = std::find_if(line_.begin(), line_.end(), has_room);
    if (next == line_.end()) return;
    const std::shared_ptr<State> share = *next;
    line_.erase(next);
    share->in_line = false;
    if (share->gone) continue;
    timers_.At(clock_.Now(), [share] { share->wake(); });
    return;
  }
}

}  // namespace sluice
