// Protobuf's wire format, read and written by hand where a full parse would cost a copy. Source:
// https://protobuf.dev/programming-guides/encoding. Used by the message view, the batch builder and
// the sessions.
//
//   WireReader in(bytes);
//   WireField field;
//   while (in.Next(&field)) { if (field.number == 2 && field.type == WireType::kBytes) use(field.bytes); }
//   if (!in.ok()) ... // malformed
//
// Thread rule: value types; nothing here owns the bytes it points to.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

namespace sluice {

enum class WireType : uint8_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

struct WireField {
  uint32_t number = 0;
  WireType type = WireType::kVarint;
  // kVarint only.
  uint64_t value = 0;
  // The other types.
  std::string_view bytes;
};

class WireReader {
 public:
  explicit WireReader(std::string_view in) : at_(in.data()), end_(in.data() + in.size()) {}

  // False at the end and on malformed input: what some protobuf parser would refuse is refused
  // here, since one message that it cannot read would take the whole response with it. That
  // includes groups, which proto3 does not have, and tags and lengths of more than 5 bytes.
  bool Next(WireField* field);
  bool ok() const { return ok_; }

 private:
  bool Fail() {
    ok_ = false;
    return false;
  }
  // A tag or a length.
  bool ReadShortVarint(uint64_t* value);

  const char* at_;
  const char* end_;
  bool ok_ = true;
};

// A row of varints and of strings behind their length, as our own records have them.
class VarintReader {
 public:
  explicit VarintReader(std::string_view in) : at_(in.data()), end_(in.data() + in.size()) {}

  // 0 and "" past the end, and then ok() is false.
  uint64_t Next();
  std::string_view NextBytes();
  // For a reader who finds that what it read makes no sense.
  void Fail() { ok_ = false; }
  bool ok() const { return ok_; }
  bool AtEnd() const { return at_ == end_; }

 private:
  const char* at_;
  const char* end_;
  bool ok_ = true;
};

// Varints take 1 to 10 bytes.
inline constexpr size_t kMaxVarintBytes = 10;

size_t VarintSize(uint64_t value);

// Writes to `out`, which has room for kMaxVarintBytes, and returns the end.
char* WriteVarint(char* out, uint64_t value);

inline constexpr uint32_t WireTag(uint32_t number, WireType type) {
  return number << 3 | static_cast<uint32_t>(type);
}

// What a VarintReader reads.
class VarintWriter {
 public:
  void Put(uint64_t value) {
    char buffer[kMaxVarintBytes];
    out_.append(buffer, WriteVarint(buffer, value));
  }
  void PutBytes(std::string_view bytes) {
    Put(bytes.size());
    out_.append(bytes);
  }
  std::string Take() { return std::move(out_); }

 private:
  std::string out_;
};

// Bytes that a field takes whose tag takes one (numbers up to 15).
inline size_t BytesFieldSize(size_t size) { return 1 + VarintSize(size) + size; }

// The same for a field, where there is room for it (BytesFieldSize). The header is what stands
// before the bytes.
char* WriteBytesHeader(char* out, uint32_t number, size_t size);
char* WriteBytesField(char* out, uint32_t number, std::string_view bytes);

// Appends a field to a string; the header is what stands before the bytes.
void AppendVarintField(std::string* out, uint32_t number, uint64_t value);
void AppendBytesHeader(std::string* out, uint32_t number, size_t size);
void AppendBytesField(std::string* out, uint32_t number, std::string_view bytes);

// Reads a varint at *at and moves past it; false when it is cut off or holds more than 64 bits.
inline bool ReadVarint(const char** at, const char* end, uint64_t* value) {
  const char* in = *at;
  uint64_t result = 0;
  for (int shift = 0; shift < 64 && in < end; shift += 7) {
    const auto byte = static_cast<unsigned char>(*in++);
    if (shift == 63 && byte > 1) return false;
    result |= static_cast<uint64_t>(byte & 0x7F) << shift;
    if (byte < 0x80) {
      *value = result;
      *at = in;
      return true;
    }
  }
  return false;
}

inline uint64_t VarintReader::Next() {
  uint64_t value = 0;
  ok_ = ok_ && ReadVarint(&at_, end_, &value);
  return value;
}

inline std::string_view VarintReader::NextBytes() {
  const uint64_t size = Next();
  ok_ = ok_ && size <= static_cast<uint64_t>(end_ - at_);
  if (!ok_) return {};
  at_ += size;
  return {at_ - size, static_cast<size_t>(size)};
}

inline bool WireReader::ReadShortVarint(uint64_t* value) {
  constexpr ptrdiff_t kMaxBytes = 5;
  const char* end = end_ - at_ > kMaxBytes ? at_ + kMaxBytes : end_;
  return (ReadVarint(&at_, end, value) && *value <= UINT32_MAX) || Fail();
}

inline bool WireReader::Next(WireField* field) {
  if (at_ >= end_ || !ok_) return false;
  // What nearly every field is: bytes, with a tag and a length of one byte each.
  if (end_ - at_ >= 2) {
    const auto short_tag = static_cast<unsigned char>(at_[0]);
    const auto short_size = static_cast<unsigned char>(at_[1]);
    const bool is_bytes =
        (short_tag & 0x87) == static_cast<unsigned char>(WireType::kBytes) && short_tag >= 8;
    if (is_bytes && short_size < 0x80 && short_size <= end_ - at_ - 2) {
      field->number = short_tag >> 3;
      field->type = WireType::kBytes;
      field->bytes = {at_ + 2, short_size};
      at_ += 2 + short_size;
      return true;
    }
  }
  uint64_t tag = 0;
  if (!ReadShortVarint(&tag) || tag >> 3 == 0) return Fail();
  field->number = static_cast<uint32_t>(tag >> 3);
  field->type = static_cast<WireType>(tag & 7);
  const auto take = [&](uint64_t size) {
    if (size > static_cast<uint64_t>(end_ - at_)) return Fail();
    field->bytes = {at_, static_cast<size_t>(size)};
    at_ += size;
    return true;
  };
  switch (field->type) {
    case WireType::kVarint:
      return ReadVarint(&at_, end_, &field->value) || Fail();
    case WireType::kBytes: {
      uint64_t size = 0;
      return ReadShortVarint(&size) && take(size);
    }
    case WireType::kFixed64:
      return take(8);
    case WireType::kFixed32:
      return take(4);
  }
  return Fail();
}

inline size_t VarintSize(uint64_t value) {
  // 9 bits of size for every 64 of value, rounded up: protobuf's own formula.
  const auto log2 = static_cast<uint32_t>(63 - __builtin_clzll(value | 1));
  return (log2 * 9 + 73) / 64;
}

inline char* WriteVarint(char* out, uint64_t value) {
  while (value >= 0x80) {
    *out++ = static_cast<char>(value | 0x80);
    value >>= 7;
  }
  *out++ = static_cast<char>(value);
  return out;
}

inline void AppendVarintField(std::string* out, uint32_t number, uint64_t value) {
  char buffer[2 * kMaxVarintBytes];
  char* end = WriteVarint(buffer, WireTag(number, WireType::kVarint));
  end = WriteVarint(end, value);
  out->append(buffer, end);
}

inline char* WriteBytesHeader(char* out, uint32_t number, size_t size) {
  return WriteVarint(WriteVarint(out, WireTag(number, WireType::kBytes)), size);
}

inline char* WriteBytesField(char* out, uint32_t number, std::string_view bytes) {
  out = WriteBytesHeader(out, number, bytes.size());
  if (!bytes.empty()) std::memcpy(out, bytes.data(), bytes.size());
  return out + bytes.size();
}

inline void AppendBytesHeader(std::string* out, uint32_t number, size_t size) {
  char buffer[2 * kMaxVarintBytes];
  out->append(buffer, WriteBytesHeader(buffer, number, size));
}

inline void AppendBytesField(std::string* out, uint32_t number, std::string_view bytes) {
  AppendBytesHeader(out, number, bytes.size());
  out->append(bytes);
}

}  // namespace sluice
