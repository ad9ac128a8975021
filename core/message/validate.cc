#include "core/message/validate.h"

#include <algorithm>

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
  return Error(reason, fmt::format("{}: {}", path, problem),
               {{"field", path}, {"value", value}, {"limit", limit}});
}

absl::Status TooLong(Reason reason, size_t index, std::string_view field, size_t size,
                     size_t limit) {
  return Refuse(reason, index, field,
                fmt::format("{} bytes, but at most {} are allowed", size, limit),
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

// Names beginning with "goog" are Google's, and so are these, under which its client libraries
// carry a trace: the service takes them, and no others.
bool IsReserved(std::string_view key) {
  return key.substr(0, 4) == "goog" && key != "googclient_traceparent" &&
         key != "googclient_tracestate";
}

// `traceparent` and `googclient_traceparent`, and what else ends like them.
bool LooksTraced(std::string_view key) {
  constexpr std::string_view kEnd = "traceparent";
  return key.size() >= kEnd.size() && key.ends_with(kEnd);
}

absl::Status CheckAttribute(const AttributeView& attribute, size_t index) {
  if (attribute.key.size() > kMaxAttributeKeyBytes) {
    return TooLong(Reason::kInvalidAttribute, index, "attributes (a key)", attribute.key.size(),
                   kMaxAttributeKeyBytes);
  }
  if (!IsValidUtf8(attribute.key)) return NotUtf8(index, "attributes");
  if (attribute.key.empty() || IsReserved(attribute.key)) {
    return Refuse(
        Reason::kInvalidAttribute, index, "attributes",
        fmt::format("key \"{}\": keys must not be empty nor start with \"goog\"", attribute.key),
        std::string(attribute.key), "not empty, not goog*");
  }
  const auto field = [&] { return fmt::format("attributes[\"{}\"]", attribute.key); };
  if (!IsValidUtf8(attribute.value)) return NotUtf8(index, field());
  if (attribute.value.size() > kMaxAttributeValueBytes) {
    return TooLong(Reason::kInvalidAttribute, index, field(), attribute.value.size(),
                   kMaxAttributeValueBytes);
  }
  return absl::OkStatus();
}

absl::Status CheckAttributeEntry(std::string_view entry, size_t index, Scan* scan) {
  bool plain = false;
  const auto attribute = ParseAttribute(entry, &plain);
  if (!attribute) {
    return Refuse(Reason::kMalformedRequest, index, "attributes", "malformed map entry", "(bytes)",
                  "protobuf");
  }
  ++scan->attributes;
  if (!plain) scan->needs_rewrite = true;
  scan->traits.traced |= LooksTraced(attribute->key);
  return CheckAttribute(*attribute, index);
}

absl::Status CheckOrderingKey(std::string_view key, size_t index) {
  if (key.size() > kMaxOrderingKeyBytes) {
    return TooLong(Reason::kOrderingKeyTooLong, index, "ordering_key", key.size(),
                   kMaxOrderingKeyBytes);
  }
  if (!IsValidUtf8(key)) return NotUtf8(index, "ordering_key");
  return absl::OkStatus();
}

absl::Status CheckPriority(uint64_t priority, size_t index) {
  if (priority <= kMaxPriority) return absl::OkStatus();
  return Refuse(Reason::kInvalidPriority, index, "priority",
                fmt::format("{}, but the highest is {}", priority, kMaxPriority),
                std::to_string(priority), std::to_string(kMaxPriority));
}

absl::Status NotATime(size_t index, std::string_view field) {
  return Refuse(Reason::kInvalidTime, index, field, "not a time of the years 1 to 9999",
                "(timestamp)", "years 1 to 9999");
}

absl::Status CheckContent(bool has_data, size_t attributes, size_t index) {
  if (!has_data && attributes == 0) {
    return Refuse(Reason::kEmptyMessage, index, "",
                  "a message needs data or at least one attribute", "empty", "data or attributes");
  }
  if (attributes > kMaxAttributes) {
    return Refuse(
        Reason::kTooManyAttributes, index, "attributes",
        fmt::format("{} attributes, but at most {} are allowed", attributes, kMaxAttributes),
        std::to_string(attributes), std::to_string(kMaxAttributes));
  }
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
      return CheckAttributeEntry(field.bytes, index, scan);
    case kOrderingKeyField:
      scan->traits.plain &= field.bytes.empty();
      return CheckOrderingKey(field.bytes, index);
    case kPriorityField:
      scan->traits.plain &= field.value == 0;
      return CheckPriority(field.value, index);
    case kDeliverAtField:
    case kExpireAtField: {
      const bool delivery = field.number == kDeliverAtField;
      const auto time = ParseTimestamp(field.bytes);
      if (!time) return NotATime(index, delivery ? "deliver_at" : "expire_at");
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
    return Refuse(Reason::kMalformedRequest, index, "", "not a serialized message", "(bytes)",
                  "protobuf");
  }
  if (auto status = CheckContent(scan.has_data, scan.attributes, index); !status.ok())
    return status;
  *traits = scan.traits;
  return scan.needs_rewrite ? WireForm::kNeedsRewrite : WireForm::kStorable;
}

absl::Status CheckMessage(const OutgoingMessage& message, size_t index, MessageTraits* traits) {
  for (const AttributeView& attribute : message.attributes) {
    if (auto status = CheckAttribute(attribute, index); !status.ok()) return status;
  }
  if (auto status = CheckOrderingKey(message.ordering_key, index); !status.ok()) return status;
  if (auto status = CheckPriority(message.priority, index); !status.ok()) return status;
  MessageTraits found;
  found.traced =
      std::any_of(message.attributes.begin(), message.attributes.end(),
                  [](const AttributeView& attribute) { return LooksTraced(attribute.key); });
  found.plain = message.ordering_key.empty() && message.priority == 0 && !message.deliver_at &&
                !message.expire_at;
  if (message.deliver_at) {
    found.deliver_at_us = absl::ToUnixMicros(*message.deliver_at);
    if (!IsTimestamp(found.deliver_at_us)) return NotATime(index, "deliver_at");
  }
  if (message.expire_at && !IsTimestamp(absl::ToUnixMicros(*message.expire_at)))
    return NotATime(index, "expire_at");
  if (auto status = CheckContent(!message.data.empty(), message.attributes.size(), index);
      !status.ok())
    return status;
  *traits = found;
  return absl::OkStatus();
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
               fmt::format("messages: {} bytes, but at most {} are allowed per request", bytes,
                           kMaxRequestBytes),
               {{"field", "messages"},
                {"value", std::to_string(bytes)},
                {"limit", std::to_string(kMaxRequestBytes)}});
}

}  // namespace sluice
