#include "client/cli/bench/stream_subscriber.h"

#include <utility>

namespace sluice::cli {

void StreamSubscriber::Start(const std::shared_ptr<grpc::Channel>& channel) {
  std::shared_ptr<client::Stream> stream;
  {
    MutexLock lock(mu_);
    stream = stream_ = client::GrpcStreams(channel, Method())(shared_from_this());
    requests_.push_back(FirstRequest());
  }
  stream->Start();
  Speak();
}

void StreamSubscriber::OnMessage(const grpc::ByteBuffer& message) {
  runs_.Clear();
  std::string settle;
  if (!Scan(Flatten(message), &runs_, &settle)) {
    tally_.Failed(absl::InternalError(Method() + " answered with what is no response"));
    return;
  }
  slices_.clear();
  // The first response, and answers to pings, have no messages.
  if (settle.empty()) return NoteOpen();
  // Those of several topics get a part of it each, those of one topic all of it.
  tally_.Delivered(subscription_ % options_.subscriptions, runs_.runs());
  {
    MutexLock lock(mu_);
    requests_.push_back(std::move(settle));
  }
  Speak();
}

void StreamSubscriber::NoteOpen() {
  MutexLock lock(mu_);
  open_ = true;
  changed_.NotifyAll();
}

void StreamSubscriber::WaitUntilOpen() {
  MutexLock lock(mu_);
  while (stream_ != nullptr && !open_) changed_.Wait(lock);
}

// Into memory that is used again: large responses come in pieces.
std::string_view StreamSubscriber::Flatten(const grpc::ByteBuffer& message) {
  if (!message.Dump(&slices_).ok()) return {};
  const auto view = [](const grpc::Slice& slice) {
    return std::string_view(reinterpret_cast<const char*>(slice.begin()), slice.size());
  };
  if (slices_.size() == 1) return view(slices_.front());
  bytes_.clear();
  for (const grpc::Slice& slice : slices_) bytes_ += view(slice);
  return bytes_;
}

void StreamSubscriber::Speak() {
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

void StreamSubscriber::OnWritten() {
  {
    MutexLock lock(mu_);
    writing_ = false;
    if (stopping_) changed_.NotifyAll();
  }
  Speak();
}

void StreamSubscriber::OnClosed(const absl::Status& status) {
  bool expected = false;
  {
    MutexLock lock(mu_);
    expected = stopping_;
  }
  if (!expected)
    tally_.Failed(status.ok() ? absl::UnavailableError("the server ended the stream") : status);
  // Last: whoever waits for it may go on and take the tally away.
  MutexLock lock(mu_);
  stream_ = nullptr;
  changed_.NotifyAll();
}

template <class Done>
bool StreamSubscriber::WaitFor(absl::Duration timeout, Done&& done) {
  const SystemClock clock;
  const Instant end = clock.Now() + timeout;
  MutexLock lock(mu_);
  stopping_ = true;
  while (!done() && clock.Now() < end) changed_.WaitFor(lock, end - clock.Now());
  return done();
}

void StreamSubscriber::Stop() {
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
