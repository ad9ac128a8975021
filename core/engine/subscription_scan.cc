// What of the backlog the filter leaves out, known without a consumer: batches are looked into as
// they are appended, and after a restart or a seek what is in the log is read once, in the
// background. So backlog and age are true while nobody consumes, and the log does not hold what the
// subscription will never get.
#include <algorithm>
#include <utility>

#include "core/engine/subscription.h"
#include "core/storage/damage.h"

namespace sluice {
namespace {

constexpr size_t kScanBytes = size_t{1} << 20;
constexpr absl::Duration kScanRetryDelay = absl::Milliseconds(100);

}  // namespace

void Subscription::PassFiltered(OffsetRange range) {
  context_->metrics.engine.filtered_messages.Add(range.size());
  // What was counted as being ahead is not ahead any more.
  if (range.begin < scanned_)
    filtered_ahead_ -= std::min(filtered_ahead_, std::min(range.end, scanned_) - range.begin);
}

void Subscription::RestartScan() {
  scanned_ = next_;
  head_matches_ = Offset();
  filtered_ahead_ = 0;
}

// Where the next look begins: at the floor when that may be a message that the filter leaves out
// and that holds the log.
std::optional<Offset> Subscription::ScanFrom() const {
  if (filter_.matches_all() || snapshot_ || topic_ == nullptr || next_ >= end_) return std::nullopt;
  const Offset floor = acked_.floor();
  const bool held_by_head = floor >= next_ && floor < end_ && head_matches_ != floor;
  const Offset from = held_by_head ? floor : std::max(scanned_, next_);
  return from < end_ ? std::optional(from) : std::nullopt;
}

void Subscription::Scan(const Batch& batch) {
  const std::optional<Offset> from = ScanFrom();
  if (!from || *from < batch.first() || *from >= batch.end()) return;
  // What lies behind what was skipped may be settled already, since it expired, say.
  while (acked_.floor() >= next_ && acked_.floor() < batch.end() &&
         head_matches_ != acked_.floor()) {
    next_ = acked_.floor();
    SkipFiltered(batch);
    if (acked_.floor() == next_ && next_ < batch.end()) head_matches_ = next_;
  }
  if (scanned_ < next_) {
    scanned_ = next_;
    filtered_ahead_ = 0;
  }
  for (; scanned_ < batch.end(); ++scanned_) {
    const std::string_view message = batch.message(static_cast<uint32_t>(scanned_ - batch.first()));
    if (!acked_.Contains(scanned_) && !filter_.Matches(message)) ++filtered_ahead_;
  }
}

// What is at hand need not be read.
void Subscription::ScanWindow() {
  if (filter_.matches_all()) return;
  for (const Ref<Batch>& batch : window_) Scan(*batch);
}

// Of what cannot be read nothing is known: it counts as backlog.
void Subscription::ScanPast(Offset end) {
  scanned_ = std::max(scanned_, end);
  head_matches_ = std::max(acked_.floor(), next_);
}

void Subscription::ScheduleNextScan() {
  if (scanning_ || !ScanFrom()) return;
  scanning_ = true;
  // Not from here: the caller may hold locks.
  context_->timers.At(context_->clock.Now(), [weak = weak_from_this()] {
    if (auto self = weak.lock()) self->ScanNext();
  });
}

void Subscription::ScanNext() {
  std::optional<Offset> from;
  std::shared_ptr<Topic> topic;
  {
    MutexLock lock(mu_);
    from = ScanFrom();
    topic = topic_;
    scanning_ = from.has_value();
  }
  if (!from || !context_->gate.Enter()) return;
  topic->log().Read(*from, kScanBytes,
                    [self = shared_from_this(),
                     from = *from](const absl::StatusOr<std::vector<Ref<Batch>>>& read) {
                      self->OnScanned(from, read);
                      self->context_->gate.Leave();
                    });
}

void Subscription::OnScanned(Offset from, const absl::StatusOr<std::vector<Ref<Batch>>>& read) {
  {
    MutexLock lock(mu_);
    scanning_ = false;
    if (absl::IsDataLoss(read.status())) {
      const std::optional<OffsetRange> lost = DamagedMessages(read.status());
      ScanPast(lost ? lost->end : end_);
      ScheduleScan();
    } else if (read.ok()) {
      // What was there is gone, or another look was faster.
      if (const Offset found = read->empty() ? end_ : read->front()->first(); found > from)
        ScanPast(found);
      for (const Ref<Batch>& batch : *read) Scan(*batch);
      ScheduleScan();
    } else {
      // Too many reads at once, say.
      scanning_ = true;
      context_->timers.At(context_->clock.Now() + kScanRetryDelay, [weak = weak_from_this()] {
        if (auto self = weak.lock()) self->ScanNext();
      });
    }
  }
  TellSkipped();
}

}  // namespace sluice
