#include "core/storage/local/maintenance.h"

#include <algorithm>
#include <utility>

#include "core/base/error.h"
#include "core/base/thread_name.h"
#include "core/storage/local/state_snapshot.h"

namespace sluice {
namespace {

constexpr absl::Duration kInterval = absl::Seconds(1);
constexpr absl::Duration kLongestBackoff = absl::Minutes(1);

// Waits for the callbacks of a number of submissions.
class Countdown {
 public:
  void Add() {
    MutexLock lock(mu_);
    ++left_;
  }
  void Done(bool ok) {
    MutexLock lock(mu_);
    all_ok_ &= ok;
    if (--left_ == 0) done_.NotifyAll();
  }
  // Whether all were OK.
  bool Wait() {
    MutexLock lock(mu_);
    while (left_ > 0) done_.Wait(lock);
    return all_ok_;
  }

 private:
  Mutex mu_;
  CondVar done_;
  int left_ GUARDED_BY(mu_) = 0;
  bool all_ok_ GUARDED_BY(mu_) = true;
};

}  // namespace

Maintenance::Turn::Turn(Maintenance& of) : of_(of) {
  MutexLock lock(of_.mu_);
  while (of_.taken_) of_.turn_over_.Wait(lock);
  of_.taken_ = true;
}

Maintenance::Turn::~Turn() {
  MutexLock lock(of_.mu_);
  of_.taken_ = false;
  of_.turn_over_.NotifyOne();
}

void Maintenance::Start() {
  thread_ = std::thread([this] { ThreadMain(); });
}

void Maintenance::Stop() {
  {
    MutexLock lock(mu_);
    stopping_ = true;
    wake_.NotifyAll();
  }
  if (thread_.joinable()) thread_.join();
}

void Maintenance::ThreadMain() {
  NameThisThread("journal-upkeep");
  for (;;) {
    {
      MutexLock lock(mu_);
      if (!stopping_) wake_.WaitFor(lock, kInterval);
      if (stopping_) return;
    }
    RunOnce();
  }
}

void Maintenance::RunOnce() {
  const Turn turn(*this);
  context_.committer.CheckSpace();
  // What is on the disk is unknown: nothing is to build on it.
  if (!context_.committer.writable()) return;
  if (snapshot_due_) WriteSnapshot();
  if (CheckpointDue() && clock_.Now() >= next_checkpoint_) CheckpointNow().IgnoreError();
  RemoveDeadSegments();
  // What is appended again frees nothing before the next checkpoint.
  if (failed_checkpoints_ == 0) RelocateOne();
}

bool Maintenance::CheckpointDue() const {
  const JournalPosition end = context_.journal.end();
  const auto segments = context_.journal.segments();
  uint64_t written = 0;
  bool reclaimable = false;
  for (const auto& [segment, bytes] : segments) {
    if (segment >= checkpoint_.segment) written += bytes;
    reclaimable |=
        segment < end.segment && context_.use.live(segment) == 0 &&
        !std::binary_search(dead_at_checkpoint_.begin(), dead_at_checkpoint_.end(), segment);
  }
  if (written >= checkpoint_.offset + options_.checkpoint_bytes) return true;
  if (reclaimable && clock_.Now() - checkpoint_time_ >= options_.reclaim_interval) return true;
  size_t unsaved = 0;
  for (const auto& log : catalogue_.Logs()) unsaved += log->unsaved();
  return unsaved >= options_.checkpoint_batches;
}

absl::Status Maintenance::Checkpoint() {
  const Turn turn(*this);
  return CheckpointNow();
}

absl::Status Maintenance::BeginBackup(const std::string& view_copy) {
  const Turn turn(*this);
  if (absl::Status status = CheckpointNow(); !status.ok()) return status;
  RemoveDeadSegments();
  if (absl::Status status = context_.view.LinkTo(view_copy); !status.ok()) return status;
  KeepFrom(0);
  return absl::OkStatus();
}

absl::Status Maintenance::CheckpointNow() {
  absl::Status status = WriteCheckpoint();
  TellCheckpoint(status);
  return status;
}

void Maintenance::TellCheckpoint(const absl::Status& status) {
  if (!status.ok()) {
    const int doublings = std::min(failed_checkpoints_++, 6);
    next_checkpoint_ = clock_.Now() + std::min(absl::Seconds(1 << doublings), kLongestBackoff);
    context_.metrics.checkpoints_failed.Add();
    StoreEvent event = StoreEventOf(StoreEventKind::kCheckpointFailed, status);
    if (event.operation.empty()) event.operation = "checkpoint";
    return context_.Tell(event);
  }
  context_.metrics.checkpoints_made.Add();
  next_checkpoint_ = Instant();
  if (std::exchange(failed_checkpoints_, 0) > 0)
    context_.Tell({.kind = StoreEventKind::kCheckpointMade});
}

void Maintenance::TellFailed(const absl::Status& status) {
  if (status.ok() || clock_.Now() < next_told_) return;
  next_told_ = clock_.Now() + kLongestBackoff;
  context_.Tell(StoreEventOf(StoreEventKind::kUpkeepFailed, status));
}

absl::Status Maintenance::WriteCheckpoint() {
  View::Checkpoint checkpoint;
  std::vector<uint64_t> dead;
  context_.committer.RunExclusive([&] {
    // First: a floor may move meanwhile.
    dead = DeadSegments();
    checkpoint = catalogue_.BeginCheckpoint();
    checkpoint.position = context_.journal.end();
  });
  // The view must not know more than the journal does after a power loss.
  absl::Status status = context_.journal.SyncAll();
  // The system says once that it could not write a file, and nobody else may hear it.
  if (!status.ok()) context_.committer.CloseAfter(status);
  if (status.ok()) status = context_.view.Write(checkpoint);
  catalogue_.CheckpointDone(checkpoint, status.ok());
  if (!status.ok()) return status;
  checkpoint_ = checkpoint.position;
  checkpoint_time_ = clock_.Now();
  dead_at_checkpoint_ = std::move(dead);
  return status;
}

std::vector<uint64_t> Maintenance::DeadSegments() const {
  const uint64_t active = context_.journal.end().segment;
  std::vector<uint64_t> dead;
  for (const auto& [segment, bytes] : context_.journal.segments()) {
    if (segment < active && context_.use.live(segment) == 0) dead.push_back(segment);
  }
  return dead;
}

void Maintenance::RemoveDeadSegments() {
  const std::vector<uint64_t> removable = RemovableSegments();
  if (removable.empty()) return;
  if (!std::includes(spent_.begin(), spent_.end(), removable.begin(), removable.end())) {
    // What a snapshot takes is to be little beside what it frees.
    constexpr uint64_t kWorth = 4;
    const auto segments = context_.journal.segments();
    uint64_t bytes = 0;
    for (uint64_t segment : removable) bytes += segments.at(segment);
    if (bytes < kWorth * snapshot_bytes_ || !WriteSnapshot()) return;
    spent_ = dead_at_checkpoint_;
  }
  for (uint64_t segment : removable) {
    const absl::Status removed = context_.journal.Remove(segment);
    TellFailed(removed);
    if (!removed.ok()) continue;
    std::erase(dead_at_checkpoint_, segment);
    context_.metrics.segments_deleted.Add();
  }
}

std::vector<uint64_t> Maintenance::RemovableSegments() const {
  const uint64_t keep_from =
      std::min(checkpoint_.segment, keep_from_.load(std::memory_order_acquire));
  const auto end =
      std::lower_bound(dead_at_checkpoint_.begin(), dead_at_checkpoint_.end(), keep_from);
  return {dead_at_checkpoint_.begin(), end};
}

bool Maintenance::WriteSnapshot() {
  if (!context_.committer.writable()) return false;
  const auto written = WriteStateSnapshot(context_, catalogue_);
  if (!written.ok()) {
    // The view has all of it, and on a full disk space must come back. The next snapshot makes up
    // for it.
    snapshot_due_ = true;
    return ReasonOf(written.status()) == Reason::kStorageFull;
  }
  snapshot_due_ = false;
  snapshot_bytes_ = *written;
  return true;
}

// One segment at a time, the oldest first; it goes with the checkpoint that follows.
void Maintenance::RelocateOne() {
  if (!context_.committer.writable() || !context_.journal.has_spare()) return;
  for (const auto& [segment, bytes] : context_.journal.segments()) {
    if (segment >= checkpoint_.segment) return;
    const uint64_t live = context_.use.live(segment);
    if (segment == relocated_ || live == 0 ||
        static_cast<double>(live) >= options_.min_live_share * static_cast<double>(bytes)) {
      continue;
    }
    relocated_ = segment;
    for (const auto& log : catalogue_.Logs()) {
      if (!Relocate(*log, log, segment)) return;
    }
    CheckpointNow().IgnoreError();
    RemoveDeadSegments();
    return;
  }
}

bool Maintenance::Relocate(LocalLog& log, const std::shared_ptr<LocalLog>& owner,
                           uint64_t segment) {
  auto batches = log.BatchesIn(segment);
  if (!batches.ok()) {
    TellFailed(batches.status());
    return false;
  }
  Countdown countdown;
  for (const BatchLocation& location : *batches) {
    auto batch = log.ReadBatch(location);
    // Damaged: it stays where it is, and so does its segment.
    if (!batch.ok()) continue;
    JournalEntry entry;
    entry.header.kind = RecordKind::kBatchMoved;
    entry.header.count = location.count;
    entry.header.id = log.id().value();
    entry.header.first = location.first.value();
    entry.batch = *std::move(batch);
    entry.target = owner;
    countdown.Add();
    entry.done = [&countdown](const absl::Status& status) { countdown.Done(status.ok()); };
    context_.metrics.relocated_bytes.Add(location.length);
    context_.committer.Submit(std::move(entry));
  }
  return countdown.Wait();
}

}  // namespace sluice
