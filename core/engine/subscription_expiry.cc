// How messages leave a subscription when their time is over, while nobody looks at them
// (core/engine/topic_expiry.h). What is out stays so until its lease ends; what is on its way to
// the dead-letter topic goes there.
#include <algorithm>

#include "core/engine/expiry_index.h"
#include "core/engine/subscription.h"

namespace sluice {
namespace {

// Of those that are not looked at yet, waiting to be copied: each takes memory until then.
constexpr uint64_t kMaxExpiredUnseen = 50'000;

}  // namespace

bool Subscription::LetExpire(const std::vector<Ref<Batch>>& batches) {
  if (snapshot_) return true;
  {
    MutexLock lock(mu_);
    if (!ended_.ok() || topic_ == nullptr) return true;
    // What a seek brings back is looked at after it.
    if (seek_) return true;
    if (expired_unseen_ >= kMaxExpiredUnseen) return false;
    const Moment now = Look();
    // What goes may let a later message of its key out, which is not to overtake one whose lease is
    // over.
    EndLeases(now.now);
    OffsetRanges unkeyed;
    for (const Ref<Batch>& batch : batches) {
      const bool all = TtlPassed(*batch, now);
      if (!all && !MayExpireAt(*batch, 0, batch->count())) continue;
      for (Offset at = acked_.NextUnacked(batch->first()); at < batch->end();
           at = acked_.NextUnacked(at + 1)) {
        if (!all && !Expired(*batch, at, now)) continue;
        at < next_ ? ExpireKnown(*batch, at, &unkeyed) : ExpireUnseen(*batch, at);
      }
    }
    if (!unkeyed.empty()) {
      for (const ReadySet::Range& gone : ready_.Take(unkeyed)) Expire(gone.offsets, gone.attempts);
    }
    // The next one of a key may have a time of its own.
    ArmTimer(now);
  }
  Pump();
  return true;
}

void Subscription::ExpireKnown(const Batch& batch, Offset offset, OffsetRanges* unkeyed) {
  const OffsetRange one{offset, offset + 1};
  if (config_.ordered && !batch.plain()) {
    const MessageView message(batch.message(static_cast<uint32_t>(offset - batch.first())));
    if (!message.ordering_key().empty()) {
      if (const auto attempts = keys_.Expire(message.ordering_key(), offset, buries_expired()))
        Expire(one, *attempts);
      return;
    }
  }
  Append(unkeyed, one);
}

void Subscription::ExpireUnseen(const Batch& batch, Offset offset) {
  if (HeldUnseen(offset)) return;
  const OffsetRange one{offset, offset + 1};
  if (!filter_.Matches(batch.message(static_cast<uint32_t>(offset - batch.first())))) {
    PassFiltered(one);
    Skip(one);
    return;
  }
  const uint32_t attempts = FailuresBefore(offset);
  if (attempts == kCondemned) return;
  Expire(one, attempts);
  if (!buries_expired()) return;
  history_[offset] = kCondemned;
  ++expired_unseen_;
}

void Subscription::ForgetCondemned(Offset offset) {
  if (expired_unseen_ == 0) return;
  auto it = history_.find(offset);
  if (it == history_.end() || it->second != kCondemned) return;
  history_.erase(it);
  --expired_unseen_;
}

int64_t Subscription::ExpiryOf(const Batch& batch, uint32_t begin, uint32_t end) const {
  const int64_t ttl_us = topic_->message_ttl_us();
  int64_t at_us = ttl_us > 0 ? batch.publish_time_us() + ttl_us : kNeverExpires;
  if (!MayExpireAt(batch, begin, end)) return at_us;
  for (uint32_t i = begin; i < end; ++i)
    at_us = std::min(at_us, MessageView(batch.message(i)).expire_at_us());
  return at_us;
}

}  // namespace sluice
