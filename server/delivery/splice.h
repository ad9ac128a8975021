// Deliveries as bytes: stored messages spliced into responses, not parsed and serialized again.
// Both APIs do it the same way; what stands around a message is theirs.
//
// Each message is the stored bytes followed by its message_id and publish_time: encodings of one
// message may be concatenated. Small messages are copied into one slice; from kSharedMessageBytes
// on a slice refers to the batch.
//
// Thread rule: pure functions and a plain writer.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/engine/consumer.h"
#include "google/protobuf/message_lite.h"
#include "grpcpp/support/byte_buffer.h"

namespace sluice::server {

// Where referring becomes cheaper than copying: a slice of its own costs an allocation, two atomic
// operations and one more piece to write, about as much as copying this.
inline constexpr size_t kSharedMessageBytes = 8 << 10;

// The contiguous bytes of a received buffer; `storage` takes them when they came in pieces.
std::string_view Flatten(const grpc::ByteBuffer& buffer, std::vector<grpc::Slice>* slices,
                         std::string* storage);

// A grpc buffer with the bytes of a serialized message.
grpc::ByteBuffer ToBuffer(const google::protobuf::MessageLite& message);

// A message without fields. A buffer that nothing was put in cannot be sent.
grpc::ByteBuffer EmptyMessage();

struct EncodedDeliveries {
  grpc::ByteBuffer buffer;
  // Of the stored messages alone, as credit counts them.
  size_t message_bytes = 0;
  // What is in it.
  std::vector<Delivery> deliveries = {};
};

// How an API wraps one message: a repeated field of the response holds `head`, the message as a
// field, and `tail`.
class DeliveryFrame {
 public:
  virtual ~DeliveryFrame() = default;
  // The field of the response, and that of the message inside of it; both at most 15.
  virtual uint32_t delivery_field() const = 0;
  virtual uint32_t message_field() const = 0;
  // The most that WriteHead and WriteTail write together.
  virtual size_t max_bytes() const = 0;
  // The fields of message `i` of the delivery that stand before and behind the message. They return
  // the end.
  virtual char* WriteHead(char* out, const Delivery& delivery, uint32_t i) const = 0;
  virtual char* WriteTail(char* out, const Delivery& delivery) const = 0;
};

// The most bytes that head and tail may have.
inline constexpr size_t kMaxFrameExtraBytes = 64;

// Splits off deliveries that take at most `max_bytes` encoded (at least one message), leaving the
// rest in `deliveries`; what is split off is encoded as a response that begins with the fields in
// `front`.
EncodedDeliveries EncodeDeliveries(std::vector<Delivery>* deliveries, size_t max_bytes,
                                   std::string_view front, const DeliveryFrame& frame);

}  // namespace sluice::server
