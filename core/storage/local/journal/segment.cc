#include "core/storage/local/journal/segment.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/numbers.h"
#include "core/base/error.h"
#include "core/base/strings.h"
#include "fmt/format.h"

namespace sluice {
namespace {

constexpr std::string_view kMagic("SLUICEJ\0", 8);
constexpr std::string_view kSuffix = ".journal";
constexpr size_t kDigits = 20;
constexpr size_t kAlignment = 8;

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

// The good record at `position`, if there is one. `header`, when given, takes what looks like a header.
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

// The position of the next good record at or after `from`, of the next one that starts a commit when so asked; `size`
// when there is none.
absl::StatusOr<uint64_t> NextRecord(Window& window, uint64_t from, uint64_t size, bool starts_commit) {
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
      if (*record && (!starts_commit || (*record)->header.starts_commit)) return at;
    }
    at = (at / kAlignment + 1) * kAlignment;
  }
  return size;
}

absl::StatusOr<bool> AllZeros(Window& window, uint64_t from, uint64_t size) {
  for (uint64_t at = from; at < size;) {
    auto bytes = window.At(at, std::min<uint64_t>(size - at, 1 << 16));
    if (!bytes.ok()) return bytes.status();
    if (bytes->find_first_not_of('\0') != std::string_view::npos) return false;
    if (bytes->empty()) break;
    at += bytes->size();
  }
  return true;
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
  std::memcpy(bytes.data(), kMagic.data(), kMagic.size());
  std::memcpy(bytes.data() + 8, &kJournalVersion, sizeof kJournalVersion);
  std::memcpy(bytes.data() + 16, &header.sequence, sizeof header.sequence);
  std::memcpy(bytes.data() + 24, &header.previous_bytes, sizeof header.previous_bytes);
  return bytes;
}

absl::StatusOr<SegmentHeader> DecodeSegmentHeader(std::string_view bytes, const std::string& path) {
  if (bytes.size() < kSegmentHeaderBytes || bytes.substr(0, kMagic.size()) != kMagic) {
    return Error(Reason::kDataLoss, fmt::format("{}: not a journal segment", path), {{"path", path}});
  }
  uint32_t version = 0;
  std::memcpy(&version, bytes.data() + 8, sizeof version);
  if (version > kJournalVersion) {
    return Error(Reason::kNewerFormat,
                 fmt::format("{}: journal format {}, but this program knows formats up to {}", path, version,
                             kJournalVersion),
                 {{"path", path}, {"value", std::to_string(version)}, {"limit", std::to_string(kJournalVersion)}});
  }
  SegmentHeader header;
  std::memcpy(&header.sequence, bytes.data() + 16, sizeof header.sequence);
  std::memcpy(&header.previous_bytes, bytes.data() + 24, sizeof header.previous_bytes);
  return header;
}

absl::StatusOr<ScanResult> ScanSegment(
    const File& file, uint64_t from, uint64_t must_reach,
    const std::function<absl::Status(uint64_t position, const RecordHeader&, std::string_view payload)>& on_record,
    const std::function<void(const DamagedStretch&)>& on_damage) {
  auto size = file.Size();
  if (!size.ok()) return size.status();
  Window window(file);
  ScanResult result;
  result.end = from;
  for (;;) {
    DamagedStretch damage{.begin = result.end, .end = 0, .header = {}};
    auto record = RecordAt(window, result.end, &damage.header);
    if (!record.ok()) return record.status();
    if (!*record) {
      auto zeros = AllZeros(window, result.end, *size);
      if (!zeros.ok()) return zeros.status();
      if (*zeros && result.end >= must_reach) return result;
      auto next = NextRecord(window, result.end + kAlignment, *size, must_reach == 0);
      if (!next.ok()) return next.status();
      if (*next == *size && must_reach == 0) {
        result.torn_tail = true;
        return result;
      }
      damage.end = *next < *size ? *next : std::max(must_reach == kLengthUnknown ? *size : must_reach, result.end);
      if (damage.end > damage.begin) on_damage(damage);
      result.end = damage.end;
      if (*next == *size) return result;
      continue;
    }
    const RecordHeader& header = (*record)->header;
    if (absl::Status status = on_record(result.end, header, (*record)->bytes.substr(kRecordHeaderBytes, header.length));
        !status.ok()) {
      return status;
    }
    result.end += RecordBytes(header.length);
  }
}

}  // namespace sluice
