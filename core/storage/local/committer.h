// Group commit: everything that waits goes into one write of the journal and, under fsync, one
// fdatasync; then all of it is told. Under fsync a thread of its own commits, since nobody who
// appends may wait for a disk. Under os the first caller to arrive commits, for itself and for
// those who queued up behind it, without a hop to another thread; the thread then only serves what
// nobody waits for.
//
// The first error of a write or a sync that leaves it unknown what is on the disk ends writing for
// good: from then on everything is refused with STORAGE_UNAVAILABLE, and reading goes on. A write
// that fails for want of space is taken back, and what it held refused with STORAGE_FULL
// (docs/adr/0026).
//
// Thread rule: every member may be called from any thread. Entries are applied and told by one
// thread at a time, in the order in which they were submitted.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "core/base/clock.h"
#include "core/base/mutex.h"
#include "core/metrics/metrics.h"
#include "core/storage/backend.h"
#include "core/storage/local/journal/journal.h"
#include "core/storage/local/store_event.h"

namespace sluice {

struct JournalEntry;

// Who is concerned by an entry. Called in order: before the write, where the offset of a batch is
// decided (not for what is refused), and after it, with the place or the error. Neither may block
// nor call back into the committer.
class JournalTarget {
 public:
  virtual ~JournalTarget() = default;
  virtual void BeforeWrite(JournalEntry& entry) = 0;
  virtual void AfterWrite(const JournalEntry& entry, const absl::Status& status,
                          const JournalPosition& at) = 0;
};

// Something that is written as one record.
struct JournalEntry {
  RecordHeader header;
  // The payload is `bytes`, or the batch's record when there are none.
  Ref<Batch> batch;
  std::string bytes;
  std::shared_ptr<JournalTarget> target;
  StoreDone done;

  std::string_view payload() const {
    return batch && bytes.empty() ? batch->record() : std::string_view(bytes);
  }
};

// Something whose changes are collected until the next commit takes them as one record.
class DirtySource {
 public:
  virtual ~DirtySource() = default;
  virtual JournalEntry TakeChanges() = 0;
};

// How long changes may wait for a commit.
enum class Urgency : uint8_t {
  // For one that others cause, or `long_linger`.
  kEventually,
  // For others that come along, or `linger`.
  kSoon,
  // Somebody waits for them.
  kNow,
};

class Committer {
 public:
  struct Options {
    bool sync = true;
    // More than this waiting, and appends are refused with TOO_MUCH_IN_FLIGHT.
    size_t max_queued_bytes = size_t{64} << 20;
    // Changes that nobody waits for are written after this time at the latest.
    absl::Duration linger = absl::Milliseconds(10);
    // And those that are not worth a commit of their own after this.
    absl::Duration long_linger = absl::Milliseconds(100);
    // After a write that had no space batches are refused this long, so that what gives space back
    // finds room; twice as long each time until one succeeds.
    absl::Duration first_full_pause = absl::Seconds(1);
    absl::Duration longest_full_pause = absl::Seconds(30);
    // May be null.
    StoreListener on_event = nullptr;
  };

  Committer(Journal& journal, StoreMetrics& metrics, const Clock& clock, Options options);
  ~Committer() { Stop(); }

  // Batches are refused while the disk is full; other entries are taken as long as there is room
  // for them.
  void Submit(JournalEntry entry) EXCLUDES(mu_);

  // `source` has changes; called once until they are taken, and again with null when they become
  // more urgent.
  void MarkDirty(std::shared_ptr<DirtySource> source, Urgency urgency) EXCLUDES(mu_);

  // Calls fn with nothing being written or applied; what is dirty is written before. For
  // checkpoints.
  void RunExclusive(const std::function<void()>& fn) EXCLUDES(mu_, commit_mu_);

  // The same for entries that fn makes: they are written before anything else happens. Where the
  // first one is.
  absl::StatusOr<JournalPosition> WriteExclusive(
      const std::function<std::vector<JournalEntry>()>& make) EXCLUDES(mu_, commit_mu_);

  // Writes what is waiting and ends the thread; refuses everything afterwards.
  void Stop() EXCLUDES(mu_);

  // No more writes: `failure` left it unknown what is on the disk.
  void CloseAfter(const absl::Status& failure) EXCLUDES(mu_, commit_mu_);
  // Sees whether there is space again, or none any more; makes the journal's spare segment. Called
  // from time to time.
  void CheckSpace() EXCLUDES(mu_, commit_mu_);

  bool writable() const { return !failed_.load(std::memory_order_acquire); }
  // Whether batches were refused for want of space when it was looked last.
  bool full() const { return full_.load(std::memory_order_acquire); }

 private:
  // What became of one entry.
  struct Outcome {
    absl::Status status;
    JournalPosition at;
  };
  struct Group {
    std::vector<JournalEntry> entries;
    std::vector<std::shared_ptr<DirtySource>> dirty;
    bool empty() const { return entries.empty() && dirty.empty(); }
  };

  absl::Status Admit(const JournalEntry& entry) REQUIRES(mu_);
  Group TakeGroup() REQUIRES(mu_);
  // Nobody waits: gives others the chance to come along.
  void Linger(MutexLock& lock) REQUIRES(mu_);
  // Commits until nothing waits. REQUIRES: committing_ was set by the caller.
  void Lead() EXCLUDES(mu_, commit_mu_);
  void Commit(Group group) EXCLUDES(mu_, commit_mu_);
  void WriteAndApply(std::vector<JournalEntry>& entries, std::vector<Outcome>& outcomes)
      REQUIRES(commit_mu_);
  void WriteEntries(std::vector<JournalEntry>& entries, std::vector<Outcome>& outcomes)
      REQUIRES(commit_mu_);
  void FailAll(std::vector<Outcome>& outcomes, const absl::Status& status) REQUIRES(commit_mu_);
  void Close(const absl::Status& status) REQUIRES(commit_mu_);
  // Why batches have to be refused for now, OK when they need not be; `spare` is what came of
  // making one.
  absl::Status JudgeSpace(absl::Status spare) REQUIRES(commit_mu_);
  void RanOutOfSpace(const absl::Status& status) REQUIRES(commit_mu_);
  void NoteSpace(const absl::Status& status) REQUIRES(commit_mu_);
  void TellEvents() EXCLUDES(commit_mu_);
  void ThreadMain() EXCLUDES(mu_);

  Journal& journal_;
  StoreMetrics& metrics_;
  const Clock& clock_;
  const Options options_;
  std::atomic<bool> failed_{false};
  std::atomic<bool> full_{false};
  std::thread thread_;

  // Held while records are written and applied.
  Mutex commit_mu_;
  absl::Duration full_pause_ GUARDED_BY(commit_mu_);
  Instant full_until_ GUARDED_BY(commit_mu_);
  absl::Status full_because_ GUARDED_BY(commit_mu_);
  // To be told once the lock is released.
  std::vector<StoreEvent> events_ GUARDED_BY(commit_mu_);

  Mutex mu_;
  CondVar wake_;
  CondVar idle_;
  Group waiting_ GUARDED_BY(mu_);
  size_t waiting_bytes_ GUARDED_BY(mu_) = 0;
  // The highest of what waits.
  Urgency urgency_ GUARDED_BY(mu_) = Urgency::kEventually;
  bool committing_ GUARDED_BY(mu_) = false;
  bool stopping_ GUARDED_BY(mu_) = false;
};

}  // namespace sluice
