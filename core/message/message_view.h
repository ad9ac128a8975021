// A stored message, read where it lies. Its bytes are a serialized sluice.v1.Message without
// message_id and publish_time, which the batch record holds once for all of its messages
// (docs/format.md).
//
//   MessageView message(batch->message(i));
//   message.data();  message.FindAttribute("colour");
//
// Thread rule: a value type; the bytes must outlive it. Nothing here allocates.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

#include "core/message/wire.h"

namespace sluice {

// The numbers of sluice.v1.Message's fields.
enum MessageField : uint32_t {
  kDataField = 1,
  kAttributesField = 2,
  kMessageIdField = 3,
  kPublishTimeField = 4,
  kOrderingKeyField = 5,
  kPriorityField = 16,
  kDeliverAtField = 17,
  kExpireAtField = 18,
};

struct AttributeView {
  std::string_view key;
  std::string_view value;
};

// Parses one entry of a map<string, string>. Nothing when malformed. `plain`, when given, says
// whether the entry holds its key and its value once at most, and nothing else.
std::optional<AttributeView> ParseAttribute(std::string_view entry, bool* plain = nullptr);

// A google.protobuf.Timestamp as microseconds since 1970, to the microsecond below. Nothing when
// malformed or not a time of the years 1 to 9999 (google/protobuf/timestamp.proto).
std::optional<int64_t> ParseTimestamp(std::string_view bytes);
// Whether that many microseconds are such a time.
bool IsTimestamp(int64_t micros);
void AppendTimestampField(std::string* out, uint32_t number, int64_t micros);

// Stands for "at once" and for "never", in microseconds.
inline constexpr int64_t kDeliverAtOnce = std::numeric_limits<int64_t>::min();
inline constexpr int64_t kNeverExpires = std::numeric_limits<int64_t>::max();

// Appends field 2 of a message with this entry.
void AppendAttribute(std::string* out, AttributeView attribute);

class MessageView {
 public:
  // Malformed bytes give a view that is not ok() and holds what could be read before the damage.
  explicit MessageView(std::string_view bytes);

  bool ok() const { return ok_; }
  std::string_view bytes() const { return bytes_; }
  std::string_view data() const { return data_; }
  std::string_view ordering_key() const { return ordering_key_; }
  uint32_t priority() const { return priority_; }
  // Microseconds since 1970; kDeliverAtOnce and kNeverExpires when the message does not say.
  int64_t deliver_at_us() const { return deliver_at_us_; }
  int64_t expire_at_us() const { return expire_at_us_; }
  // Neither a key nor a priority nor times: nothing that a subscription would treat it differently
  // for.
  bool plain() const {
    return ordering_key_.empty() && priority_ == 0 && deliver_at_us_ == kDeliverAtOnce &&
           expire_at_us_ == kNeverExpires;
  }

  // Calls fn(key, value) for each attribute, in stored order.
  template <class Fn>
  void ForEachAttribute(Fn&& fn) const {
    WireReader in(bytes_);
    WireField field;
    while (in.Next(&field)) {
      if (field.number != kAttributesField || field.type != WireType::kBytes) continue;
      if (auto attribute = ParseAttribute(field.bytes)) fn(attribute->key, attribute->value);
    }
  }

  // The last value under `key`, as protobuf's maps have it.
  std::optional<std::string_view> FindAttribute(std::string_view key) const;

 private:
  std::string_view bytes_;
  std::string_view data_;
  std::string_view ordering_key_;
  uint32_t priority_ = 0;
  int64_t deliver_at_us_ = kDeliverAtOnce;
  int64_t expire_at_us_ = kNeverExpires;
  bool ok_ = true;
};

}  // namespace sluice
