#include "core/message/validate.h"

#include "core/base/error.h"
#include "core/base/strings.h"
#include "core/message/limits.h"
#include "core/message/message_view.h"
#include "fmt/format.h"

namespace sluice {
namespace {

absl::Status Refuse(Reason reason, size_t index, std::string_view field, std::string_view problem,
                    const std::string& value, const std::string& limit) {
  const std::string path = fmt::format("messages[{}]{}{}", index, field.empty() ? "" : ".", field);
  return Error(reason, fmt::format("{}: {}", path, problem), {{"field", path}, {"value", value}, {"limit", limit}});
}

absl::Status TooLong(Reason reason, size_t index, std::string_view field, size_t size, size_t limit) {
  return Refuse(reason, index, field, fmt::format("{} bytes, but at most {} are allowed", size, limit),
                std::to_string(size), std::to_string(limit));
}

absl::Status NotUtf8(size_t index, std::string_view field) {
  return Refuse(Reason::kInvalidUtf8, index, field, "not valid UTF-8", "(not UTF-8)", "UTF-8");
}

// What one scan of a message finds.
struct Scan {
  size_t attributes = 0;
  MessageTraits traits;
  bool has_data = false;
  bool needs_rewrite = false;
};

absl::Status CheckAttribute(std::string_view entry, size_t index, Scan* scan) {
  bool plain = false;
  const auto attribute = ParseAttribute(entry, &plain);
  if (!attribute) {
    return Refuse(Reason::kMalformedRequest, index, "attributes", "malformed map entry", "(bytes)", "protobuf");
  }
  ++scan->attributes;
  if (!plain) scan->needs_rewrite = true;
  if (attribute->key.size() > kMaxAttributeKeyBytes) {
    return TooLong(Reason::kInvalidAttribute, index, "attributes (a key)", attribute->key.size(),
                   kMaxAttributeKeyBytes);
  }
  if (!IsValidUtf8(attribute->key)) return NotUtf8(index, "attributes");
  if (attribute->key.empty() || attribute->key.substr(0, 4) == "goog") {
    return Refuse(Reason::kInvalidAttribute, index, "attributes",
                  fmt::format("key \"{}\": keys must not be empty nor start with \"goog\"", attribute->key),
                  std::string(attribute->key), "not empty, not goog*");
  }
  const auto field = [&] { return fmt::format("attributes[\"{}\"]", attribute->key); };
  if (!IsValidUtf8(attribute->value)) return NotUtf8(index, field());
  if (attribute->value.size() > kMaxAttributeValueBytes) {
    return TooLong(Reason::kInvalidAttribute, index, field(), attribute->value.size(), kMaxAttributeValueBytes);
  }
  return absl::OkStatus();
}

absl::Status CheckOrderingKey(std::string_view key, size_t index) {
  if (key.size() > kMaxOrderingKeyBytes) {
    return TooLong(Reason::kOrderingKeyTooLong, index, "ordering_key", key.size(), kMaxOrderingKeyBytes);
  }
  if (!IsValidUtf8(key)) return NotUtf8(index, "ordering_key");
  return absl::OkStatus();
}

WireType ExpectedType(uint32_t number) {
  return number == kPriorityField ? WireType::kVarint : WireType::kBytes;
}

absl::Status CheckField(const WireField& field, size_t index, Scan* scan) {
  if (field.number <= kExpireAtField && field.type != ExpectedType(field.number)) {
    scan->needs_rewrite = true;  // an unknown field to protobuf's parsers
    return absl::OkStatus();
  }
  switch (field.number) {
    case kDataField:
      scan->has_data = !field.bytes.empty();
      return absl::OkStatus();
    case kAttributesField:
      return CheckAttribute(field.bytes, index, scan);
    case kOrderingKeyField:
      scan->traits.plain &= field.bytes.empty();
      return CheckOrderingKey(field.bytes, index);
    case kPriorityField:
      scan->traits.plain &= field.value == 0;
      if (field.value <= kMaxPriority) return absl::OkStatus();
      return Refuse(Reason::kInvalidPriority, index, "priority",
                    fmt::format("{}, but the highest is {}", field.value, kMaxPriority),
                    std::to_string(field.value), std::to_string(kMaxPriority));
    case kDeliverAtField:
    case kExpireAtField: {
      const bool delivery = field.number == kDeliverAtField;
      const auto time = ParseTimestamp(field.bytes);
      if (!time) {
        return Refuse(Reason::kInvalidTime, index, delivery ? "deliver_at" : "expire_at",
                      "not a time of the years 1 to 9999", "(timestamp)", "years 1 to 9999");
      }
      scan->traits.plain = false;
      if (delivery) scan->traits.deliver_at_us = *time;
      return absl::OkStatus();
    }
    default:
      scan->needs_rewrite = true;
      return absl::OkStatus();
  }
}

}  // namespace

absl::StatusOr<WireForm> CheckMessage(std::string_view wire, size_t index, MessageTraits* traits) {
  Scan scan;
  WireReader in(wire);
  WireField field;
  while (in.Next(&field)) {
    if (auto status = CheckField(field, index, &scan); !status.ok()) return status;
  }
  if (!in.ok()) {
    return Refuse(Reason::kMalformedRequest, index, "", "not a serialized message", "(bytes)", "protobuf");
  }
  if (!scan.has_data && scan.attributes == 0) {
    return Refuse(Reason::kEmptyMessage, index, "", "a message needs data or at least one attribute", "empty",
                  "data or attributes");
  }
  if (scan.attributes > kMaxAttributes) {
    return Refuse(Reason::kTooManyAttributes, index, "attributes",
                  fmt::format("{} attributes, but at most {} are allowed", scan.attributes, kMaxAttributes),
                  std::to_string(scan.attributes), std::to_string(kMaxAttributes));
  }
  *traits = scan.traits;
  return scan.needs_rewrite ? WireForm::kNeedsRewrite : WireForm::kStorable;
}

void RewriteMessage(std::string_view wire, std::string* out) {
  WireReader in(wire);
  WireField field;
  while (in.Next(&field)) {
    const bool kept = field.number == kDataField || field.number == kAttributesField ||
                      field.number == kOrderingKeyField || field.number == kPriorityField ||
                      field.number == kDeliverAtField || field.number == kExpireAtField;
    if (!kept || field.type != ExpectedType(field.number)) continue;
    if (field.type == WireType::kVarint) {
      AppendVarintField(out, field.number, field.value);
    } else if (field.number == kAttributesField) {
      AppendAttribute(out, *ParseAttribute(field.bytes));
    } else {
      AppendBytesField(out, field.number, field.bytes);
    }
  }
}

absl::Status RequestTooLarge(size_t bytes) {
  return Error(Reason::kRequestTooLarge,
               fmt::format("messages: {} bytes, but at most {} are allowed per request", bytes, kMaxRequestBytes),
               {{"field", "messages"}, {"value", std::to_string(bytes)}, {"limit", std::to_string(kMaxRequestBytes)}});
}

}  // namespace sluice
