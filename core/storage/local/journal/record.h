// One record of the journal: a header of 48 bytes, a payload, zeros up to a multiple of 8. Numbers
// are little-endian; docs/format.md has the payloads.
//
//    0  u32  magic ("SLJR")                        24  u64  topic or subscription
//    4  u32  payload length                        32  u64  first offset (batches)
//    8  u64  XXH3-64 of bytes 16.. and payload     40  u64  0
//   16  u8   kind
//   17  u8   flags (1: first record of a commit, 2: and what is before it was not synced)
//   18  u16  0
//   20  u32  count of messages (batches)
//
// Thread rule: value types and pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace sluice {

enum class RecordKind : uint8_t {
  // A batch record (core/message/batch.h), and the same appended again when its segment was given
  // up.
  kBatch = 1,
  kBatchMoved = 2,
  // Catalogue. Payload: the config, for a subscription behind its initial state when flags say so.
  kPutTopic = 3,
  kRemoveTopic = 4,
  kPutSubscription = 5,
  kRemoveSubscription = 6,
  // What changed in a cursor, and a cursor's whole state.
  kCursorDelta = 7,
  kCursorState = 8,
  // A batch that takes the place of messages of another topic, which it acknowledges: first what it
  // acknowledges.
  kBatchAndAck = 9,
  // A batch whose producer numbers them: first who that is.
  kBatchOfProducer = 10,
  // Beside the config in a state snapshot: where a topic begins and ends, and its producers.
  kTopicState = 11,
  // Around a state snapshot.
  kSnapshotBegin = 12,
  kSnapshotEnd = 13,
};
inline constexpr uint8_t kLastRecordKind = 13;

// Appends messages, which the next offsets are for.
inline constexpr bool IsNewBatch(RecordKind kind) {
  return kind == RecordKind::kBatch || kind == RecordKind::kBatchAndAck ||
         kind == RecordKind::kBatchOfProducer;
}
// Holds a batch record.
inline constexpr bool HoldsBatch(RecordKind kind) {
  return IsNewBatch(kind) || kind == RecordKind::kBatchMoved;
}
// What stands in front of the batch record of a kBatchAndAck: subscription, begin and end of the
// offsets acknowledged, 8 bytes each; or, for several ranges, 0, subscription, their number, begin
// and end of each. Of a kBatchOfProducer: epoch, sequence, length of the id, 8 bytes each, the id.
inline constexpr uint64_t kSeveralRanges = 0;
inline constexpr size_t kProducerPrefixBytes = 24;

// Bytes in front of the batch record of a kBatchAndAck; nothing when the payload is too short for
// them.
std::optional<size_t> AckPrefixBytes(std::string_view payload);

// The batch record in a payload; empty when the payload is too short for what stands in front of
// it.
std::string_view BatchIn(RecordKind kind, std::string_view payload);

inline constexpr uint32_t kRecordMagic = 0x524A4C53;
inline constexpr size_t kRecordHeaderBytes = 48;
// A batch of the largest request with the most messages, with room to spare.
inline constexpr uint32_t kMaxPayloadBytes = 64 << 20;

struct RecordHeader {
  RecordKind kind = RecordKind::kBatch;
  // The first record of a commit: everything before it had been written, and under fsync synced,
  // when it was written.
  bool starts_commit = false;
  // For such a record: under os, where what was written before need not be on the disk.
  bool after_unsynced = false;
  uint32_t length = 0;
  uint32_t count = 0;
  uint64_t id = 0;
  uint64_t first = 0;
};

// Bytes that a record with this payload takes in the file.
inline constexpr size_t RecordBytes(size_t payload) {
  return (kRecordHeaderBytes + payload + 7) & ~size_t{7};
}

// Writes the 48 bytes of the header, checksum included. `header.length` is taken from the payload.
void EncodeHeader(const RecordHeader& header, std::string_view payload, char* out);

// The header at the front of `bytes`, when magic, kind and length make sense. Says nothing about
// the payload.
std::optional<RecordHeader> DecodeHeader(std::string_view bytes);

// Whether header and payload at the front of `bytes` agree with their checksum. REQUIRES:
// DecodeHeader accepted it and `bytes` holds the payload.
bool ChecksumHolds(std::string_view bytes, const RecordHeader& header);

}  // namespace sluice
