#include "core/message/message_view.h"

namespace sluice {
namespace {

// The first and the last second of the years 1 to 9999.
constexpr int64_t kMinSeconds = -62'135'596'800;
constexpr int64_t kMaxSeconds = 253'402'300'799;

}  // namespace

std::optional<AttributeView> ParseAttribute(std::string_view entry, bool* plain) {
  AttributeView attribute;
  int fields = 0;
  bool has_key = false;
  bool has_value = false;
  WireReader in(entry);
  WireField field;
  while (in.Next(&field)) {
    ++fields;
    if (field.type != WireType::kBytes) continue;
    if (field.number == 1) {
      attribute.key = field.bytes;
      has_key = true;
    } else if (field.number == 2) {
      attribute.value = field.bytes;
      has_value = true;
    }
  }
  if (!in.ok()) return std::nullopt;
  if (plain != nullptr) *plain = fields == (has_key ? 1 : 0) + (has_value ? 1 : 0);
  return attribute;
}

bool IsTimestamp(int64_t micros) {
  constexpr int64_t kMicros = 1'000'000;
  return micros >= kMinSeconds * kMicros && micros < (kMaxSeconds + 1) * kMicros;
}

std::optional<int64_t> ParseTimestamp(std::string_view bytes) {
  constexpr int64_t kMaxNanos = 999'999'999;
  int64_t seconds = 0;
  int64_t nanos = 0;
  WireReader in(bytes);
  WireField field;
  while (in.Next(&field)) {
    if (field.type != WireType::kVarint) continue;
    if (field.number == 1) seconds = static_cast<int64_t>(field.value);
    if (field.number == 2) nanos = static_cast<int64_t>(field.value);
  }
  if (!in.ok() || seconds < kMinSeconds || seconds > kMaxSeconds || nanos < 0 || nanos > kMaxNanos)
    return std::nullopt;
  return seconds * 1'000'000 + nanos / 1000;
}

void AppendTimestampField(std::string* out, uint32_t number, int64_t micros) {
  const int64_t seconds = micros >= 0 ? micros / 1'000'000 : -((-micros + 999'999) / 1'000'000);
  const int64_t nanos = (micros - seconds * 1'000'000) * 1000;
  std::string timestamp;
  if (seconds != 0) AppendVarintField(&timestamp, 1, static_cast<uint64_t>(seconds));
  if (nanos != 0) AppendVarintField(&timestamp, 2, static_cast<uint64_t>(nanos));
  AppendBytesField(out, number, timestamp);
}

void AppendAttribute(std::string* out, AttributeView attribute) {
  const size_t entry =
      BytesFieldSize(attribute.key.size()) + BytesFieldSize(attribute.value.size());
  const size_t at = out->size();
  out->resize(at + BytesFieldSize(entry));
  char* end = WriteBytesHeader(out->data() + at, kAttributesField, entry);
  end = WriteBytesField(end, 1, attribute.key);
  WriteBytesField(end, 2, attribute.value);
}

MessageView::MessageView(std::string_view bytes) : bytes_(bytes) {
  WireReader in(bytes);
  WireField field;
  while (in.Next(&field)) {
    if (field.number == kDataField && field.type == WireType::kBytes) data_ = field.bytes;
    if (field.number == kOrderingKeyField && field.type == WireType::kBytes)
      ordering_key_ = field.bytes;
    if (field.number == kPriorityField && field.type == WireType::kVarint) {
      priority_ = static_cast<uint32_t>(field.value);
    }
    if (field.type != WireType::kBytes) continue;
    if (field.number == kDeliverAtField)
      deliver_at_us_ = ParseTimestamp(field.bytes).value_or(kDeliverAtOnce);
    if (field.number == kExpireAtField)
      expire_at_us_ = ParseTimestamp(field.bytes).value_or(kNeverExpires);
  }
  ok_ = in.ok();
}

std::optional<std::string_view> MessageView::FindAttribute(std::string_view key) const {
  std::optional<std::string_view> found;
  ForEachAttribute([&](std::string_view k, std::string_view v) {
    if (k == key) found = v;
  });
  return found;
}

}  // namespace sluice
