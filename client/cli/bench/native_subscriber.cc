#include "client/cli/bench/stream_subscriber.h"
#include "core/message/message_view.h"
#include "core/message/wire.h"
#include "sluice/v1/pubsub.pb.h"

namespace sluice::cli {
namespace {

// What a response brought: deliveries under ids that grow.
struct Received {
  uint64_t first_id = 0;
  uint64_t last_id = 0;
  int64_t messages = 0;
};

std::string_view PayloadOf(std::string_view message) {
  WireReader in(message);
  WireField field;
  while (in.Next(&field)) {
    if (field.number == kDataField && field.type == WireType::kBytes) return field.bytes;
  }
  return {};
}

bool ScanDelivery(std::string_view delivery, Received* received, Runs* runs) {
  WireReader in(delivery);
  WireField field;
  while (in.Next(&field)) {
    if (field.number == v1::Delivery::kDeliveryIdFieldNumber && field.type == WireType::kVarint) {
      if (received->messages++ == 0) received->first_id = field.value;
      received->last_id = field.value;
    } else if (field.number == v1::Delivery::kMessageFieldNumber &&
               field.type == WireType::kBytes) {
      runs->Add(PayloadOf(field.bytes));
    }
  }
  return in.ok();
}

class NativeSubscriber final : public StreamSubscriber {
 public:
  using StreamSubscriber::StreamSubscriber;

 private:
  std::string Method() const override { return "/sluice.v1.PubSub/Subscribe"; }
  std::string FirstRequest() const override {
    v1::SubscribeRequest request;
    request.set_subscription(options_.SubscriptionOf(subscription_));
    request.mutable_credit()->set_messages(MaxOutstanding(options_));
    return request.SerializeAsString();
  }
  bool Scan(std::string_view response, Runs* runs, std::string* settle) override;
};

bool NativeSubscriber::Scan(std::string_view response, Runs* runs, std::string* settle) {
  Received received;
  WireReader in(response);
  WireField field;
  while (in.Next(&field)) {
    if (field.number != v1::SubscribeResponse::kDeliveriesFieldNumber ||
        field.type != WireType::kBytes)
      continue;
    if (!ScanDelivery(field.bytes, &received, runs)) return false;
  }
  if (received.messages > 0) {
    v1::SubscribeRequest request;
    request.mutable_credit()->set_messages(received.messages);
    v1::DeliveryRange& acks = *request.add_acks();
    acks.set_first(received.first_id);
    acks.set_last(received.last_id);
    request.SerializeToString(settle);
  }
  return in.ok();
}

}  // namespace

std::shared_ptr<StreamSubscriber> MakeNativeSubscriber(const LoadOptions& options,
                                                       size_t subscription, Tally* tally) {
  return std::make_shared<NativeSubscriber>(options, subscription, tally);
}

}  // namespace sluice::cli
