#include "client/cli/bench/stream_subscriber.h"
#include "core/message/wire.h"
#include "google/pubsub/v1/pubsub.pb.h"

namespace sluice::cli {
namespace {

namespace pubsub = ::google::pubsub::v1;

constexpr int kStreamAckDeadlineSeconds = 60;

std::string_view PayloadOf(std::string_view message) {
  WireReader in(message);
  WireField field;
  while (in.Next(&field)) {
    if (field.number == pubsub::PubsubMessage::kDataFieldNumber && field.type == WireType::kBytes)
      return field.bytes;
  }
  return {};
}

class GoogleSubscriber final : public StreamSubscriber {
 public:
  using StreamSubscriber::StreamSubscriber;

 private:
  std::string Method() const override { return kStreamingPull; }
  std::string FirstRequest() const override {
    return OpeningRequest(options_.SubscriptionOf(subscription_), MaxOutstanding(options_));
  }
  bool Scan(std::string_view response, Runs* runs, std::string* settle) override;
};

bool GoogleSubscriber::Scan(std::string_view response, Runs* runs, std::string* settle) {
  WireReader in(response);
  WireField field;
  while (in.Next(&field)) {
    if (field.number != pubsub::StreamingPullResponse::kReceivedMessagesFieldNumber ||
        field.type != WireType::kBytes)
      continue;
    WireReader received(field.bytes);
    WireField part;
    while (received.Next(&part)) {
      if (part.type != WireType::kBytes) continue;
      if (part.number == pubsub::ReceivedMessage::kAckIdFieldNumber) {
        AppendBytesField(settle, pubsub::StreamingPullRequest::kAckIdsFieldNumber, part.bytes);
      } else if (part.number == pubsub::ReceivedMessage::kMessageFieldNumber) {
        runs->Add(PayloadOf(part.bytes));
      }
    }
    if (!received.ok()) return false;
  }
  return in.ok();
}

}  // namespace

std::string OpeningRequest(const std::string& subscription, int64_t max_outstanding_messages) {
  pubsub::StreamingPullRequest request;
  request.set_subscription(subscription);
  request.set_stream_ack_deadline_seconds(kStreamAckDeadlineSeconds);
  request.set_max_outstanding_messages(max_outstanding_messages);
  return request.SerializeAsString();
}

std::shared_ptr<StreamSubscriber> MakeGoogleSubscriber(const LoadOptions& options,
                                                       size_t subscription, Tally* tally) {
  return std::make_shared<GoogleSubscriber>(options, subscription, tally);
}

}  // namespace sluice::cli
