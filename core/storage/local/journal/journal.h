// The journal: an endless row of records in segment files. One writer at a time; readers at any
// time.
//
//   auto journal = Journal::Open(files, "data/journal", options);
//   (*journal)->Replay(from, on_record, on_damage);                // once, before the first Write
//   JournalPosition at; (*journal)->Write(parts, bytes, &at);      // goes where NextPosition(bytes) said
//   (*journal)->Sync();
//
// Without `sync` what was written last may be lost with the machine, but what is left is the
// journal as it was at some time: a segment is synced before the one after the next begins, names
// and headers of segments always, so that a hole can only be in the last two, and what lies behind
// it goes.
//
// One spare segment is kept ready, so that a roll costs no allocation, and so that acks and deletes
// still fit when the disk is full: batches are to be written only while `has_spare()`.
//
// Thread rule: Write, Sync and Replay by one thread at a time; the rest from any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/base/mutex.h"
#include "core/storage/local/file_system.h"
#include "core/storage/local/journal/segment.h"
#include "core/storage/local/journal/writeback.h"

namespace sluice {

struct JournalPosition {
  uint64_t segment = 0;
  uint64_t offset = 0;
  auto operator<=>(const JournalPosition&) const = default;
};

// Where a journal ends, and what is cut off there.
struct JournalTail {
  JournalPosition end;
  bool torn = false;
  uint64_t torn_bytes = 0;
};

struct JournalOptions {
  uint64_t segment_bytes = uint64_t{64} << 20;
  // Sync what is written; without, only the process may die, not the machine.
  bool sync = true;
  // For Scan and Read alone: changes nothing in the folder.
  bool read_only = false;
};

class Journal {
 public:
  using OnRecord = std::function<absl::Status(const JournalPosition&, const RecordHeader&,
                                              std::string_view payload)>;
  using OnDamage = std::function<void(uint64_t segment, const DamagedStretch&)>;

  // Creates the folder when missing. Errors as FileSystem gives them.
  static absl::StatusOr<std::unique_ptr<Journal>> Open(FileSystem& files, std::string folder,
                                                       JournalOptions options);

  // Whether this program may read every segment: NEWER_FORMAT. Tells of headers that are damaged.
  absl::Status CheckFormat(const OnDamage& on_damage) const EXCLUDES(mu_);

  // Reads from `from` to the end and changes nothing.
  absl::StatusOr<JournalTail> Scan(JournalPosition from, const OnRecord& on_record,
                                   const OnDamage& on_damage) const;

  // Reads from `from` to the end; cuts off a torn tail, syncs what it read. Writes go on behind it.
  absl::Status Replay(JournalPosition from, const OnRecord& on_record, const OnDamage& on_damage);

  // Where a group of `bytes` goes; begins a new segment when it does not fit any more.
  // RESOURCE_EXHAUSTED when there is none to begin.
  absl::StatusOr<JournalPosition> NextPosition(uint64_t bytes);
  // Bytes that fit behind the end without a new segment.
  uint64_t Room() const EXCLUDES(mu_);
  // Writes a group there. After an error it is unknown what is on the disk.
  absl::Status Write(std::vector<iovec>& parts, uint64_t bytes);
  // After a Write that failed: nothing of it is there any more, once it is synced; writes go on
  // behind the last good one.
  absl::Status TakeBackWrite() EXCLUDES(mu_);
  // Goes on in a new segment when this one is of an earlier version, whose programs would not
  // understand new records.
  absl::Status EnsureCurrentVersion();
  // What was written is durable, when the options say so.
  absl::Status Sync();

  // Everything written before the call is durable afterwards, whatever the options say. For
  // checkpoints, which must not know more than the journal; may run beside Write.
  absl::Status SyncAll() EXCLUDES(mu_);

  absl::Status Read(JournalPosition at, char* out, size_t size) const EXCLUDES(mu_);

  // What Open and Replay took away: one sentence each, with place and bytes.
  const std::vector<std::string>& warnings() const { return warnings_; }

  // Of a segment that is there.
  absl::StatusOr<SegmentHeader> HeaderOf(uint64_t segment) const EXCLUDES(mu_);

  // Makes the spare when there is none.
  absl::Status EnsureSpare() EXCLUDES(spare_mu_);
  bool has_spare() const { return has_spare_.load(std::memory_order_acquire); }

  // The end of what was written.
  JournalPosition end() const EXCLUDES(mu_);
  // Sequences of all segments and the bytes of each file.
  std::map<uint64_t, uint64_t> segments() const EXCLUDES(mu_);
  // REQUIRES: not the last one.
  absl::Status Remove(uint64_t segment) EXCLUDES(mu_);

 private:
  struct Segment {
    std::shared_ptr<File> file;
    uint64_t bytes = 0;
  };

  Journal(FileSystem& files, std::string folder, JournalOptions options)
      : files_(files), folder_(std::move(folder)), options_(options) {}

  std::string PathOf(uint64_t segment) const { return folder_ + "/" + SegmentName(segment); }
  std::string SparePath() const { return folder_ + "/spare"; }
  absl::Status LoadSegments();
  absl::Status DropUnbegunSegments();
  absl::Status CutOff(const JournalTail& tail);
  absl::Status SyncFinished() EXCLUDES(mu_);
  absl::StatusOr<std::unique_ptr<File>> OpenSegment(uint64_t segment) const {
    return options_.read_only ? files_.OpenToRead(PathOf(segment)) : files_.Open(PathOf(segment));
  }
  absl::Status Roll(uint64_t needed) EXCLUDES(mu_, spare_mu_);
  absl::Status MakeSpare() REQUIRES(spare_mu_);
  absl::StatusOr<std::shared_ptr<File>> TakeSpare(uint64_t needed) REQUIRES(spare_mu_);
  absl::StatusOr<std::shared_ptr<File>> FileOf(uint64_t segment) const EXCLUDES(mu_);

  FileSystem& files_;
  const std::string folder_;
  const JournalOptions options_;
  std::atomic<bool> has_spare_{false};
  std::vector<std::string> warnings_;

  // Belong to the writer.
  std::shared_ptr<File> active_;
  bool unsynced_ = false;

  // The file of that name: while the writer makes a segment of it, maintenance must not make it
  // anew. Taken before mu_.
  Mutex spare_mu_;

  mutable Mutex mu_;
  // By sequence; a file that was not needed for a while may be closed.
  mutable std::map<uint64_t, Segment> segments_ GUARDED_BY(mu_);
  JournalPosition end_ GUARDED_BY(mu_);
  // Finished without a sync: the last one, and those before it until it is done.
  std::vector<std::shared_ptr<File>> unsynced_files_ GUARDED_BY(mu_);
  // Where finished segments are not synced at once.
  std::unique_ptr<Writeback> writeback_;
  // Allocated bytes of the active segment.
  uint64_t capacity_ GUARDED_BY(mu_) = 0;
};

}  // namespace sluice
