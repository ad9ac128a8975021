#include "client/cli/bench/publish_template.h"

#include <utility>

#include "core/message/wire.h"
#include "fmt/format.h"
#include "google/pubsub/v1/pubsub.pb.h"

namespace sluice::cli {
namespace {

namespace pubsub = ::google::pubsub::v1;

void WriteDigits(uint64_t value, char* begin, size_t count) {
  for (char* out = begin + count; out != begin; value /= 10)
    *--out = static_cast<char>('0' + value % 10);
}

}  // namespace

PublishTemplate::PublishTemplate(const LoadOptions& options, size_t publisher, std::string front)
    : keys_(options.keys),
      key_digits_(options.keys > 0 ? fmt::formatted_size("{}", options.keys - 1) : 0),
      topics_(options.topics),
      bytes_(std::move(front)) {
  std::string message;
  AppendBytesHeader(&message, pubsub::PubsubMessage::kDataFieldNumber, options.size);
  const size_t payload = message.size();
  message.append(options.size, 'x');
  if (keys_ > 0) {
    const std::string key = fmt::format("key-{}-{}", publisher, std::string(key_digits_, '0'));
    AppendBytesField(&message, pubsub::PubsubMessage::kOrderingKeyFieldNumber, key);
  }
  std::string field;
  AppendBytesField(&field, pubsub::PublishRequest::kMessagesFieldNumber, message);

  if (topics_ > 1) topic_digits_at_ = bytes_.size() - kTopicDigits;
  payload_at_ = bytes_.size() + field.size() - message.size() + payload;
  digits_at_ = bytes_.size() + field.size() - key_digits_;
  stride_ = field.size();
  bytes_.reserve(bytes_.size() + options.batch * stride_);
  for (size_t i = 0; i < options.batch; ++i) bytes_ += field;
}

void PublishTemplate::Fill(const Batch& batch, grpc::Slice* slice) const {
  char* const bytes = reinterpret_cast<char*>(const_cast<uint8_t*>(slice->begin()));
  if (topics_ > 1)
    WriteDigits(batch.first / batch.count % topics_, bytes + topic_digits_at_, kTopicDigits);
  for (size_t i = 0; i < batch.count; ++i) {
    WriteStamp(batch, i, bytes + payload_at_ + i * stride_);
    if (keys_ > 0)
      WriteDigits((batch.first + i) % keys_, bytes + digits_at_ + i * stride_, key_digits_);
  }
}

}  // namespace sluice::cli
