#include "server/native/wire.h"

#include <algorithm>
#include <charconv>
#include <cstring>

#include "core/base/error.h"
#include "core/message/wire.h"

namespace sluice::server {
namespace {

// The most that is written around the stored bytes of one message: delivery 1 + 5, delivery id 1 + 10, message 1 + 5,
// message id 1 + 1 + 20, publish time 1 + 1 + 11 + 6, attempt 1 + 5 (tags, lengths, values).
constexpr size_t kMaxFrameBytes = 70;

// google.protobuf.Timestamp as field 4 of a message. Both parts are written even when 0, so that they replace whatever
// the stored bytes might hold.
char* WritePublishTime(char* out, int64_t time_us) {
  int64_t seconds = time_us / 1'000'000;
  int64_t micros = time_us % 1'000'000;
  if (micros < 0) {
    micros += 1'000'000;
    --seconds;
  }
  char body[2 + 2 * kMaxVarintBytes];
  char* end = WriteVarint(body, WireTag(1, WireType::kVarint));
  end = WriteVarint(end, static_cast<uint64_t>(seconds));
  end = WriteVarint(end, WireTag(2, WireType::kVarint));
  end = WriteVarint(end, static_cast<uint64_t>(micros * 1000));
  out = WriteVarint(out, WireTag(kPublishTimeField, WireType::kBytes));
  out = WriteVarint(out, static_cast<uint64_t>(end - body));
  std::memcpy(out, body, static_cast<size_t>(end - body));
  return out + (end - body);
}

char* WriteMessageId(char* out, Offset offset) {
  char digits[20];
  const auto end = std::to_chars(digits, digits + sizeof digits, offset.value()).ptr;
  const auto size = static_cast<size_t>(end - digits);
  out = WriteVarint(out, WireTag(kMessageIdField, WireType::kBytes));
  out = WriteVarint(out, size);
  std::memcpy(out, digits, size);
  return out + size;
}

// Collects bytes in one slice and, between its pieces, references to batches.
class SliceWriter {
 public:
  explicit SliceWriter(size_t most) : base_(most), out_(Begin()), piece_(out_) {}

  char* out() { return out_; }
  void Advance(char* end) { out_ = end; }

  void Share(const Ref<Batch>& batch, std::string_view bytes) {
    FinishPiece();
    Ref<Batch> reference = batch;
    slices_.emplace_back(
        const_cast<char*>(bytes.data()), bytes.size(),
        [](void* user) { Ref<Batch>::Adopt(static_cast<Batch*>(user)); }, reference.Release());
  }

  grpc::ByteBuffer Take() {
    FinishPiece();
    return {slices_.data(), slices_.size()};
  }

 private:
  char* Begin() { return reinterpret_cast<char*>(const_cast<uint8_t*>(base_.begin())); }
  void FinishPiece() {
    if (out_ == piece_) return;
    slices_.push_back(base_.sub(static_cast<size_t>(piece_ - Begin()), static_cast<size_t>(out_ - Begin())));
    piece_ = out_;
  }

  grpc::Slice base_;
  char* out_;
  char* piece_;
  std::vector<grpc::Slice> slices_;
};

void WriteDelivery(SliceWriter* writer, const Delivery& delivery, uint32_t i, std::string_view publish_time) {
  const std::string_view stored = delivery.batch->message(i);
  char tail[kMaxFrameBytes];
  char* tail_end = WriteMessageId(tail, delivery.batch->first() + i);
  std::memcpy(tail_end, publish_time.data(), publish_time.size());
  tail_end += publish_time.size();
  const auto tail_size = static_cast<size_t>(tail_end - tail);
  const uint64_t id = (delivery.first_lease + (i - delivery.begin)).value();
  const size_t message_size = stored.size() + tail_size;
  const size_t delivery_size = 1 + VarintSize(id) + 1 + VarintSize(message_size) + message_size + 1 +
                               VarintSize(delivery.attempt);
  char* out = writer->out();
  out = WriteVarint(out, WireTag(v1::SubscribeResponse::kDeliveriesFieldNumber, WireType::kBytes));
  out = WriteVarint(out, delivery_size);
  out = WriteVarint(out, WireTag(v1::Delivery::kDeliveryIdFieldNumber, WireType::kVarint));
  out = WriteVarint(out, id);
  out = WriteVarint(out, WireTag(v1::Delivery::kMessageFieldNumber, WireType::kBytes));
  out = WriteVarint(out, message_size);
  if (stored.size() >= kSharedMessageBytes) {
    writer->Advance(out);
    writer->Share(delivery.batch, stored);
    out = writer->out();
  } else {
    std::memcpy(out, stored.data(), stored.size());
    out += stored.size();
  }
  std::memcpy(out, tail, tail_size);
  out += tail_size;
  out = WriteVarint(out, WireTag(v1::Delivery::kAttemptFieldNumber, WireType::kVarint));
  writer->Advance(WriteVarint(out, delivery.attempt));
}

// Takes from the front of `deliveries` what fits. Bytes are counted as encoded: many tiny messages fill a response too.
std::vector<Delivery> SplitOff(std::vector<Delivery>* deliveries, size_t max_bytes) {
  std::vector<Delivery> taken;
  size_t bytes = 0;
  size_t whole = 0;
  for (Delivery& delivery : *deliveries) {
    uint32_t end = delivery.begin;
    while (end < delivery.end) {
      const size_t size = delivery.batch->message(end).size() + kMaxFrameBytes;
      if (bytes > 0 && bytes + size > max_bytes) break;
      bytes += size;
      ++end;
    }
    if (end == delivery.begin) break;
    taken.push_back(delivery);
    taken.back().end = end;
    if (end < delivery.end) {
      delivery.first_lease += end - delivery.begin;
      delivery.begin = end;
      break;
    }
    ++whole;
  }
  deliveries->erase(deliveries->begin(), deliveries->begin() + static_cast<std::ptrdiff_t>(whole));
  return taken;
}

// A google.protobuf.Duration: seconds 1, nanos 2.
absl::Duration ScanDuration(std::string_view bytes) {
  absl::Duration duration;
  WireReader in(bytes);
  WireField field;
  while (in.Next(&field)) {
    if (field.type != WireType::kVarint) continue;
    if (field.number == 1) duration += absl::Seconds(static_cast<int64_t>(field.value));
    if (field.number == 2) duration += absl::Nanoseconds(static_cast<int32_t>(field.value));
  }
  return duration;
}

}  // namespace

std::string_view Flatten(const grpc::ByteBuffer& buffer, std::vector<grpc::Slice>* slices, std::string* storage) {
  slices->clear();
  if (!buffer.Dump(slices).ok() || slices->empty()) return {};
  const auto view = [](const grpc::Slice& slice) {
    return std::string_view(reinterpret_cast<const char*>(slice.begin()), slice.size());
  };
  if (slices->size() == 1) return view(slices->front());
  storage->clear();
  storage->reserve(buffer.Length());
  for (const grpc::Slice& slice : *slices) storage->append(view(slice));
  return *storage;
}

absl::Status ScanPublish(std::string_view bytes, PublishScan* scan) {
  scan->topic = {};
  scan->messages.clear();
  scan->batch_id = 0;
  scan->producer_id = {};
  scan->producer_epoch = scan->sequence = scan->mode = 0;
  scan->timeout.reset();
  WireReader in(bytes);
  WireField field;
  using Request = v1::PublishRequest;
  while (in.Next(&field)) {
    const bool is_bytes = field.type == WireType::kBytes;
    if (field.number == Request::kTopicFieldNumber && is_bytes) scan->topic = field.bytes;
    if (field.number == Request::kMessagesFieldNumber && is_bytes) scan->messages.push_back(field.bytes);
    if (field.number == Request::kBatchIdFieldNumber && field.type == WireType::kVarint) scan->batch_id = field.value;
    if (field.number == Request::kProducerIdFieldNumber && is_bytes) scan->producer_id = field.bytes;
    if (field.number == Request::kProducerEpochFieldNumber) scan->producer_epoch = field.value;
    if (field.number == Request::kSequenceFieldNumber) scan->sequence = field.value;
    if (field.number == Request::kModeFieldNumber && field.type == WireType::kVarint) scan->mode = field.value;
    if (field.number == Request::kTimeoutFieldNumber && is_bytes) scan->timeout = ScanDuration(field.bytes);
  }
  if (in.ok()) return absl::OkStatus();
  return Error(Reason::kMalformedRequest, "the request is not a serialized publish request");
}

grpc::ByteBuffer ToBuffer(const google::protobuf::MessageLite& message) {
  grpc::Slice slice(message.SerializeAsString());
  return {&slice, 1};
}

EncodedDeliveries EncodeDeliveries(std::vector<Delivery>* deliveries, size_t max_bytes,
                                   const v1::SubscribeResponse& front_response) {
  const std::vector<Delivery> taken = SplitOff(deliveries, max_bytes);
  size_t message_bytes = 0;
  size_t most = 0;
  for (const Delivery& delivery : taken) {
    message_bytes += delivery.batch->body_bytes(delivery.begin, delivery.end);
    // Shared messages take no room here; counting them would allocate for nothing.
    for (uint32_t i = delivery.begin; i < delivery.end; ++i) {
      const size_t size = delivery.batch->message(i).size();
      most += kMaxFrameBytes + (size < kSharedMessageBytes ? size : 0);
    }
  }
  const std::string front = front_response.SerializeAsString();
  SliceWriter writer(std::max<size_t>(most + front.size(), 1));
  std::memcpy(writer.out(), front.data(), front.size());
  writer.Advance(writer.out() + front.size());
  for (const Delivery& delivery : taken) {
    char publish_time[kMaxFrameBytes];
    const char* end = WritePublishTime(publish_time, delivery.batch->publish_time_us());
    const std::string_view time(publish_time, static_cast<size_t>(end - publish_time));
    for (uint32_t i = delivery.begin; i < delivery.end; ++i) WriteDelivery(&writer, delivery, i, time);
  }
  return {writer.Take(), message_bytes};
}

}  // namespace sluice::server
