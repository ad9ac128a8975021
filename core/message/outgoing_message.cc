#include "core/message/outgoing_message.h"

#include "core/message/wire.h"

namespace sluice {
namespace {

size_t EntrySize(const AttributeView& attribute) {
  return BytesFieldSize(attribute.key.size()) + BytesFieldSize(attribute.value.size());
}

// Of the fields that nearly every message has.
size_t BytesFieldsSize(const OutgoingMessage& message) {
  size_t size = message.data.empty() ? 0 : BytesFieldSize(message.data.size());
  for (const AttributeView& attribute : message.attributes)
    size += BytesFieldSize(EntrySize(attribute));
  if (!message.ordering_key.empty()) size += BytesFieldSize(message.ordering_key.size());
  return size;
}

}  // namespace

void AppendWire(const OutgoingMessage& message, std::string* out) {
  const size_t at = out->size();
  out->resize(at + BytesFieldsSize(message));
  char* end = out->data() + at;
  if (!message.data.empty()) end = WriteBytesField(end, kDataField, message.data);
  for (const AttributeView& attribute : message.attributes) {
    end = WriteBytesHeader(end, kAttributesField, EntrySize(attribute));
    end = WriteBytesField(end, 1, attribute.key);
    end = WriteBytesField(end, 2, attribute.value);
  }
  if (!message.ordering_key.empty()) WriteBytesField(end, kOrderingKeyField, message.ordering_key);
  if (message.priority != 0) AppendVarintField(out, kPriorityField, message.priority);
  if (message.deliver_at)
    AppendTimestampField(out, kDeliverAtField, absl::ToUnixMicros(*message.deliver_at));
  if (message.expire_at)
    AppendTimestampField(out, kExpireAtField, absl::ToUnixMicros(*message.expire_at));
}

}  // namespace sluice
