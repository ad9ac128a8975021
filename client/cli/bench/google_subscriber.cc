#include "client/cli/bench/google_subscriber.h"

#include <utility>

#include "client/cpp/bytes.h"
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
    if (field.number == pubsub::PubsubMessage::kDataFieldNumber && field.type == WireType::kBytes) return field.bytes;
  }
  return {};
}

}  // namespace

std::string OpeningRequest(const std::string& subscription, int64_t max_outstanding_messages) {
  pubsub::StreamingPullRequest request;
  request.set_subscription(subscription);
  request.set_stream_ack_deadline_seconds(kStreamAckDeadlineSeconds);
  request.set_max_outstanding_messages(max_outstanding_messages);
  return request.SerializeAsString();
}

void GoogleSubscriber::Start(const std::shared_ptr<grpc::Channel>& channel) {
  std::shared_ptr<client::Stream> stream;
  {
    MutexLock lock(mu_);
    stream = stream_ = client::GrpcStreams(channel, kStreamingPull)(shared_from_this());
    requests_.push_back(OpeningRequest(options_.SubscriptionOf(number_), MaxOutstanding(options_)));
  }
  stream->Start();
  Speak();
}

void GoogleSubscriber::OnMessage(const grpc::ByteBuffer& message) {
  const client::ContiguousBytes bytes(message);
  std::string acks;
  if (!Scan(bytes.view(), &acks)) {
    tally_.Failed(absl::InternalError("a response of the server is no StreamingPullResponse"));
    return;
  }
  // The first response and answers to pings tell about the subscription alone.
  if (payloads_.empty()) return NoteOpen();
  tally_.Delivered(payloads_, [](std::string_view payload) { return payload; });
  {
    MutexLock lock(mu_);
    requests_.push_back(std::move(acks));
  }
  Speak();
}

bool GoogleSubscriber::Scan(std::string_view response, std::string* acks) {
  payloads_.clear();
  WireReader in(response);
  WireField field;
  while (in.Next(&field)) {
    if (field.number != pubsub::StreamingPullResponse::kReceivedMessagesFieldNumber || field.type != WireType::kBytes) continue;
    WireReader received(field.bytes);
    WireField part;
    while (received.Next(&part)) {
      if (part.type != WireType::kBytes) continue;
      if (part.number == pubsub::ReceivedMessage::kAckIdFieldNumber) {
        AppendBytesField(acks, pubsub::StreamingPullRequest::kAckIdsFieldNumber, part.bytes);
      } else if (part.number == pubsub::ReceivedMessage::kMessageFieldNumber) {
        payloads_.push_back(PayloadOf(part.bytes));
      }
    }
    if (!received.ok()) return false;
  }
  return in.ok();
}

void GoogleSubscriber::NoteOpen() {
  MutexLock lock(mu_);
  open_ = true;
  changed_.NotifyAll();
}

void GoogleSubscriber::WaitUntilOpen() {
  MutexLock lock(mu_);
  while (stream_ != nullptr && !open_) changed_.Wait(lock);
}

void GoogleSubscriber::Speak() {
  std::shared_ptr<client::Stream> stream;
  std::string request;
  {
    MutexLock lock(mu_);
    if (stream_ == nullptr || writing_ || requests_.empty()) return;
    request = std::move(requests_.front());
    requests_.pop_front();
    writing_ = true;
    stream = stream_;
  }
  const grpc::Slice slice(request);
  stream->Write(grpc::ByteBuffer(&slice, 1));
}

void GoogleSubscriber::OnWritten() {
  {
    MutexLock lock(mu_);
    writing_ = false;
    if (stopping_) changed_.NotifyAll();
  }
  Speak();
}

void GoogleSubscriber::OnClosed(const absl::Status& status) {
  bool expected = false;
  {
    MutexLock lock(mu_);
    expected = stopping_;
  }
  if (!expected) tally_.Failed(status.ok() ? absl::UnavailableError("the server ended the stream") : status);
  // Last: whoever waits for it may go on and take the tally away.
  MutexLock lock(mu_);
  stream_ = nullptr;
  changed_.NotifyAll();
}

template <class Done>
bool GoogleSubscriber::WaitFor(absl::Duration timeout, Done&& done) {
  const SystemClock clock;
  const Instant end = clock.Now() + timeout;
  MutexLock lock(mu_);
  stopping_ = true;
  while (!done() && clock.Now() < end) changed_.WaitFor(lock, end - clock.Now());
  return done();
}

void GoogleSubscriber::Stop() {
  constexpr absl::Duration kPatience = absl::Seconds(10);
  const auto closed = [this] {
    mu_.AssertHeld();
    return stream_ == nullptr;
  };
  WaitFor(kPatience, [this] {
    mu_.AssertHeld();
    return stream_ == nullptr || (requests_.empty() && !writing_);
  });
  std::shared_ptr<client::Stream> stream;
  {
    MutexLock lock(mu_);
    stream = stream_;
  }
  if (stream == nullptr) return;
  // The server ends the stream once it has read everything.
  stream->CloseWrites();
  if (WaitFor(kPatience, closed)) return;
  stream->Cancel();
  WaitFor(absl::InfiniteDuration(), closed);
}

}  // namespace sluice::cli
