// A segment: one file of the journal. A header of 32 bytes, then records back to back; what is
// preallocated and not written yet is zeros.
//
//    0  u8[8]  "SLUICEJ" and 0          16  u64  sequence, as in the file's name
//    8  u32    format version (2)       24  u64  bytes used of the segment before, 0 for the first; highest bit: and it
//   12  u32    XXH3-64 of the rest               was not synced before this one began
//
// Nothing depends on it but the version: a header that is damaged is told from the file's name.
//
// Thread rule: pure functions.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/storage/local/file_system.h"
#include "core/storage/local/journal/record.h"

namespace sluice {

inline constexpr uint32_t kJournalVersion = 2;
inline constexpr size_t kSegmentHeaderBytes = 32;

struct SegmentHeader {
  uint64_t sequence = 0;
  // Of the segment before; unknown when this header is damaged.
  uint64_t previous_bytes = 0;
  bool previous_unsynced = false;
  uint32_t version = kJournalVersion;
  bool damaged = false;
};

// "00000000000000000007.journal", and back.
std::string SegmentName(uint64_t sequence);
std::optional<uint64_t> SegmentSequence(std::string_view name);

std::string EncodeSegmentHeader(const SegmentHeader& header);
// Of the segment with this sequence. FAILED_PRECONDITION (NEWER_FORMAT) for a newer version.
absl::StatusOr<SegmentHeader> DecodeSegmentHeader(std::string_view bytes, uint64_t sequence,
                                                  const std::string& path);

// A stretch of a segment that holds no readable record, though records follow it or must follow it.
struct DamagedStretch {
  uint64_t begin = 0;
  uint64_t end = 0;
  // What stands where a header should, when it looks like one, and behind it as much of the payload
  // as may say what it was.
  std::optional<RecordHeader> header;
  std::string payload = {};
};

struct ScanResult {
  // Where the last good record ends.
  uint64_t end = kSegmentHeaderBytes;
  // Bytes behind that are neither zeros nor a record: a write that was cut off. Up to where they
  // are that.
  bool torn_tail = false;
  uint64_t torn_end = 0;
};

// Calls on_record(position, header, payload) for every good record from `from` on, and on_damage
// for what lies between good ones.
//
// In the last segment (`must_reach` is 0) what is unreadable is the torn tail, as long as no later
// commit follows it before which everything was synced: a commit that was never finished may be on
// the disk in parts, and without syncs so may those before it. Otherwise it is damage. In any other
// segment, which goes on to `must_reach`, it is damage always; with kLengthUnknown it may end in
// zeros anywhere. The exception is the segment before the last, when it was not synced before that
// began: `unsynced_next` is the last one then.
inline constexpr uint64_t kLengthUnknown = 1;
absl::StatusOr<ScanResult> ScanSegment(
    const File& file, uint64_t from, uint64_t must_reach, const File* unsynced_next,
    const std::function<absl::Status(uint64_t position, const RecordHeader&,
                                     std::string_view payload)>& on_record,
    const std::function<void(const DamagedStretch&)>& on_damage);

// Whether there is a good record anywhere in the segment.
absl::StatusOr<bool> HoldsRecord(const File& file);
// Behind the last byte of the file that is no zero.
absl::StatusOr<uint64_t> UsedEnd(const File& file);

}  // namespace sluice
