// A segment: one file of the journal. A header of 32 bytes, then records back to back; what is preallocated and not
// written yet is zeros.
//
//    0  u8[8]  "SLUICEJ" and 0          16  u64  sequence, as in the file's name
//    8  u32    format version (2)       24  u64  bytes used of the segment before, 0 for the first
//   12  u32    0
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
  uint64_t previous_bytes = 0;
};

// "00000000000000000007.journal", and back.
std::string SegmentName(uint64_t sequence);
std::optional<uint64_t> SegmentSequence(std::string_view name);

std::string EncodeSegmentHeader(const SegmentHeader& header);
// DATA_LOSS when it is none, FAILED_PRECONDITION (NEWER_FORMAT) for a newer version.
absl::StatusOr<SegmentHeader> DecodeSegmentHeader(std::string_view bytes, const std::string& path);

// A stretch of a segment that holds no readable record, though records follow it or must follow it.
struct DamagedStretch {
  uint64_t begin = 0;
  uint64_t end = 0;
  // What stands where a header should, when it looks like one.
  std::optional<RecordHeader> header;
};

struct ScanResult {
  // Where the last good record ends.
  uint64_t end = kSegmentHeaderBytes;
  // Bytes behind that are neither zeros nor a record: a write that was cut off.
  bool torn_tail = false;
};

// Calls on_record(position, header, payload) for every good record from `from` on, and on_damage for what lies between
// good ones.
//
// In the last segment (`must_reach` is 0) what is unreadable is the torn tail, as long as no later commit follows it: a
// commit that was never finished may be on the disk in parts. Behind a finished commit it is damage. In any other
// segment, which goes on to `must_reach`, it is damage always; with kLengthUnknown it may end in zeros anywhere.
inline constexpr uint64_t kLengthUnknown = 1;
absl::StatusOr<ScanResult> ScanSegment(
    const File& file, uint64_t from, uint64_t must_reach,
    const std::function<absl::Status(uint64_t position, const RecordHeader&, std::string_view payload)>& on_record,
    const std::function<void(const DamagedStretch&)>& on_damage);

}  // namespace sluice
