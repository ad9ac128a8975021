#include "core/storage/local/journal/segment.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/numbers.h"
#include "core/base/error.h"
#include "core/base/strings.h"
#include "core/storage/local/journal/fixed.h"
#include "fmt/format.h"

#define XXH_INLINE_ALL
#include "xxhash.h"

namespace sluice {
namespace {

constexpr std::string_view kMagic("SLUICEJ\0", 8);
constexpr std::string_view kSuffix = ".journal";
constexpr size_t kDigits = 20;
constexpr size_t kAlignment = 8;
constexpr size_t kVersionAt = 8;
constexpr size_t kChecksumAt = 12;
constexpr size_t kSequenceAt = 16;
constexpr size_t kPreviousAt = 24;
constexpr uint64_t kPreviousUnsynced = uint64_t{1} << 63;

// Of what is around the checksum, in every version from 2 on.
uint32_t HeaderChecksum(std::string_view bytes) {
  std::string rest(bytes.substr(0, kSegmentHeaderBytes));
  rest.erase(kChecksumAt, sizeof(uint32_t));
  return static_cast<uint32_t>(XXH3_64bits(rest.data(), rest.size()));
}

// A window over a file that moves forward and grows when a record needs more.
class Window {
 public:
  explicit Window(const File& file) : file_(file) {}

  // At least `size` bytes at `position`, fewer only at the end of the file.
  absl::StatusOr<std::string_view> At(uint64_t position, size_t size) {
    if (position < begin_ || position + size > begin_ + filled_) {
      constexpr size_t kReadBytes = 1 << 20;
      buffer_.resize(std::max(size, kReadBytes));
      auto read = file_.Read(position, buffer_.data(), buffer_.size());
      if (!read.ok()) return read.status();
      begin_ = position;
      filled_ = *read;
    }
    const size_t skip = position - begin_;
    return std::string_view(buffer_).substr(skip, std::min(filled_ - skip, size));
  }

 private:
  const File& file_;
  std::string buffer_;
  uint64_t begin_ = 0;
  size_t filled_ = 0;
};

struct Found {
  RecordHeader header;
  std::string_view bytes;
};

// The good record at `position`, if there is one. `header`, when given, takes what looks like a
// header.
absl::StatusOr<std::optional<Found>> RecordAt(Window& window, uint64_t position,
                                              std::optional<RecordHeader>* looks_like = nullptr) {
  auto head = window.At(position, kRecordHeaderBytes);
  if (!head.ok()) return head.status();
  const auto header = DecodeHeader(*head);
  if (looks_like != nullptr) *looks_like = header;
  if (!header) return std::optional<Found>();
  auto bytes = window.At(position, kRecordHeaderBytes + header->length);
  if (!bytes.ok()) return bytes.status();
  if (bytes->size() < kRecordHeaderBytes + header->length || !ChecksumHolds(*bytes, *header)) {
    return std::optional<Found>();
  }
  return std::optional<Found>({*header, *bytes});
}

// Any good record, or one that starts a commit before which everything was synced.
enum class Wanted { kAny, kAfterSync };

bool IsWanted(const RecordHeader& header, Wanted wanted) {
  return wanted == Wanted::kAny || (header.starts_commit && !header.after_unsynced);
}

// The position of the next such record at or after `from`; `size` when there is none.
absl::StatusOr<uint64_t> NextRecord(Window& window, uint64_t from, uint64_t size, Wanted wanted) {
  constexpr std::string_view kMagicBytes("SLJR", 4);
  constexpr size_t kStep = 1 << 16;
  for (uint64_t at = from; at + kRecordHeaderBytes <= size;) {
    auto bytes = window.At(at, std::min<uint64_t>(size - at, kStep));
    if (!bytes.ok()) return bytes.status();
    const size_t magic = bytes->find(kMagicBytes);
    if (magic == std::string_view::npos) {
      if (bytes->size() < kStep) break;
      at += kStep - kAlignment;
      continue;
    }
    at += magic;
    if (at % kAlignment == 0) {
      auto record = RecordAt(window, at);
      if (!record.ok()) return record.status();
      if (*record && IsWanted((*record)->header, wanted)) return at;
    }
    at = (at / kAlignment + 1) * kAlignment;
  }
  return size;
}

// Behind the last byte at or after `from` that is no zero; `from` when all are.
absl::StatusOr<uint64_t> ZerosFrom(Window& window, uint64_t from, uint64_t size) {
  uint64_t end = from;
  for (uint64_t at = from; at < size;) {
    auto bytes = window.At(at, std::min<uint64_t>(size - at, 1 << 16));
    if (!bytes.ok()) return bytes.status();
    if (bytes->empty()) break;
    if (const size_t last = bytes->find_last_not_of('\0'); last != std::string_view::npos)
      end = at + last + 1;
    at += bytes->size();
  }
  return end;
}

absl::StatusOr<bool> Holds(const File& file, Wanted wanted) {
  auto size = file.Size();
  if (!size.ok()) return size.status();
  Window window(file);
  auto next = NextRecord(window, kSegmentHeaderBytes, *size, wanted);
  if (!next.ok()) return next.status();
  return *next < *size;
}

// Whether nothing that is unreadable at `from` need ever have been on the disk.
absl::StatusOr<bool> IsTornTail(Window& window, uint64_t from, uint64_t size, uint64_t must_reach,
                                const File* unsynced_next) {
  if (must_reach != 0 && unsynced_next == nullptr) return false;
  auto next = NextRecord(window, from, size, Wanted::kAfterSync);
  if (!next.ok()) return next.status();
  if (*next < size) return false;
  if (unsynced_next == nullptr) return true;
  auto held = Holds(*unsynced_next, Wanted::kAfterSync);
  if (!held.ok()) return held.status();
  return !*held;
}

}  // namespace

std::string SegmentName(uint64_t sequence) { return fmt::format("{:020}{}", sequence, kSuffix); }

std::optional<uint64_t> SegmentSequence(std::string_view name) {
  uint64_t sequence = 0;
  if (name.size() != kDigits + kSuffix.size() || name.substr(kDigits) != kSuffix ||
      !absl::SimpleAtoi(ToAbsl(name.substr(0, kDigits)), &sequence)) {
    return std::nullopt;
  }
  return sequence;
}

std::string EncodeSegmentHeader(const SegmentHeader& header) {
  std::string bytes(kSegmentHeaderBytes, '\0');
  const auto put = [&bytes](size_t at, auto value) {
    std::memcpy(bytes.data() + at, &value, sizeof value);
  };
  std::memcpy(bytes.data(), kMagic.data(), kMagic.size());
  put(kVersionAt, header.version);
  put(kSequenceAt, header.sequence);
  put(kPreviousAt, header.previous_bytes | (header.previous_unsynced ? kPreviousUnsynced : 0));
  put(kChecksumAt, HeaderChecksum(bytes));
  return bytes;
}

absl::StatusOr<SegmentHeader> DecodeSegmentHeader(std::string_view bytes, uint64_t sequence,
                                                  const std::string& path) {
  const SegmentHeader damaged{.sequence = sequence, .damaged = true};
  if (bytes.size() < kSegmentHeaderBytes || bytes.substr(0, kMagic.size()) != kMagic)
    return damaged;
  SegmentHeader header;
  header.version = GetFixed<uint32_t>(bytes, kVersionAt);
  header.sequence = GetFixed<uint64_t>(bytes, kSequenceAt);
  const auto previous = GetFixed<uint64_t>(bytes, kPreviousAt);
  header.previous_bytes = previous & ~kPreviousUnsynced;
  header.previous_unsynced = (previous & kPreviousUnsynced) != 0;
  // The first version had none.
  const auto checksum = GetFixed<uint32_t>(bytes, kChecksumAt);
  const bool holds =
      checksum == HeaderChecksum(bytes) || (checksum == 0 && header.version != kJournalVersion);
  if (!holds || header.sequence != sequence) return damaged;
  if (header.version <= kJournalVersion) return header;
  return Error(Reason::kNewerFormat,
               fmt::format("{}: journal format {}, but this program knows formats up to {}", path,
                           header.version, kJournalVersion),
               {{"path", path},
                {"value", std::to_string(header.version)},
                {"limit", std::to_string(kJournalVersion)}});
}

absl::StatusOr<bool> HoldsRecord(const File& file) { return Holds(file, Wanted::kAny); }

absl::StatusOr<uint64_t> UsedEnd(const File& file) {
  auto size = file.Size();
  if (!size.ok()) return size.status();
  Window window(file);
  return ZerosFrom(window, 0, *size);
}

absl::StatusOr<ScanResult> ScanSegment(
    const File& file, uint64_t from, uint64_t must_reach, const File* unsynced_next,
    const std::function<absl::Status(uint64_t position, const RecordHeader&,
                                     std::string_view payload)>& on_record,
    const std::function<void(const DamagedStretch&)>& on_damage) {
  auto size = file.Size();
  if (!size.ok()) return size.status();
  Window window(file);
  ScanResult result;
  result.end = from;
  for (;;) {
    DamagedStretch damage{.begin = result.end, .end = 0, .header = {}, .payload = {}};
    auto record = RecordAt(window, result.end, &damage.header);
    if (!record.ok()) return record.status();
    if (!*record) {
      auto zeros = ZerosFrom(window, result.end, *size);
      if (!zeros.ok()) return zeros.status();
      if (*zeros == result.end && result.end >= must_reach) return result;
      auto torn = IsTornTail(window, result.end, *size, must_reach, unsynced_next);
      if (!torn.ok()) return torn.status();
      if (*torn) {
        result.torn_tail = true;
        result.torn_end = *zeros;
        return result;
      }
      auto next = NextRecord(window, result.end + kAlignment, *size, Wanted::kAny);
      if (!next.ok()) return next.status();
      damage.end = *next < *size
                       ? *next
                       : std::max(must_reach == kLengthUnknown ? *size : must_reach, result.end);
      if (damage.header) {
        constexpr size_t kEnough = 4096;
        auto payload = window.At(damage.begin + kRecordHeaderBytes,
                                 std::min<size_t>(damage.header->length, kEnough));
        if (!payload.ok()) return payload.status();
        damage.payload = *payload;
      }
      if (damage.end > damage.begin) on_damage(damage);
      result.end = damage.end;
      if (*next == *size) return result;
      continue;
    }
    const RecordHeader& header = (*record)->header;
    if (absl::Status status = on_record(result.end, header,
                                        (*record)->bytes.substr(kRecordHeaderBytes, header.length));
        !status.ok()) {
      return status;
    }
    result.end += RecordBytes(header.length);
  }
}

}  // namespace sluice
