#include "core/flow/lease_quota.h"

#include <algorithm>

namespace sluice {
namespace {

constexpr uint64_t kNoLimit = std::numeric_limits<uint64_t>::max();
constexpr uint64_t kMostReserve = 64;
// Small limits are kept to exactly.
constexpr uint64_t kReservesInLimit = 1000;

}  // namespace

LeaseQuota::LeaseQuota(LeaseLimits limits, TimerQueue& timers, const Clock& clock)
    : limits_(limits),
      unlimited_(limits.server == kNoLimit && limits.subscription == kNoLimit),
      reserve_(std::min({kMostReserve, limits.server / kReservesInLimit,
                         limits.subscription / kReservesInLimit})),
      timers_(timers),
      clock_(clock) {}

LeaseQuota::Share::~Share() {
  MutexLock lock(quota_.mu_);
  state_->gone = true;
  quota_.taken_ -= state_->held;
  if (state_->held > 0) quota_.WakeNext();
}

uint64_t LeaseQuota::Share::Room(uint64_t in_use, uint64_t most) {
  if (quota_.unlimited_) return most;
  const uint64_t spare = taken_ - in_use;
  if (spare >= most) return most;
  taken_ += quota_.Take(state_, most - spare, quota_.reserve_);
  const uint64_t room = std::min(taken_ - in_use, most);
  short_of_room_ = room < most;
  return room;
}

void LeaseQuota::Share::Hold(uint64_t in_use) {
  if (quota_.unlimited_) return;
  taken_ = in_use;
  quota_.TakeBeyond(state_, in_use);
}

void LeaseQuota::Share::Ended(uint64_t in_use) {
  if (quota_.unlimited_) return;
  const uint64_t spare = taken_ - in_use;
  const bool keeps_some = in_use > 0 && !short_of_room_;
  const uint64_t keep = keeps_some ? quota_.reserve_ : 0;
  if (spare == 0 || (keeps_some && spare <= 2 * keep)) return;
  taken_ -= spare - keep;
  quota_.Give(state_, spare - keep);
}

uint64_t LeaseQuota::Take(const std::shared_ptr<State>& share, uint64_t wanted, uint64_t more) {
  MutexLock lock(mu_);
  const uint64_t of_all = limits_.server - std::min(limits_.server, taken_);
  const uint64_t of_share = limits_.subscription - std::min(limits_.subscription, share->held);
  const uint64_t count = std::min({wanted + more, of_all, of_share});
  taken_ += count;
  share->held += count;
  if (count < wanted && !share->in_line) {
    share->in_line = true;
    line_.push_back(share);
  }
  return count;
}

void LeaseQuota::TakeBeyond(const std::shared_ptr<State>& share, uint64_t count) {
  MutexLock lock(mu_);
  taken_ += count;
  share->held += count;
}

void LeaseQuota::Give(const std::shared_ptr<State>& share, uint64_t count) {
  MutexLock lock(mu_);
  taken_ -= count;
  share->held -= count;
  WakeNext();
}

void LeaseQuota::WakeNext() {
  if (taken_ >= limits_.server) return;
  const auto has_room = [this](const auto& share) {
    return share->gone || share->held < limits_.subscription;
  };
  while (true) {
    const auto next = std::find_if(line_.begin(), line_.end(), has_room);
    if (next == line_.end()) return;
    const std::shared_ptr<State> share = *next;
    line_.erase(next);
    share->in_line = false;
    if (share->gone) continue;
    timers_.At(clock_.Now(), [this, share] {
      share->wake();
      // It may have left room, or not want any more.
      MutexLock lock(mu_);
      WakeNext();
    });
    return;
  }
}

}  // namespace sluice
