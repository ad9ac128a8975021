#include "core/message/message_view.h"

namespace sluice {

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

void AppendAttribute(std::string* out, AttributeView attribute) {
  AppendBytesHeader(out, kAttributesField, BytesFieldSize(attribute.key.size()) + BytesFieldSize(attribute.value.size()));
  AppendBytesField(out, 1, attribute.key);
  AppendBytesField(out, 2, attribute.value);
}

MessageView::MessageView(std::string_view bytes) : bytes_(bytes) {
  WireReader in(bytes);
  WireField field;
  while (in.Next(&field)) {
    if (field.number == kDataField && field.type == WireType::kBytes) data_ = field.bytes;
    if (field.number == kOrderingKeyField && field.type == WireType::kBytes) ordering_key_ = field.bytes;
    if (field.number == kPriorityField && field.type == WireType::kVarint) {
      priority_ = static_cast<uint32_t>(field.value);
    }
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
