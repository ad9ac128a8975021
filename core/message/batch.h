// A batch of messages, the unit of everything: one publish request is one Batch, one record in the
// log, one entry in the tail cache, shared by all who deliver it. Its record is what is stored,
// byte for byte (docs/format.md):
//
//   0  u8   version (1)            8  i64  publish time, microseconds since 1970
//   1  u8   flags                 16  u32  end[count]: where message i ends, from the start of the body
//   2  u16  0                      .  the messages, each a sluice.v1.Message without fields 3 and 4
//   4  u32  count, 1 to 1000          (numbers are little-endian)
//
// Flag 1 says that every message is plain (MessageView::plain()), so that nobody has to look into
// them.
//
// The offset of the first message stands beside the record, in the header that the log gives it;
// message i has offset first + i. Object and record are one allocation.
//
// Thread rule: immutable once appended, and then shared freely; until then it belongs to one
// thread.
#pragma once

#include <cstdint>
#include <cstring>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/base/clock.h"
#include "core/base/named_type.h"
#include "core/base/ref.h"
#include "core/message/message_view.h"
#include "core/message/outgoing_message.h"
#include "core/message/producer_tag.h"
#include "core/message/span_context.h"
#include "core/message/validate.h"

namespace sluice {

inline constexpr uint8_t kBatchVersion = 1;
inline constexpr size_t kBatchHeaderBytes = 16;
inline constexpr uint8_t kPlainFlag = 1;

class Batch : public RefCounted<Batch> {
 public:
  // A batch of `record_bytes` whose record is to be filled in through mutable_record().
  static Ref<Batch> Allocate(size_t record_bytes);

  // A batch of these stored messages, 1 to 1000, as they are. `plain` when all of them are.
  static Ref<Batch> Compose(const std::vector<std::string_view>& messages, bool plain);

  // A copy of a record read from a log, checked in every length; DATA_LOSS when it is not a batch
  // record.
  static absl::StatusOr<Ref<Batch>> Decode(Offset first, std::string_view record);
  // The same check for a batch whose record was read into place.
  static absl::Status Check(std::string_view record);

  Offset first() const { return first_; }
  // One past the last offset.
  Offset end() const { return first_ + count(); }
  uint32_t count() const { return Load<uint32_t>(4); }
  bool plain() const { return (Load<uint8_t>(1) & kPlainFlag) != 0; }
  // Microseconds since 1970.
  int64_t publish_time_us() const { return Load<int64_t>(8); }
  absl::Time publish_time() const { return absl::FromUnixMicros(publish_time_us()); }

  // The stored bytes of message i. REQUIRES: i < count().
  std::string_view message(uint32_t i) const {
    const char* body = record_ + kBatchHeaderBytes + size_t{4} * count();
    const uint32_t begin = i == 0 ? 0 : MessageEnd(i - 1);
    return {body + begin, MessageEnd(i) - begin};
  }
  // Bytes of messages [begin, end) together.
  size_t body_bytes(uint32_t begin, uint32_t end) const {
    return (end == 0 ? 0 : MessageEnd(end - 1)) - (begin == 0 ? 0 : MessageEnd(begin - 1));
  }

  std::string_view record() const { return {record_, size_}; }
  // Memory held, for the accounts of caches and queues.
  size_t memory_bytes() const { return sizeof(Batch) + size_; }

  // For the log that appends the batch, before anyone else sees it.
  void set_first(Offset first) { first_ = first; }
  void set_publish_time(absl::Time time) { set_publish_time_us(absl::ToUnixMicros(time)); }
  void set_publish_time_us(int64_t us) { std::memcpy(record_ + 8, &us, sizeof us); }
  char* mutable_record() { return record_; }

  // The latest time that one of its messages is to wait for, and which; for the topic that takes
  // it, not stored.
  int64_t latest_delivery_us() const { return latest_delivery_us_; }
  uint32_t latest_delivery_index() const { return latest_delivery_index_; }
  void set_latest_delivery(int64_t us, uint32_t index) {
    latest_delivery_us_ = us;
    latest_delivery_index_ = index;
  }

  // Null for a batch that its producer does not number.
  const ProducerTag* producer() const { return producer_.get(); }
  void set_producer(ProducerTag tag) { producer_ = std::make_unique<ProducerTag>(std::move(tag)); }

  // From then on it is not to be stored any more. Not part of the record.
  Instant deadline() const { return deadline_; }
  void set_deadline(Instant deadline) { deadline_ = deadline; }
  // DEADLINE_EXCEEDED when that has passed; for stores, right before they write. Reads the clock
  // only if need be.
  absl::Status CheckDeadline(const Clock& clock) const;

  // For tracing, in memory alone: whether sampled contexts may be in its messages' attributes, and
  // the sampled span that published it; null when there is none.
  enum class Contexts : uint8_t { kUnknown, kNone };
  Contexts contexts() const { return contexts_; }
  void set_contexts(Contexts contexts) { contexts_ = contexts; }
  const SpanContext* published_by() const { return published_by_.get(); }
  void set_published_by(SpanContext span) {
    published_by_ = std::make_unique<SpanContext>(std::move(span));
  }

  static void Destroy(Batch* batch);

 private:
  explicit Batch(size_t size) : size_(static_cast<uint32_t>(size)) {}

  template <class T>
  T Load(size_t at) const {
    T value;
    std::memcpy(&value, record_ + at, sizeof value);
    return value;
  }
  uint32_t MessageEnd(uint32_t i) const {
    return Load<uint32_t>(kBatchHeaderBytes + size_t{4} * i);
  }

  Offset first_;
  std::unique_ptr<const ProducerTag> producer_;
  int64_t latest_delivery_us_ = kDeliverAtOnce;
  uint32_t latest_delivery_index_ = 0;
  Contexts contexts_ = Contexts::kUnknown;
  std::unique_ptr<const SpanContext> published_by_;
  Instant deadline_ = Instant::Never();
  uint32_t size_;
  char record_[];  // NOLINT: flexible array, the record follows the object
};

// Checks messages against the limits and makes a batch of them.
//
//   BatchBuilder builder;
//   builder.Add(serialized_message);     // any number of times
//   absl::StatusOr<Ref<Batch>> batch = builder.Build();
//
// Errors name the field as `messages[3].attributes["k"]`. After an error the builder is to be
// cleared.
//
// In partial mode a message that breaks a limit is no error of the batch: it is left out, and
// refusals() says which it was and why. The batch may have no message at all then: count() is 0,
// and there is nothing to build.
class BatchBuilder {
 public:
  enum class Mode { kAllOrNothing, kPartial };
  struct Refusal {
    // The message's place in the request.
    uint32_t index;
    absl::Status why;
  };

  // A serialized sluice.v1.Message or google.pubsub.v1.PubsubMessage. Fields that belong to the
  // server and fields that are not known are left out of what is stored. `wire` must live until
  // Build().
  absl::Status Add(std::string_view wire);
  absl::Status Add(const OutgoingMessage& message);

  absl::StatusOr<Ref<Batch>> Build();

  size_t count() const { return messages_.size(); }
  // Until Clear().
  const std::vector<Refusal>& refusals() const { return refusals_; }
  void Clear(Mode mode = Mode::kAllOrNothing);

 private:
  void ClearMessages();
  // Of the next message, in the request.
  size_t index() const { return messages_.size() + refusals_.size(); }
  void Take(std::string_view stored, const MessageTraits& traits);
  absl::Status Refuse(absl::Status why);
  std::string* NextScratch();

  Mode mode_ = Mode::kAllOrNothing;
  std::vector<std::string_view> messages_;
  std::vector<Refusal> refusals_;
  size_t body_bytes_ = 0;
  bool plain_ = true;
  bool traced_ = false;
  int64_t latest_delivery_us_ = kDeliverAtOnce;
  uint32_t latest_delivery_index_ = 0;
  // Messages that had to be written anew. A deque, so that views into it stay valid; kept for the
  // next batch.
  std::deque<std::string> scratch_;
  size_t scratch_used_ = 0;
};

}  // namespace sluice
