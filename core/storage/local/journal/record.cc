#include "core/storage/local/journal/record.h"

#include <cstring>

#define XXH_INLINE_ALL
#include "xxhash.h"

namespace sluice {
namespace {

constexpr size_t kChecksumAt = 8;
constexpr size_t kCheckedFrom = 16;
constexpr uint8_t kStartsCommit = 1;
constexpr uint8_t kAfterUnsynced = 2;

template <class T>
void Put(char* out, size_t at, T value) {
  std::memcpy(out + at, &value, sizeof value);
}

template <class T>
T Get(std::string_view bytes, size_t at) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

// The header's sum is the seed of the payload's, so that neither has to be copied to stand behind the other.
uint64_t Checksum(const char* header, std::string_view payload) {
  const uint64_t seed = XXH3_64bits(header + kCheckedFrom, kRecordHeaderBytes - kCheckedFrom);
  return XXH3_64bits_withSeed(payload.data(), payload.size(), seed ^ payload.size());
}

}  // namespace

std::optional<size_t> AckPrefixBytes(std::string_view payload) {
  constexpr size_t kThree = 3 * sizeof(uint64_t);
  if (payload.size() < kThree) return std::nullopt;
  if (Get<uint64_t>(payload, 0) != kSeveralRanges) return kThree;
  const auto ranges = Get<uint64_t>(payload, 2 * sizeof(uint64_t));
  if (ranges > (payload.size() - kThree) / (2 * sizeof(uint64_t))) return std::nullopt;
  return kThree + ranges * 2 * sizeof(uint64_t);
}

std::string_view BatchIn(RecordKind kind, std::string_view payload) {
  size_t skip = 0;
  if (kind == RecordKind::kBatchAndAck) skip = AckPrefixBytes(payload).value_or(payload.size());
  if (kind == RecordKind::kBatchOfProducer) {
    if (payload.size() < kProducerPrefixBytes) return {};
    const auto id_bytes = Get<uint64_t>(payload, kProducerPrefixBytes - sizeof(uint64_t));
    skip = id_bytes > payload.size() ? payload.size() : kProducerPrefixBytes + id_bytes;
  }
  return payload.substr(skip > payload.size() ? payload.size() : skip);
}

void EncodeHeader(const RecordHeader& header, std::string_view payload, char* out) {
  std::memset(out, 0, kRecordHeaderBytes);
  Put(out, 0, kRecordMagic);
  Put(out, 4, static_cast<uint32_t>(payload.size()));
  Put(out, 16, static_cast<uint8_t>(header.kind));
  const int flags = (header.starts_commit ? kStartsCommit : 0) | (header.after_unsynced ? kAfterUnsynced : 0);
  Put(out, 17, static_cast<uint8_t>(flags));
  Put(out, 20, header.count);
  Put(out, 24, header.id);
  Put(out, 32, header.first);
  Put(out, kChecksumAt, Checksum(out, payload));
}

std::optional<RecordHeader> DecodeHeader(std::string_view bytes) {
  if (bytes.size() < kRecordHeaderBytes || Get<uint32_t>(bytes, 0) != kRecordMagic) return std::nullopt;
  RecordHeader header;
  header.length = Get<uint32_t>(bytes, 4);
  const auto kind = Get<uint8_t>(bytes, 16);
  if (kind == 0 || kind > kLastRecordKind || header.length > kMaxPayloadBytes) return std::nullopt;
  header.kind = static_cast<RecordKind>(kind);
  header.starts_commit = (Get<uint8_t>(bytes, 17) & kStartsCommit) != 0;
  header.after_unsynced = (Get<uint8_t>(bytes, 17) & kAfterUnsynced) != 0;
  header.count = Get<uint32_t>(bytes, 20);
  header.id = Get<uint64_t>(bytes, 24);
  header.first = Get<uint64_t>(bytes, 32);
  return header;
}

bool ChecksumHolds(std::string_view bytes, const RecordHeader& header) {
  return Checksum(bytes.data(), bytes.substr(kRecordHeaderBytes, header.length)) == Get<uint64_t>(bytes, kChecksumAt);
}

}  // namespace sluice
