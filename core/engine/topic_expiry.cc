#include "core/engine/topic_expiry.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "core/engine/subscription.h"
#include "core/engine/topic.h"
#include "core/storage/damage.h"

namespace sluice {
namespace {

constexpr size_t kReadBytes = size_t{1} << 20;
// The wall clock may be set: it is looked at this often while anything may expire.
constexpr absl::Duration kLookAtTimeOfDay = absl::Seconds(1);
// So that reading through a large log after a start leaves the disk to others.
constexpr int64_t kScanPauseUs = 20'000;
constexpr int64_t kBusyPauseUs = 100'000;
constexpr int64_t kErrorPauseUs = 1'000'000;

int64_t WallUs(const EngineContext& context) { return absl::ToUnixMicros(context.clock.WallNow()); }

// The earliest time after `after_us` at which a message of the batch expires, by itself or by
// `ttl_us`.
int64_t NextExpiry(const Batch& batch, int64_t ttl_us, int64_t after_us) {
  int64_t next = kNeverExpires;
  if (ttl_us > 0 && batch.publish_time_us() + ttl_us > after_us)
    next = batch.publish_time_us() + ttl_us;
  if (!MayExpireAt(batch, 0, batch.count())) return next;
  for (uint32_t i = 0; i < batch.count(); ++i) {
    const int64_t at_us = MessageView(batch.message(i)).expire_at_us();
    if (at_us > after_us) next = std::min(next, at_us);
  }
  return next;
}

}  // namespace

TopicExpiry::TopicExpiry(EngineContext& context, Topic& topic)
    : context_(context), topic_(topic), ttl_from_(topic.log().extent().first) {}

void TopicExpiry::OnAppended(const Batch& batch) {
  const int64_t ttl_us = topic_.message_ttl_us();
  const int64_t at_us = NextExpiry(batch, 0, std::numeric_limits<int64_t>::min());
  MutexLock lock(mu_);
  if (at_us != kNeverExpires) index_.Add({batch.first(), batch.end()}, at_us);
  if (ttl_us > 0) FileOutOfOrder(batch, ttl_us);
  if (ttl_from_ == batch.first()) ttl_publish_us_ = batch.publish_time_us();
  Arm();
}

void TopicExpiry::FileOutOfOrder(const Batch& batch, int64_t ttl_us) {
  // What is not scanned yet may have been published later than this one.
  const bool is_new = scan_.end <= batch.first();
  if (batch.publish_time_us() < latest_publish_us_ || (is_new && !scan_.empty())) {
    index_.Add({batch.first(), batch.end()}, batch.publish_time_us() + ttl_us);
  }
  latest_publish_us_ = std::max(latest_publish_us_, batch.publish_time_us());
}

void TopicExpiry::ScanLog(const LogExtent& extent) {
  MutexLock lock(mu_);
  scan_ = {extent.first, extent.next};
  ttl_from_ = extent.first;
  ttl_publish_us_.reset();
  Arm();
}

void TopicExpiry::Revisit(Offset from) {
  MutexLock lock(mu_);
  const OffsetRange again{std::max(from, expired_.begin), expired_.end};
  if (again.empty()) return;
  scan_ = scan_.empty()
              ? again
              : OffsetRange{std::min(scan_.begin, again.begin), std::max(scan_.end, again.end)};
  Arm();
}

void TopicExpiry::Add(OffsetRange range, int64_t at_us) {
  MutexLock lock(mu_);
  index_.Add(range, at_us);
  Arm();
}

void TopicExpiry::TtlChanged() {
  const Offset first = topic_.log().extent().first;
  MutexLock lock(mu_);
  ttl_from_ = first;
  ttl_publish_us_.reset();
  Arm();
}

void TopicExpiry::DropBefore(Offset before) {
  MutexLock lock(mu_);
  index_.DropBefore(before);
  if (ttl_from_ < before) {
    ttl_from_ = before;
    ttl_publish_us_.reset();
  }
  scan_.begin = std::max(scan_.begin, before);
  expired_.begin = std::max(expired_.begin, before);
}

int64_t TopicExpiry::TtlDueUs() const {
  const int64_t ttl_us = topic_.message_ttl_us();
  if (ttl_us == 0 || ttl_from_ >= topic_.durable_end()) return kNeverExpires;
  // A little later, so that those that follow at once expire with it.
  return ttl_publish_us_ ? *ttl_publish_us_ + ttl_us + ExpiryIndex::kStepUs : 0;
}

int64_t TopicExpiry::NextUs() const {
  int64_t next_us = std::min(index_.next_us(), TtlDueUs());
  if (!scan_.empty()) next_us = std::min(next_us, scan_at_us_);
  return std::max(next_us, not_before_us_);
}

void TopicExpiry::Arm() {
  const int64_t next_us = NextUs();
  if (busy_ || next_us == kNeverExpires) return;
  const Clock::Times now = context_.clock.Both();
  const absl::Duration wait = absl::Microseconds(std::max<int64_t>(next_us - now.wall_us, 0));
  const Instant due = now.now + std::min(wait, kLookAtTimeOfDay);
  if (due >= armed_) return;
  armed_ = due;
  context_.timers.At(due, [weak = topic_.weak_from_this(), this] {
    if (const auto topic = weak.lock()) OnTimer();
  });
}

void TopicExpiry::OnTimer() {
  std::optional<Work> work;
  bool scans = false;
  {
    MutexLock lock(mu_);
    scans = !scan_.empty();
  }
  const Offset needed_from = scans ? topic_.BacklogFrom() : Offset(0);
  {
    MutexLock lock(mu_);
    armed_ = Instant::Never();
    if (busy_) return;
    work = NextWork(WallUs(context_), needed_from);
    busy_ = work.has_value();
    if (!work) return Arm();
  }
  Read(*work);
}

std::optional<TopicExpiry::Work> TopicExpiry::NextWork(int64_t now_us, Offset needed_from) {
  if (not_before_us_ > now_us) {
    // Unless the clock was set back.
    not_before_us_ = std::min(not_before_us_, now_us + kErrorPauseUs);
    return std::nullopt;
  }
  if (const auto due = index_.TakeDue(now_us)) return Work{Source::kIndex, *due};
  if (TtlDueUs() <= now_us) return Work{Source::kTtl, {ttl_from_, topic_.durable_end()}};
  if (scan_.empty()) return std::nullopt;
  scan_at_us_ = std::min(scan_at_us_, now_us + kScanPauseUs);
  if (scan_at_us_ > now_us) return std::nullopt;
  // What everybody has acknowledged need not be read now.
  if (const Offset floor = std::min(needed_from, scan_.end); floor > scan_.begin) {
    NoteExpired({scan_.begin, floor});
    scan_.begin = floor;
    // It may have been published later than what follows, which would wait for it.
    if (ttl_from_ < floor) {
      ttl_from_ = floor;
      ttl_publish_us_.reset();
    }
  }
  if (scan_.empty()) return std::nullopt;
  return Work{Source::kScan, scan_};
}

void TopicExpiry::Read(const Work& work) {
  if (!context_.gate.Enter()) return;
  size_t bytes = kReadBytes;
  if (work.source == Source::kIndex) {
    const LogExtent extent = topic_.log().extent();
    bytes =
        std::min<uint64_t>(bytes, extent.bytes / std::max<uint64_t>(extent.next - extent.first, 1) *
                                      work.range.size());
  }
  const auto found = [topic = topic_.shared_from_this(), this, work](absl::StatusOr<Batches> read) {
    OnRead(work, std::move(read));
    context_.gate.Leave();
  };
  auto cached = context_.tail.Find(topic_.id(), work.range.begin, bytes);
  cached.empty() ? topic_.log().Read(work.range.begin, bytes, found) : found(std::move(cached));
}

void TopicExpiry::OnRead(const Work& work, absl::StatusOr<Batches> read) {
  bool done = false;
  if (read.ok()) {
    // Batches go whole, those behind the range not at all.
    while (!read->empty() && read->back()->first() >= work.range.end) read->pop_back();
    if (!read->empty()) {
      // First: who comes or seeks back while this goes on has to know.
      MutexLock lock(mu_);
      NoteExpired({read->front()->first(), read->back()->end()});
    }
    done = Expire(*read);
  }
  MutexLock lock(mu_);
  busy_ = false;
  const int64_t now_us = WallUs(context_);
  done ? Done(work, *read, now_us) : Failed(work, read.status(), now_us);
  Arm();
}

bool TopicExpiry::Expire(const Batches& batches) const {
  bool all = true;
  for (const auto list = topic_.subscriptions(); const auto& subscription : *list)
    all &= subscription->LetExpire(batches);
  return all;
}

void TopicExpiry::Failed(const Work& work, const absl::Status& status, int64_t now_us) {
  // What is damaged does not expire before its retention ends; what lies behind it does.
  if (const std::optional<OffsetRange> lost = DamagedMessages(status))
    return GoOn(work, lost->end, now_us);
  not_before_us_ = now_us + (status.ok() ? kBusyPauseUs : kErrorPauseUs);
  if (work.source == Source::kIndex) index_.Add(work.range, now_us);
}

void TopicExpiry::GoOn(const Work& work, Offset from, int64_t now_us) {
  switch (work.source) {
    case Source::kIndex:
      // Due now: the index rounds up.
      index_.Add({from, work.range.end}, now_us - ExpiryIndex::kStepUs);
      return;
    case Source::kScan:
      // Unless a part in front of it was added meanwhile.
      if (scan_.begin >= work.range.begin)
        scan_.begin = std::max(scan_.begin, std::min(from, scan_.end));
      scan_at_us_ = now_us + kScanPauseUs;
      return;
    case Source::kTtl:
      // Unless it was set meanwhile.
      if (ttl_from_ != work.range.begin) return;
      ttl_from_ = from;
      ttl_publish_us_.reset();
  }
}

void TopicExpiry::NoteExpired(OffsetRange range) {
  expired_ = expired_.empty() ? range
                              : OffsetRange{std::min(expired_.begin, range.begin),
                                            std::max(expired_.end, range.end)};
}

void TopicExpiry::Done(const Work& work, const Batches& batches, int64_t now_us) {
  const int64_t ttl_us = topic_.message_ttl_us();
  const Offset end = batches.empty() ? work.range.end : batches.back()->end();
  if (work.source == Source::kTtl) {
    const auto young = std::find_if(batches.begin(), batches.end(), [&](const Ref<Batch>& batch) {
      return ttl_us == 0 || batch->publish_time_us() + ttl_us > now_us;
    });
    if (young == batches.end()) return GoOn(work, end, now_us);
    // Unless it was set meanwhile.
    if (ttl_from_ != work.range.begin) return;
    ttl_from_ = (*young)->first();
    ttl_publish_us_ = (*young)->publish_time_us();
    return;
  }
  for (const Ref<Batch>& batch : batches) {
    const bool scans = work.source == Source::kScan;
    const bool in_line = scans && batch->first() >= ttl_from_;
    const int64_t next_us = NextExpiry(*batch, in_line ? 0 : ttl_us, now_us);
    if (next_us != kNeverExpires) index_.Add({batch->first(), batch->end()}, next_us);
    if (scans && ttl_us > 0) FileOutOfOrder(*batch, ttl_us);
  }
  GoOn(work, end, now_us);
}

}  // namespace sluice
