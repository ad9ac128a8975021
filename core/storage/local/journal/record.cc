#include "core/storage/local/journal/record.h"

#include <cstring>

#include "core/storage/local/journal/fixed.h"

#define XXH_INLINE_ALL
#include "xxhash.h"

namespace sluice {
namespace {

constexpr size_t kRecordChecksumAt = 8;
constexpr size_t kCheckedFrom = 16;
constexpr uint8_t kStartsCommit = 1;
constexpr uint8_t kAfterUnsynced = 2;

// The header's sum is the seed of the payload's, so that neither has to be copied to stand behind
// the other.
uint64_t Checksum(const char* header, std::string_view payload) {
  const uint64_t seed = XXH3_64bits(header + kCheckedFrom, kRecordHeaderBytes - kCheckedFrom);
  return XXH3_64bits_withSeed(payload.data(), payload.size(), seed ^ payload.size());
}

}  // namespace

std::optional<size_t> AckPrefixBytes(std::string_view payload) {
  constexpr size_t kThree = 3 * sizeof(uint64_t);
  if (payload.size() < kThree) return std::nullopt;
  if (GetFixed<uint64_t>(payload, 0) != kSeveralRanges) return kThree;
  const auto ranges = GetFixed<uint64_t>(payload, 2 * sizeof(uint64_t));
  if (ranges > (payload.size() - kThree) / (2 * sizeof(uint64_t))) return std::nullopt;
  return kThree + ranges * 2 * sizeof(uint64_t);
}

std::string_view BatchIn(RecordKind kind, std::string_view payload) {
  size_t skip = 0;
  if (kind == RecordKind::kBatchAndAck) skip = AckPrefixBytes(payload).value_or(payload.size());
  if (kind == RecordKind::kBatchOfProducer) {
    if (payload.size() < kProducerPrefixBytes) return {};
    const auto id_bytes = GetFixed<uint64_t>(payload, kProducerPrefixBytes - sizeof(uint64_t));
    skip = id_bytes > payload.size() ? payload.size() : kProducerPrefixBytes + id_bytes;
  }
  return payload.substr(skip > payload.size() ? payload.size() : skip);
}

void EncodeHeader(const RecordHeader& header, std::string_view payload, char* out) {
  std::memset(out, 0, kRecordHeaderBytes);
  PutFixed(out, 0, kRecordMagic);
  PutFixed(out, 4, static_cast<uint32_t>(payload.size()));
  PutFixed(out, 16, static_cast<uint8_t>(header.kind));
  const int flags =
      (header.starts_commit ? kStartsCommit : 0) | (header.after_unsynced ? kAfterUnsynced : 0);
  PutFixed(out, 17, static_cast<uint8_t>(flags));
  PutFixed(out, 20, header.count);
  PutFixed(out, 24, header.id);
  PutFixed(out, 32, header.first);
  PutFixed(out, kRecordChecksumAt, Checksum(out, payload));
}

std::optional<RecordHeader> DecodeHeader(std::string_view bytes) {
  if (bytes.size() < kRecordHeaderBytes || GetFixed<uint32_t>(bytes, 0) != kRecordMagic)
    return std::nullopt;
  RecordHeader header;
  header.length = GetFixed<uint32_t>(bytes, 4);
  const auto kind = GetFixed<uint8_t>(bytes, 16);
  if (kind == 0 || kind > kLastRecordKind || header.length > kMaxPayloadBytes) return std::nullopt;
  header.kind = static_cast<RecordKind>(kind);
  header.starts_commit = (GetFixed<uint8_t>(bytes, 17) & kStartsCommit) != 0;
  header.after_unsynced = (GetFixed<uint8_t>(bytes, 17) & kAfterUnsynced) != 0;
  header.count = GetFixed<uint32_t>(bytes, 20);
  header.id = GetFixed<uint64_t>(bytes, 24);
  header.first = GetFixed<uint64_t>(bytes, 32);
  return header;
}

bool ChecksumHolds(std::string_view bytes, const RecordHeader& header) {
  return Checksum(bytes.data(), bytes.substr(kRecordHeaderBytes, header.length)) ==
         GetFixed<uint64_t>(bytes, kRecordChecksumAt);
}

}  // namespace sluice
