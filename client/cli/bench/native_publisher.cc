#include "client/cli/bench/native_publisher.h"

#include <utility>

#include "client/cpp/bytes.h"
#include "client/cpp/publish_batch.h"
#include "client/cpp/status.h"
#include "sluice/v1/pubsub.pb.h"

namespace sluice::cli {

NativePublisher::NativePublisher(std::shared_ptr<grpc::Channel> channel, const LoadOptions& options,
                                 size_t number, Tally* tally)
    : channel_(std::move(channel)),
      options_(options),
      template_(options, number, ""),
      tally_(*tally),
      stub_(channel_),
      slots_(options.inflight),
      completions_(options.paced, [this](void* tag, bool ok) {
        Happened(static_cast<Event>(reinterpret_cast<intptr_t>(tag)), ok);
      }) {
  for (Slot& slot : slots_) slot.bytes = template_.Copy();
  stream_ = stub_.PrepareCall(&context_, "/sluice.v1.PubSub/Publish", completions_.queue());
  stream_->StartCall(Tag(Event::kStarted));
  // The first request names the topic, and has no messages.
  v1::PublishRequest opening;
  opening.set_topic(options.topic);
  const grpc::Slice slice(opening.SerializeAsString());
  Write(grpc::ByteBuffer(&slice, 1));
}

void NativePublisher::Write(const grpc::ByteBuffer& request) {
  completions_.WaitUntil(mu_, changed_, Instant::Never(), [this] {
    mu_.AssertHeld();
    return ended_ || !writing_;
  });
  MutexLock lock(mu_);
  if (ended_) return;
  writing_ = true;
  stream_->Write(request, Tag(Event::kWritten));
}

void NativePublisher::Send(const Batch& batch) {
  Slot* slot = nullptr;
  completions_.WaitUntil(mu_, changed_, Instant::Never(), [this] {
    mu_.AssertHeld();
    return ended_ || sent_ - answered_ < slots_.size();
  });
  {
    MutexLock lock(mu_);
    if (ended_) return;
    slot = &slots_[sent_++ % slots_.size()];
  }
  slot->batch = batch;
  template_.Fill(batch, &slot->bytes);
  Write(grpc::ByteBuffer(&slot->bytes, 1));
}

void NativePublisher::Happened(Event event, bool ok) {
  switch (event) {
    case Event::kStarted:
    case Event::kRead:
      if (event == Event::kRead && ok) TakeResults();
      ok ? stream_->Read(&response_, Tag(Event::kRead))
         : stream_->Finish(&status_, Tag(Event::kEnded));
      if (event == Event::kRead) return;
      break;
    case Event::kEnded:
      return Ended();
    case Event::kWritten:
    case Event::kHalfClosed:
      break;
  }
  // A write that fails is told of by the end.
  MutexLock lock(mu_);
  writing_ = false;
  changed_.NotifyAll();
}

void NativePublisher::TakeResults() {
  const client::ContiguousBytes bytes(response_);
  const auto results = client::ParseResults(bytes.view());
  uint64_t first = 0;
  uint64_t in_flight = 0;
  {
    MutexLock lock(mu_);
    first = answered_;
    in_flight = sent_ - answered_;
  }
  if (!results || results->size() > in_flight) {
    context_.TryCancel();
    return tally_.Failed(
        absl::InternalError("a response of the server is no PublishResponse to what was sent"));
  }
  for (size_t i = 0; i < results->size(); ++i) {
    const Batch& batch = slots_[(first + i) % slots_.size()].batch;
    const absl::Status status = (*results)[i].first_id.status();
    status.ok() ? tally_.Accepted(batch) : tally_.Refused(batch, status);
  }
  MutexLock lock(mu_);
  answered_ += results->size();
  changed_.NotifyAll();
}

void NativePublisher::Ended() {
  bool expected = false;
  {
    MutexLock lock(mu_);
    ended_ = true;
    expected = closing_ && answered_ == sent_;
    changed_.NotifyAll();
  }
  if (!expected)
    tally_.Failed(status_.ok() ? absl::UnavailableError("the server ended the stream")
                               : client::FromGrpc(status_));
}

void NativePublisher::Close() {
  const bool answered =
      completions_.WaitUntil(mu_, changed_, SystemClock().Now() + absl::Seconds(30), [this] {
        mu_.AssertHeld();
        return ended_ || (sent_ == answered_ && !writing_);
      });
  {
    MutexLock lock(mu_);
    closing_ = true;
    if (answered && !ended_) {
      writing_ = true;
      stream_->WritesDone(Tag(Event::kHalfClosed));
    }
  }
  if (!answered) context_.TryCancel();
  completions_.WaitUntil(mu_, changed_, Instant::Never(), [this] {
    mu_.AssertHeld();
    return ended_;
  });
}

}  // namespace sluice::cli
