#include "core/storage/local/journal/journal.h"

#include <algorithm>
#include <utility>

#include "core/base/error.h"
#include "core/base/strings.h"
#include "fmt/format.h"

namespace sluice {
namespace {

// Files kept open for reading.
constexpr size_t kMaxOpenFiles = 256;

// After a sync that failed nobody knows what is on the disk, also when it failed for want of space.
absl::Status SyncResult(const absl::Status& status) {
  if (ReasonOf(status) != Reason::kStorageFull) return status;
  return Error(Reason::kStorageUnavailable, ToStd(status.message()), MetadataOf(status));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Journal>> Journal::Open(FileSystem& files, std::string folder,
                                                       JournalOptions options) {
  auto journal = std::unique_ptr<Journal>(new Journal(files, std::move(folder), options));
  if (!options.read_only) {
    if (!options.sync) journal->writeback_ = std::make_unique<Writeback>();
    if (absl::Status status = files.CreateFolder(journal->folder_); !status.ok()) return status;
  }
  if (absl::Status status = journal->LoadSegments(); !status.ok()) return status;
  if (!options.read_only) {
    if (absl::Status status = journal->DropUnbegunSegments(); !status.ok()) return status;
  }
  return journal;
}

// A last segment that got its name before its header and holds nothing. Only programs that did not
// sync the header have left such ones.
absl::Status Journal::DropUnbegunSegments() {
  for (auto all = segments(); !all.empty(); all.erase(std::prev(all.end()))) {
    const uint64_t last = all.rbegin()->first;
    auto header = HeaderOf(last);
    if (!header.ok() || !header->damaged) return absl::OkStatus();
    auto file = FileOf(last);
    if (!file.ok()) return file.status();
    auto holds = HoldsRecord(**file);
    if (!holds.ok()) return holds.status();
    if (*holds) return absl::OkStatus();
    if (absl::Status status = Remove(last); !status.ok()) return status;
    warnings_.push_back(fmt::format(
        "{}: the last segment has no header and holds nothing; it was removed", PathOf(last)));
  }
  return absl::OkStatus();
}

absl::StatusOr<SegmentHeader> Journal::HeaderOf(uint64_t segment) const {
  auto file = FileOf(segment);
  if (!file.ok()) return file.status();
  std::string bytes(kSegmentHeaderBytes, '\0');
  auto read = (*file)->Read(0, bytes.data(), bytes.size());
  if (!read.ok()) return read.status();
  bytes.resize(*read);
  return DecodeSegmentHeader(bytes, segment, PathOf(segment));
}

absl::Status Journal::LoadSegments() {
  auto names = files_.List(folder_);
  if (!names.ok()) return names.status();
  // A spare may have been cut off while it was made: it is made anew.
  if (!options_.read_only) {
    if (absl::Status status = files_.Remove(SparePath()); !status.ok()) return status;
  }
  MutexLock lock(mu_);
  for (const std::string& name : *names) {
    const auto sequence = SegmentSequence(name);
    if (!sequence) continue;
    auto file = OpenSegment(*sequence);
    if (!file.ok()) return file.status();
    auto size = (*file)->Size();
    if (!size.ok()) return size.status();
    segments_[*sequence] = {nullptr, *size};
  }
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<File>> Journal::FileOf(uint64_t segment) const {
  MutexLock lock(mu_);
  auto it = segments_.find(segment);
  if (it == segments_.end()) {
    return Error(Reason::kDataLoss,
                 fmt::format("journal segment {} is missing", SegmentName(segment)),
                 {{"path", PathOf(segment)}});
  }
  if (it->second.file == nullptr) {
    const auto is_open = [last = end_.segment](const auto& entry) {
      return entry.second.file != nullptr && entry.first != last;
    };
    if (static_cast<size_t>(std::count_if(segments_.begin(), segments_.end(), is_open)) >=
        kMaxOpenFiles) {
      std::find_if(segments_.begin(), segments_.end(), is_open)->second.file = nullptr;
    }
    auto file = OpenSegment(segment);
    if (!file.ok()) return file.status();
    it->second.file = *std::move(file);
  }
  return it->second.file;
}

absl::Status Journal::CheckFormat(const OnDamage& on_damage) const {
  for (const auto& [segment, bytes] : segments()) {
    auto header = HeaderOf(segment);
    if (!header.ok()) return header.status();
    if (header->damaged)
      on_damage(segment, {.begin = 0, .end = kSegmentHeaderBytes, .header = {}, .payload = {}});
  }
  return absl::OkStatus();
}

absl::StatusOr<JournalTail> Journal::Scan(JournalPosition from, const OnRecord& on_record,
                                          const OnDamage& on_damage) const {
  const std::map<uint64_t, uint64_t> all = segments();
  JournalTail tail;
  for (auto it = all.lower_bound(from.segment); it != all.end(); ++it) {
    const uint64_t segment = it->first;
    auto file = FileOf(segment);
    if (!file.ok()) return file.status();
    uint64_t must_reach = 0;
    std::shared_ptr<File> unsynced_next;
    const auto next = std::next(it);
    if (next != all.end()) {
      auto header = HeaderOf(next->first);
      if (!header.ok()) return header.status();
      // Where segments in between were deleted nobody says how far this one goes, except its size.
      const bool known = next->first == segment + 1 && !header->damaged;
      must_reach = known ? std::max(header->previous_bytes, kLengthUnknown) : kLengthUnknown;
      if (known && header->previous_unsynced && std::next(next) == all.end()) {
        auto next_file = FileOf(next->first);
        if (!next_file.ok()) return next_file.status();
        unsynced_next = *std::move(next_file);
      }
    }
    const uint64_t begin = segment == from.segment
                               ? std::max<uint64_t>(from.offset, kSegmentHeaderBytes)
                               : kSegmentHeaderBytes;
    auto scan = ScanSegment(
        **file, begin, must_reach, unsynced_next.get(),
        [&](uint64_t position, const RecordHeader& record, std::string_view payload) {
          return on_record({segment, position}, record, payload);
        },
        [&](const DamagedStretch& damage) { on_damage(segment, damage); });
    if (!scan.ok()) return scan.status();
    tail = {
        {segment, scan->end}, scan->torn_tail, scan->torn_tail ? scan->torn_end - scan->end : 0};
    if (!scan->torn_tail || unsynced_next == nullptr) continue;
    // The hole is in the segment before the last: that goes as well.
    auto used = UsedEnd(*unsynced_next);
    if (!used.ok()) return used.status();
    tail.torn_bytes += *used;
    return tail;
  }
  return tail;
}

// What is torn goes, and zeros come where it was: nothing of it may look like a record later.
absl::Status Journal::CutOff(const JournalTail& tail) {
  const auto all = segments();
  for (auto it = all.rbegin(); it != all.rend() && it->first > tail.end.segment; ++it) {
    if (absl::Status status = Remove(it->first); !status.ok()) return status;
  }
  if (absl::Status status = files_.SyncFolder(folder_); !status.ok()) return status;
  auto file = FileOf(tail.end.segment);
  if (!file.ok()) return file.status();
  if (absl::Status status = (*file)->Truncate(tail.end.offset); !status.ok()) return status;
  warnings_.push_back(
      fmt::format("{}: {} bytes from {} on cannot be read, with no commit behind them that was "
                  "synced later; they were cut off. "
                  "What they held may have been acknowledged if the file was damaged",
                  PathOf(tail.end.segment), tail.torn_bytes, tail.end.offset));
  return absl::OkStatus();
}

absl::Status Journal::Replay(JournalPosition from, const OnRecord& on_record,
                             const OnDamage& on_damage) {
  auto tail = Scan(from, on_record, on_damage);
  if (!tail.ok()) return tail.status();
  if (tail->torn) {
    if (absl::Status status = CutOff(*tail); !status.ok()) return status;
  }
  if (const auto all = segments(); !all.empty()) {
    const uint64_t segment = all.rbegin()->first;
    auto file = FileOf(segment);
    if (!file.ok()) return file.status();
    const uint64_t end = std::max<uint64_t>(tail->end.offset, kSegmentHeaderBytes);
    const uint64_t capacity = std::max(options_.segment_bytes, end);
    // Without space behind it the rest of this segment serves until the disk says no.
    (*file)->Allocate(capacity).IgnoreError();
    // Nobody knows what the program before has synced.
    for (auto it = all.lower_bound(from.segment); it != all.end(); ++it) {
      auto read = FileOf(it->first);
      if (!read.ok()) return read.status();
      if (absl::Status status = (*read)->Sync(); !status.ok()) return status;
    }
    active_ = *file;
    MutexLock lock(mu_);
    end_ = {segment, end};
    segments_[segment].bytes = end;
    capacity_ = capacity;
  }
  EnsureSpare().IgnoreError();  // a full disk must not keep the store from opening
  return absl::OkStatus();
}

absl::Status Journal::EnsureSpare() {
  MutexLock lock(spare_mu_);
  return MakeSpare();
}

absl::Status Journal::MakeSpare() {
  if (has_spare()) return absl::OkStatus();
  auto make = [this]() -> absl::Status {
    auto file = files_.Create(SparePath());
    if (!file.ok()) return file.status();
    if (absl::Status status = (*file)->Allocate(options_.segment_bytes); !status.ok())
      return status;
    return options_.sync ? (*file)->Sync() : absl::OkStatus();
  };
  absl::Status status = make();
  if (!status.ok()) {
    files_.Remove(SparePath()).IgnoreError();
    return status;
  }
  has_spare_.store(true, std::memory_order_release);
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<File>> Journal::TakeSpare(uint64_t needed) {
  if (absl::Status status = MakeSpare(); !status.ok()) return status;
  auto file = files_.Open(SparePath());
  if (!file.ok()) return file.status();
  if (needed > options_.segment_bytes) {
    if (absl::Status status = (*file)->Allocate(needed); !status.ok()) return status;
  }
  return std::shared_ptr<File>(*std::move(file));
}

// In this order, so that a crash between any two steps leaves a journal that can be read: the old
// segment is complete before the new one exists (without syncs the one before it is), the new one
// has its header before it has its name, and only then the old one's unused end is given back.
absl::Status Journal::Roll(uint64_t needed) {
  if (absl::Status status = Sync(); !status.ok()) return status;
  if (absl::Status status = SyncFinished(); !status.ok()) return status;
  const JournalPosition old = end();
  MutexLock spare_lock(spare_mu_);
  auto file = TakeSpare(kSegmentHeaderBytes + needed);
  if (!file.ok()) return file.status();
  const uint64_t sequence = old.segment + 1;
  std::string header =
      EncodeSegmentHeader({.sequence = sequence,
                           .previous_bytes = old.offset,
                           .previous_unsynced = !options_.sync && active_ != nullptr});
  std::vector<iovec> parts = {{header.data(), header.size()}};
  if (absl::Status status = (*file)->Write(0, parts); !status.ok()) return status;
  if (absl::Status status = SyncResult((*file)->Sync()); !status.ok()) return status;
  has_spare_.store(false, std::memory_order_release);
  if (absl::Status status = files_.Rename(SparePath(), PathOf(sequence)); !status.ok())
    return status;
  (*file)->Renamed(PathOf(sequence));
  if (absl::Status status = SyncResult(files_.SyncFolder(folder_)); !status.ok()) return status;
  if (active_ != nullptr) active_->Truncate(old.offset).IgnoreError();  // costs space, not data
  std::shared_ptr<File> finished = std::exchange(active_, *file);
  if (!options_.sync && finished != nullptr) writeback_->Begin(finished);
  MutexLock lock(mu_);
  if (!options_.sync && finished != nullptr) unsynced_files_.push_back(std::move(finished));
  if (auto it = segments_.find(old.segment); it != segments_.end()) it->second.bytes = old.offset;
  segments_[sequence] = {active_, kSegmentHeaderBytes};
  end_ = {sequence, kSegmentHeaderBytes};
  capacity_ = std::max(options_.segment_bytes, kSegmentHeaderBytes + needed);
  return absl::OkStatus();
}

absl::StatusOr<JournalPosition> Journal::NextPosition(uint64_t bytes) {
  {
    MutexLock lock(mu_);
    if (active_ != nullptr && end_.offset + bytes <= capacity_) return end_;
  }
  if (absl::Status status = Roll(bytes); !status.ok()) return status;
  return end();
}

absl::Status Journal::EnsureCurrentVersion() {
  if (active_ == nullptr) return absl::OkStatus();
  auto header = HeaderOf(end().segment);
  if (!header.ok()) return header.status();
  return header->version == kJournalVersion ? absl::OkStatus() : Roll(0);
}

uint64_t Journal::Room() const {
  MutexLock lock(mu_);
  return capacity_ - end_.offset;
}

absl::Status Journal::Write(std::vector<iovec>& parts, uint64_t bytes) {
  const JournalPosition at = end();
  unsynced_ = true;
  if (absl::Status status = active_->Write(at.offset, parts); !status.ok()) return status;
  MutexLock lock(mu_);
  end_.offset += bytes;
  segments_[at.segment].bytes = end_.offset;
  return absl::OkStatus();
}

// What is cut off are zeros afterwards, with space behind them if there is any. Left there, it
// could continue a shorter write and be read as records later.
absl::Status Journal::TakeBackWrite() {
  uint64_t begin = 0;
  uint64_t capacity = 0;
  {
    MutexLock lock(mu_);
    begin = end_.offset;
    capacity = capacity_;
  }
  if (absl::Status status = active_->Truncate(begin); !status.ok()) return status;
  active_->Allocate(capacity).IgnoreError();
  return absl::OkStatus();
}

absl::Status Journal::Sync() {
  if (!options_.sync || !unsynced_) return absl::OkStatus();
  unsynced_ = false;
  return SyncResult(active_->Sync());
}

absl::Status Journal::SyncFinished() {
  std::vector<std::shared_ptr<File>> files;
  {
    MutexLock lock(mu_);
    files = unsynced_files_;
  }
  for (const auto& file : files) {
    if (file == nullptr) continue;
    if (absl::Status status = SyncResult(file->Sync()); !status.ok()) return status;
  }
  // Not before: a second caller meanwhile has to wait for them too.
  MutexLock lock(mu_);
  std::erase_if(unsynced_files_, [&](const auto& file) {
    return std::find(files.begin(), files.end(), file) != files.end();
  });
  return absl::OkStatus();
}

absl::Status Journal::SyncAll() {
  std::shared_ptr<File> active;
  {
    MutexLock lock(mu_);
    if (auto it = segments_.find(end_.segment); it != segments_.end()) active = it->second.file;
  }
  // What is finished meanwhile was not all written before the call.
  if (absl::Status status = SyncFinished(); !status.ok()) return status;
  return active == nullptr ? absl::OkStatus() : active->Sync();
}

absl::Status Journal::Read(JournalPosition at, char* out, size_t size) const {
  auto file = FileOf(at.segment);
  if (!file.ok()) return file.status();
  auto read = (*file)->Read(at.offset, out, size);
  if (!read.ok()) return read.status();
  if (*read != size) {
    return Error(Reason::kDataLoss,
                 fmt::format("journal segment {} ends at {}, before {}", SegmentName(at.segment),
                             at.offset + *read, at.offset + size));
  }
  return absl::OkStatus();
}

JournalPosition Journal::end() const {
  MutexLock lock(mu_);
  return end_;
}

std::map<uint64_t, uint64_t> Journal::segments() const {
  MutexLock lock(mu_);
  std::map<uint64_t, uint64_t> all;
  for (const auto& [sequence, segment] : segments_) all[sequence] = segment.bytes;
  return all;
}

absl::Status Journal::Remove(uint64_t segment) {
  Segment removed;
  {
    MutexLock lock(mu_);
    removed = std::exchange(segments_[segment], {});
    segments_.erase(segment);
  }
  absl::Status status = files_.Remove(PathOf(segment));
  if (status.ok()) return status;
  // It takes space as before, and is to be tried again.
  MutexLock lock(mu_);
  segments_[segment] = std::move(removed);
  return status;
}

}  // namespace sluice
