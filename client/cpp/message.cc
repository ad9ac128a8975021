#include "client/cpp/message.h"

#include <string_view>

#include "core/base/error.h"
#include "core/message/limits.h"
#include "core/message/message_view.h"
#include "core/message/validate.h"
#include "core/message/wire.h"
#include "fmt/format.h"
#include "sluice/v1/pubsub.pb.h"

namespace sluice::client {
namespace {

void AppendTimes(const Message& message, std::string* out) {
  if (message.deliver_at)
    AppendTimestampField(out, kDeliverAtField, absl::ToUnixMicros(*message.deliver_at));
  if (message.expire_at)
    AppendTimestampField(out, kExpireAtField, absl::ToUnixMicros(*message.expire_at));
}

size_t SizeOf(const Message& message) {
  size_t size = message.data.empty() ? 0 : BytesFieldSize(message.data.size());
  for (const auto& [key, value] : message.attributes) {
    size += BytesFieldSize(BytesFieldSize(key.size()) + BytesFieldSize(value.size()));
  }
  if (!message.ordering_key.empty()) size += BytesFieldSize(message.ordering_key.size());
  if (message.priority != 0) size += 2 + VarintSize(message.priority);
  std::string times;
  AppendTimes(message, &times);
  return size + times.size();
}

void Append(const Message& message, std::string* out) {
  if (!message.data.empty()) AppendBytesField(out, kDataField, message.data);
  for (const auto& [key, value] : message.attributes) AppendAttribute(out, {key, value});
  if (!message.ordering_key.empty()) AppendBytesField(out, kOrderingKeyField, message.ordering_key);
  if (message.priority != 0) AppendVarintField(out, kPriorityField, message.priority);
  AppendTimes(message, out);
}

// Data alone has no limit but the size of the request.
bool IsPlain(const Message& message) {
  return !message.data.empty() && message.attributes.empty() && message.ordering_key.empty() &&
         message.priority == 0 && !message.deliver_at && !message.expire_at;
}

absl::Status CheckCount(size_t count) {
  if (count >= 1 && count <= kMaxMessagesPerBatch) return absl::OkStatus();
  return Error(count == 0 ? Reason::kNoMessages : Reason::kTooManyMessages,
               fmt::format("messages: {} messages, but a request takes 1 to {}", count,
                           kMaxMessagesPerBatch),
               {{"field", "messages"},
                {"value", std::to_string(count)},
                {"limit", std::to_string(kMaxMessagesPerBatch)}});
}

}  // namespace

absl::StatusOr<std::string> EncodeMessages(std::span<const Message> messages) {
  if (absl::Status status = CheckCount(messages.size()); !status.ok()) return status;
  size_t message_bytes = 0;
  size_t all_bytes = 0;
  for (const Message& message : messages) {
    const size_t size = SizeOf(message);
    message_bytes += size;
    all_bytes += BytesFieldSize(size);
  }
  if (message_bytes > kMaxRequestBytes) return RequestTooLarge(message_bytes);
  std::string out;
  out.reserve(all_bytes);
  for (size_t i = 0; i < messages.size(); ++i) {
    const size_t size = SizeOf(messages[i]);
    AppendBytesHeader(&out, v1::PublishRequest::kMessagesFieldNumber, size);
    Append(messages[i], &out);
    if (IsPlain(messages[i])) continue;
    MessageTraits traits;
    auto form = CheckMessage(std::string_view(out).substr(out.size() - size), i, &traits);
    if (!form.ok()) return form.status();
  }
  return out;
}

}  // namespace sluice::client
