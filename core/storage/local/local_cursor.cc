#include "core/storage/local/local_cursor.h"

#include <algorithm>
#include <utility>

namespace sluice {

LocalCursor::LocalCursor(Committer& committer, View::SubscriptionState state)
    : committer_(committer),
      id_(state.id),
      config_(std::move(state.config)),
      state_(std::move(state.cursor)) {}

CursorState LocalCursor::state() const {
  MutexLock lock(mu_);
  return state_;
}

LocalCursor::News LocalCursor::NoteChange(Urgency urgency) {
  changed_ = true;
  if (!reported_) {
    reported_ = urgency;
    return News::kChanged;
  }
  if (urgency <= *reported_ && urgency != Urgency::kNow) return News::kNone;
  reported_ = urgency;
  return News::kMoreUrgent;
}

void LocalCursor::Report(News news, Urgency urgency) {
  if (news == News::kNone) return;
  committer_.MarkDirty(news == News::kChanged ? shared_from_this() : nullptr, urgency);
}

void LocalCursor::Ack(absl::Span<const OffsetRange> ranges, StoreDone done) {
  const Urgency urgency = done ? Urgency::kNow : Urgency::kSoon;
  News news = News::kNone;
  {
    MutexLock lock(mu_);
    for (const OffsetRange& range : ranges) {
      state_.Ack(range);
      if (!pending_.acked.empty() && pending_.acked.back().end == range.begin) {
        pending_.acked.back().end = range.end;
      } else {
        pending_.acked.push_back(range);
      }
    }
    if (done) waiting_.push_back(std::move(done));
    news = NoteChange(urgency);
  }
  Report(news, urgency);
}

void LocalCursor::Failed(OffsetRange range, uint32_t failures) {
  News news = News::kNone;
  {
    MutexLock lock(mu_);
    state_.Fail(range, failures);
    pending_.failed.push_back({range, failures});
    // Else those that were told before would hold again after it.
    if (!pending_.leases.empty()) pending_.leases.push_back({.offsets = range});
    news = NoteChange(Urgency::kSoon);
  }
  Report(news, Urgency::kSoon);
}

void LocalCursor::Leased(absl::Span<const SavedLease> leases) {
  News news = News::kNone;
  {
    MutexLock lock(mu_);
    const size_t before = pending_.leases.size();
    for (const SavedLease& lease : leases) {
      if (state_.Lease(lease)) pending_.leases.push_back(lease);
    }
    if (pending_.leases.size() > before) news = NoteChange(Urgency::kEventually);
  }
  Report(news, Urgency::kEventually);
}

void LocalCursor::Seek(CursorState state, StoreDone done) {
  JournalEntry entry;
  entry.header.kind = RecordKind::kCursorState;
  entry.header.id = id_.value();
  entry.bytes = Encode(state);
  entry.target = shared_from_this();
  entry.done = std::move(done);
  {
    MutexLock lock(mu_);
    state_ = std::move(state);
    // What was said of the old state must not be applied to the new one.
    pending_ = {};
    changed_ = true;
  }
  committer_.Submit(std::move(entry));
}

JournalEntry LocalCursor::TakeChanges() {
  JournalEntry entry;
  entry.header.kind = RecordKind::kCursorDelta;
  entry.header.id = id_.value();
  entry.target = shared_from_this();
  MutexLock lock(mu_);
  entry.bytes = Encode(std::exchange(pending_, {}));
  if (std::exchange(refused_, false)) {
    entry.header.kind = RecordKind::kCursorState;
    entry.bytes = Encode(state_);
  }
  reported_.reset();
  if (!waiting_.empty()) {
    entry.done = [waiting = std::exchange(waiting_, {})](const absl::Status& status) {
      for (const StoreDone& done : waiting) done(status);
    };
  }
  return entry;
}

void LocalCursor::AfterWrite(const JournalEntry&, const absl::Status& status,
                             const JournalPosition&) {
  if (status.ok()) return;
  MutexLock lock(mu_);
  refused_ = true;
}

void LocalCursor::Acked(std::vector<OffsetRange> ranges) {
  Replayed(CursorDelta{.acked = std::move(ranges), .failed = {}});
}

void LocalCursor::Replayed(const CursorDelta& delta) {
  MutexLock lock(mu_);
  Apply(delta, &state_);
  changed_ = true;
}

void LocalCursor::Replayed(CursorState state) {
  MutexLock lock(mu_);
  state_ = std::move(state);
  changed_ = true;
}

std::string LocalCursor::config() const {
  MutexLock lock(mu_);
  return config_;
}

void LocalCursor::SetConfig(std::string config) {
  MutexLock lock(mu_);
  config_ = std::move(config);
  changed_ = true;
}

bool LocalCursor::changed() const {
  MutexLock lock(mu_);
  return changed_;
}

View::SubscriptionState LocalCursor::BeginCheckpoint() {
  MutexLock lock(mu_);
  changed_ = false;
  return {id_, config_, state_};
}

void LocalCursor::CheckpointDone(bool written) {
  MutexLock lock(mu_);
  changed_ |= !written;
}

}  // namespace sluice
