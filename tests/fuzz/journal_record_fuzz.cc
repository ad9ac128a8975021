// Any bytes as a journal record and as each of its payloads: nothing is read past the end, what is
// decoded encodes to the same meaning, and a record with a changed byte is never taken for whole.
#include <string>

#include "core/message/batch.h"
#include "core/storage/local/codec.h"
#include "core/storage/local/journal/record.h"
#include "tests/fuzz/check.h"

namespace sluice::fuzz {
namespace {

void ReadRecord(std::string_view bytes) {
  const auto header = DecodeHeader(bytes);
  if (!header || bytes.size() < kRecordHeaderBytes + header->length) return;
  ChecksumHolds(bytes, *header);
}

// `bytes` as the payload of a record that says so, whole and with the byte at `damage` changed.
void WriteRecord(std::string_view bytes, size_t damage) {
  RecordHeader header;
  header.kind = static_cast<RecordKind>(1 + damage % kLastRecordKind);
  header.id = damage;
  header.count = 3;
  header.starts_commit = damage % 2 == 0;
  std::string record(kRecordHeaderBytes, '\0');
  EncodeHeader(header, bytes, record.data());
  record.append(bytes);
  const auto decoded = DecodeHeader(record);
  Check(decoded && decoded->length == bytes.size() && decoded->kind == header.kind &&
            decoded->id == header.id && decoded->count == header.count &&
            decoded->starts_commit == header.starts_commit,
        "a header reads back as it was written");
  Check(ChecksumHolds(record, *decoded), "a whole record holds its checksum");
  record[damage % record.size()] =
      static_cast<char>(record[damage % record.size()] ^ (1 << damage % 8));
  const auto damaged = DecodeHeader(record);
  Check(!damaged || record.size() < kRecordHeaderBytes + damaged->length ||
            !ChecksumHolds(record, *damaged),
        "a changed byte is noticed");
}

// Applying a change takes time and memory for every message it names; a checksum stands before it
// in the store.
bool Small(const CursorDelta& delta) {
  uint64_t named = 0;
  for (const Failure& failure : delta.failed) {
    if (failure.range.size() > 1000) return false;
    named += failure.range.size();
  }
  return named <= 1000;
}

void ReadPayloads(std::string_view bytes) {
  if (const auto delta = DecodeCursorDelta(bytes)) {
    const std::string encoded = Encode(*delta);
    const auto again = DecodeCursorDelta(encoded);
    Check(again && Encode(*again) == encoded, "a cursor's change encodes to the same meaning");
    if (Small(*delta)) {
      CursorState state;
      Apply(*delta, &state);
      const std::string once = Encode(state);
      Apply(*delta, &state);
      Check(Encode(state) == once, "a change applied twice is as good as once");
    }
  }
  if (const auto state = DecodeCursorState(bytes)) {
    const std::string encoded = Encode(*state);
    const auto again = DecodeCursorState(encoded);
    Check(again && Encode(*again) == encoded, "a cursor's state encodes to the same meaning");
  }
  if (const auto acked = AckSet::Decode(bytes)) {
    const auto again = AckSet::Decode(acked->Encode());
    Check(again && *again == *acked, "ack state encodes to the same meaning");
  }
}

}  // namespace
}  // namespace sluice::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  sluice::fuzz::ReadRecord(bytes);
  sluice::fuzz::ReadPayloads(bytes);
  if (size >= 2) sluice::fuzz::WriteRecord(bytes.substr(2), data[0] | data[1] << 8);
  return 0;
}
