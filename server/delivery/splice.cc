#include "server/delivery/splice.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <utility>

#include "core/message/wire.h"

namespace sluice::server {
namespace {

// The most that stands around the stored bytes of any message beside head and tail: delivery 1 + 5,
// message 1 + 5, message id 1 + 1 + 20, publish time 1 + 1 + 11 + 6 (tags, lengths, values).
constexpr size_t kMaxAroundBytes = 53;
constexpr size_t kMaxTailBytes = 64;

// google.protobuf.Timestamp as field 4 of a message. Both parts are written even when 0, so that
// they replace whatever the stored bytes might hold.
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
    slices_.push_back(
        base_.sub(static_cast<size_t>(piece_ - Begin()), static_cast<size_t>(out_ - Begin())));
    piece_ = out_;
  }

  grpc::Slice base_;
  char* out_;
  char* piece_;
  std::vector<grpc::Slice> slices_;
};

void WriteDelivery(SliceWriter* writer, const Delivery& delivery, uint32_t i,
                   std::string_view publish_time, const DeliveryFrame& frame) {
  const std::string_view stored = delivery.batch->message(i);
  char set_by_us[kMaxTailBytes];
  char* set_end = WriteMessageId(set_by_us, delivery.batch->first() + i);
  std::memcpy(set_end, publish_time.data(), publish_time.size());
  set_end += publish_time.size();
  const auto set_size = static_cast<size_t>(set_end - set_by_us);
  char extra[kMaxFrameExtraBytes];
  char* const head_end = frame.WriteHead(extra, delivery, i);
  char* const tail_end = frame.WriteTail(head_end, delivery);
  const auto head_size = static_cast<size_t>(head_end - extra);
  const auto tail_size = static_cast<size_t>(tail_end - head_end);
  const size_t message_size = stored.size() + set_size;
  char* out = writer->out();
  out = WriteBytesHeader(out, frame.delivery_field(),
                         head_size + BytesFieldSize(message_size) + tail_size);
  std::memcpy(out, extra, head_size);
  out = WriteBytesHeader(out + head_size, frame.message_field(), message_size);
  if (stored.size() >= kSharedMessageBytes) {
    writer->Advance(out);
    writer->Share(delivery.batch, stored);
    out = writer->out();
  } else {
    std::memcpy(out, stored.data(), stored.size());
    out += stored.size();
  }
  std::memcpy(out, set_by_us, set_size);
  out += set_size;
  std::memcpy(out, head_end, tail_size);
  writer->Advance(out + tail_size);
}

// Takes from the front of `deliveries` what fits. Bytes are counted as encoded: many tiny messages
// fill a response too.
std::vector<Delivery> SplitOff(std::vector<Delivery>* deliveries, size_t max_bytes, size_t around) {
  std::vector<Delivery> taken;
  size_t bytes = 0;
  size_t whole = 0;
  for (Delivery& delivery : *deliveries) {
    uint32_t end = delivery.begin;
    while (end < delivery.end) {
      const size_t size = delivery.batch->message(end).size() + around;
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

}  // namespace

std::string_view Flatten(const grpc::ByteBuffer& buffer, std::vector<grpc::Slice>* slices,
                         std::string* storage) {
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

grpc::ByteBuffer ToBuffer(const google::protobuf::MessageLite& message) {
  grpc::Slice slice(message.SerializeAsString());
  return {&slice, 1};
}

grpc::ByteBuffer EmptyMessage() {
  const grpc::Slice nothing;
  return {&nothing, 1};
}

EncodedDeliveries EncodeDeliveries(std::vector<Delivery>* deliveries, size_t max_bytes,
                                   std::string_view front, const DeliveryFrame& frame) {
  const size_t around = kMaxAroundBytes + frame.max_bytes();
  std::vector<Delivery> taken = SplitOff(deliveries, max_bytes, around);
  size_t message_bytes = 0;
  size_t most = 0;
  for (const Delivery& delivery : taken) {
    message_bytes += delivery.batch->body_bytes(delivery.begin, delivery.end);
    // Shared messages take no room here; counting them would allocate for nothing.
    for (uint32_t i = delivery.begin; i < delivery.end; ++i) {
      const size_t size = delivery.batch->message(i).size();
      most += around + (size < kSharedMessageBytes ? size : 0);
    }
  }
  SliceWriter writer(std::max<size_t>(most + front.size(), 1));
  if (!front.empty()) std::memcpy(writer.out(), front.data(), front.size());
  writer.Advance(writer.out() + front.size());
  for (const Delivery& delivery : taken) {
    char publish_time[kMaxTailBytes];
    const char* end = WritePublishTime(publish_time, delivery.batch->publish_time_us());
    const std::string_view time(publish_time, static_cast<size_t>(end - publish_time));
    for (uint32_t i = delivery.begin; i < delivery.end; ++i)
      WriteDelivery(&writer, delivery, i, time, frame);
  }
  return {writer.Take(), message_bytes, std::move(taken)};
}

}  // namespace sluice::server
