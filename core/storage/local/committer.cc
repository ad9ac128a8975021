#include "core/storage/local/committer.h"

#include <algorithm>
#include <utility>

#include "core/base/error.h"
#include "core/base/thread_name.h"
#include "fmt/format.h"

namespace sluice {
namespace {

constexpr char kPadding[8] = {};

absl::Status NoMoreWrites() {
  return Error(
      Reason::kStorageUnavailable,
      "the store takes no more writes after a failed one; what it holds can still be read");
}

bool IsBatch(const JournalEntry& entry) { return IsNewBatch(entry.header.kind); }

bool IsFull(const absl::Status& status) { return ReasonOf(status) == Reason::kStorageFull; }

// What publishers are told; paths are for the log.
absl::Status RefusedFor(const absl::Status& no_space) {
  if (IsFull(no_space))
    return Error(Reason::kStorageFull, "the disk is full; acknowledging and deleting still work");
  return Error(Reason::kStorageUnavailable, "the store cannot make room for messages");
}

}  // namespace

Committer::Committer(Journal& journal, StoreMetrics& metrics, const Clock& clock, Options options)
    : journal_(journal), metrics_(metrics), clock_(clock), options_(std::move(options)) {
  thread_ = std::thread([this] { ThreadMain(); });
}

absl::Status Committer::Admit(const JournalEntry& entry) {
  if (stopping_) return Error(Reason::kDraining, "the store is closed");
  if (!writable()) return NoMoreWrites();
  if (!IsBatch(entry)) return absl::OkStatus();
  if (waiting_bytes_ > options_.max_queued_bytes) {
    return RetryableError(
        Reason::kTooMuchInFlight,
        fmt::format("{} bytes wait to be written, the most there may be", waiting_bytes_),
        absl::Milliseconds(100));
  }
  return absl::OkStatus();
}

void Committer::Submit(JournalEntry entry) {
  bool lead = false;
  {
    MutexLock lock(mu_);
    if (absl::Status status = Admit(entry); !status.ok()) {
      lock.Unlock();
      if (entry.done) entry.done(status);
      return;
    }
    waiting_bytes_ += entry.payload().size();
    waiting_.entries.push_back(std::move(entry));
    urgency_ = Urgency::kNow;
    if (options_.sync) {
      wake_.NotifyOne();
    } else if (!committing_) {
      committing_ = true;
      lead = true;
    }
  }
  if (lead) Lead();
}

void Committer::MarkDirty(std::shared_ptr<DirtySource> source, Urgency urgency) {
  MutexLock lock(mu_);
  const bool wakes = waiting_.empty() || urgency > urgency_ || urgency == Urgency::kNow;
  if (source != nullptr) waiting_.dirty.push_back(std::move(source));
  urgency_ = std::max(urgency_, urgency);
  if (wakes) wake_.NotifyOne();
}

Committer::Group Committer::TakeGroup() {
  urgency_ = Urgency::kEventually;
  waiting_bytes_ = 0;
  return std::exchange(waiting_, {});
}

void Committer::Lead() {
  MutexLock lock(mu_);
  while (!waiting_.empty()) {
    Group group = TakeGroup();
    lock.Unlock();
    Commit(std::move(group));
    lock.Lock();
    // What only lingers may wait for company.
    if (urgency_ != Urgency::kNow) break;
  }
  committing_ = false;
  idle_.NotifyAll();
  if (!waiting_.empty()) wake_.NotifyOne();
}

void Committer::Commit(Group group) {
  std::vector<JournalEntry>& entries = group.entries;
  for (const auto& source : group.dirty) entries.push_back(source->TakeChanges());
  std::vector<Outcome> outcomes(entries.size());
  {
    MutexLock lock(commit_mu_);
    WriteAndApply(entries, outcomes);
  }
  TellEvents();
  for (size_t i = 0; i < entries.size(); ++i) {
    if (entries[i].done) entries[i].done(outcomes[i].status);
  }
}

void Committer::WriteAndApply(std::vector<JournalEntry>& entries, std::vector<Outcome>& outcomes) {
  const Instant start = clock_.Now();
  // Without a spare the rest of the segment is for acks and deletes, so that space can come back.
  const absl::Status space =
      JudgeSpace(journal_.has_spare() ? absl::OkStatus() : journal_.EnsureSpare());
  size_t batches = 0;
  for (size_t i = 0; i < entries.size(); ++i) {
    if (!writable()) {
      outcomes[i].status = NoMoreWrites();
    } else if (!space.ok() && IsBatch(entries[i])) {
      outcomes[i].status = RefusedFor(space);
    } else if (IsBatch(entries[i])) {
      outcomes[i].status = entries[i].batch->CheckDeadline(clock_);
    }
    if (outcomes[i].status.ok()) {
      entries[i].target->BeforeWrite(entries[i]);
      batches += IsBatch(entries[i]) ? 1 : 0;
    }
  }
  WriteEntries(entries, outcomes);
  for (size_t i = 0; i < entries.size(); ++i)
    entries[i].target->AfterWrite(entries[i], outcomes[i].status, outcomes[i].at);
  metrics_.commits.Add();
  metrics_.commit_batches.Observe(static_cast<double>(batches));
  metrics_.commit_seconds.Observe(clock_.Now() - start);
}

void Committer::WriteEntries(std::vector<JournalEntry>& entries, std::vector<Outcome>& outcomes) {
  std::vector<char> headers(entries.size() * kRecordHeaderBytes);
  std::vector<iovec> parts;
  parts.reserve(entries.size() * 3);
  const auto fail_from = [&](size_t begin, const absl::Status& status) {
    metrics_.write_errors.Add();
    for (size_t i = begin; i < entries.size(); ++i) {
      if (outcomes[i].status.ok()) outcomes[i].status = status;
    }
  };
  bool starts_commit = true;
  for (size_t begin = 0; begin < entries.size();) {
    if (!outcomes[begin].status.ok()) {
      ++begin;
      continue;
    }
    // As much as fits into the segment that takes the first one.
    auto position = journal_.NextPosition(RecordBytes(entries[begin].payload().size()));
    if (!position.ok()) {
      // Nothing of this was written; unless there simply was no room, something is wrong with the
      // folder.
      if (!IsFull(position.status())) return FailAll(outcomes, position.status());
      NoteSpace(position.status());
      fail_from(begin, RefusedFor(position.status()));
      break;
    }
    const uint64_t room = journal_.Room();
    uint64_t bytes = 0;
    size_t end = begin;
    parts.clear();
    for (; end < entries.size(); ++end) {
      if (!outcomes[end].status.ok()) continue;
      const std::string_view payload = entries[end].payload();
      const uint64_t record_bytes = RecordBytes(payload.size());
      if (bytes + record_bytes > room) break;
      char* header = headers.data() + end * kRecordHeaderBytes;
      entries[end].header.after_unsynced = starts_commit && !options_.sync;
      entries[end].header.starts_commit = std::exchange(starts_commit, false);
      EncodeHeader(entries[end].header, payload, header);
      outcomes[end].at = {position->segment, position->offset + bytes};
      parts.push_back({header, kRecordHeaderBytes});
      parts.push_back({const_cast<char*>(payload.data()), payload.size()});
      if (const size_t padding = record_bytes - kRecordHeaderBytes - payload.size(); padding > 0) {
        parts.push_back({const_cast<char*>(kPadding), padding});
      }
      bytes += record_bytes;
    }
    if (absl::Status status = journal_.Write(parts, bytes); !status.ok()) {
      // A full disk is the one error after which it can be known again what is there.
      if (!IsFull(status) || !journal_.TakeBackWrite().ok()) return FailAll(outcomes, status);
      RanOutOfSpace(status);
      fail_from(begin, RefusedFor(status));
      break;
    }
    metrics_.appended_bytes.Add(bytes);
    full_pause_ = absl::ZeroDuration();
    begin = end;
  }
  const Instant before_sync = clock_.Now();
  if (absl::Status status = journal_.Sync(); !status.ok()) return FailAll(outcomes, status);
  if (options_.sync) metrics_.fsync_seconds.Observe(clock_.Now() - before_sync);
}

// It is unknown what is on the disk.
void Committer::FailAll(std::vector<Outcome>& outcomes, const absl::Status& status) {
  Close(status);
  for (Outcome& outcome : outcomes) {
    if (outcome.status.ok()) {
      outcome.status =
          Error(Reason::kStorageUnavailable,
                fmt::format("the store failed to write: {}", std::string(status.message())));
    }
  }
}

void Committer::Close(const absl::Status& status) {
  metrics_.write_errors.Add();
  if (failed_.exchange(true, std::memory_order_acq_rel)) return;
  events_.push_back(StoreEventOf(StoreEventKind::kClosed, status));
}

void Committer::CloseAfter(const absl::Status& failure) {
  {
    MutexLock lock(commit_mu_);
    Close(failure);
  }
  TellEvents();
}

absl::Status Committer::JudgeSpace(absl::Status spare) {
  absl::Status space = std::move(spare);
  if (space.ok() && clock_.Now() < full_until_) space = full_because_;
  NoteSpace(space);
  return space;
}

void Committer::RanOutOfSpace(const absl::Status& status) {
  full_pause_ = std::clamp(2 * full_pause_, options_.first_full_pause, options_.longest_full_pause);
  full_until_ = clock_.Now() + full_pause_;
  full_because_ = status;
  NoteSpace(status);
}

void Committer::NoteSpace(const absl::Status& status) {
  const bool full = !status.ok();
  if (full_.load(std::memory_order_relaxed) == full) return;
  full_.store(full, std::memory_order_release);
  events_.push_back(StoreEventOf(full ? StoreEventKind::kFull : StoreEventKind::kWritable, status));
}

// The spare is made without the lock: that takes its time.
void Committer::CheckSpace() {
  absl::Status spare = journal_.EnsureSpare();
  {
    MutexLock lock(commit_mu_);
    JudgeSpace(std::move(spare)).IgnoreError();
  }
  TellEvents();
}

void Committer::TellEvents() {
  std::vector<StoreEvent> events;
  {
    MutexLock lock(commit_mu_);
    events.swap(events_);
  }
  if (!options_.on_event) return;
  for (const StoreEvent& event : events) options_.on_event(event);
}

void Committer::RunExclusive(const std::function<void()>& fn) {
  {
    MutexLock lock(mu_);
    while (committing_) idle_.Wait(lock);
    committing_ = true;
    Group group = TakeGroup();
    lock.Unlock();
    if (!group.empty()) Commit(std::move(group));
  }
  {
    MutexLock lock(commit_mu_);
    fn();
  }
  Lead();
}

absl::StatusOr<JournalPosition> Committer::WriteExclusive(
    const std::function<std::vector<JournalEntry>()>& make) {
  absl::StatusOr<JournalPosition> first = journal_.end();
  RunExclusive([&] {
    commit_mu_.AssertHeld();
    std::vector<JournalEntry> entries = make();
    if (entries.empty()) return;
    std::vector<Outcome> outcomes(entries.size());
    WriteAndApply(entries, outcomes);
    first = outcomes.front().at;
    for (const Outcome& outcome : outcomes) {
      if (!outcome.status.ok()) first = outcome.status;
    }
  });
  return first;
}

void Committer::Linger(MutexLock& lock) {
  const Instant begin = clock_.Now();
  while (urgency_ != Urgency::kNow && !stopping_) {
    const Urgency urgency = urgency_;
    const absl::Duration left =
        begin + (urgency == Urgency::kSoon ? options_.linger : options_.long_linger) - clock_.Now();
    if (left <= absl::ZeroDuration()) return;
    if (!wake_.WaitFor(lock, left) && urgency == urgency_) return;
    // Somebody else has committed it.
    if (waiting_.empty()) return;
  }
}

void Committer::ThreadMain() {
  NameThisThread("journal-commit");
  for (;;) {
    {
      MutexLock lock(mu_);
      while (waiting_.empty() && !stopping_) wake_.Wait(lock);
      Linger(lock);
      while (committing_) idle_.Wait(lock);
      if (waiting_.empty()) {
        if (stopping_) return;
        continue;
      }
      committing_ = true;
    }
    Lead();
  }
}

void Committer::Stop() {
  {
    MutexLock lock(mu_);
    stopping_ = true;
    wake_.NotifyAll();
  }
  if (thread_.joinable()) thread_.join();
}

}  // namespace sluice
