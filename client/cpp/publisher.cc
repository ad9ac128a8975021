#include "client/cpp/publisher.h"

#include <deque>

#include "client/cpp/backoff.h"
#include "core/base/error.h"
#include "core/base/mutex.h"
#include "core/message/limits.h"
#include "core/message/message_view.h"
#include "core/message/wire.h"
#include "fmt/format.h"
#include "grpcpp/impl/codegen/proto_buffer_reader.h"
#include "sluice/v1/pubsub.pb.h"

namespace sluice::client {
namespace {

// Numbers of fields in PublishRequest.
constexpr uint32_t kTopicField = 1;
constexpr uint32_t kMessagesField = 2;
constexpr uint32_t kBatchIdField = 3;

const SystemClock kSystemClock;

void AppendMessage(const Message& message, std::string* scratch, std::string* out) {
  scratch->clear();
  if (!message.data.empty()) AppendBytesField(scratch, kDataField, message.data);
  for (const auto& [key, value] : message.attributes) {
    std::string entry;
    AppendBytesField(&entry, 1, key);
    AppendBytesField(&entry, 2, value);
    AppendBytesField(scratch, kAttributesField, entry);
  }
  if (!message.ordering_key.empty()) AppendBytesField(scratch, kOrderingKeyField, message.ordering_key);
  if (message.priority != 0) AppendVarintField(scratch, kPriorityField, message.priority);
  AppendBytesField(out, kMessagesField, *scratch);
}

absl::Status FromError(const v1::Error& error) {
  for (int i = 0; i < kReasonCount; ++i) {
    const auto reason = static_cast<Reason>(i);
    if (ReasonName(reason) == error.reason()) return Error(reason, error.message());
  }
  return {static_cast<absl::StatusCode>(error.code()), error.message()};
}

}  // namespace

class Publisher::Impl final : public StreamEvents, public std::enable_shared_from_this<Impl> {
 public:
  Impl(StreamFactory streams, std::string topic, PublisherOptions options, const Clock& clock,
       std::shared_ptr<TimerQueue> timers)
      : streams_(std::move(streams)),
        topic_(std::move(topic)),
        options_(options),
        clock_(clock),
        timers_(std::move(timers)) {}

  void Add(const std::vector<const Message*>& messages, bool whole, Done done) EXCLUDES(mu_);
  void Flush() EXCLUDES(mu_);
  absl::Status Close(absl::Duration timeout) EXCLUDES(mu_);
  void Abandon() EXCLUDES(mu_);

  void OnMessage(const grpc::ByteBuffer& message) override;
  void OnWritten() override;
  void OnClosed(absl::Status status) override;

 private:
  struct Callback {
    // The place of its first message in the batch.
    uint32_t index = 0;
    Done done;
  };
  struct Batch {
    uint64_t id = 0;
    uint32_t count = 0;
    std::string messages;
    std::vector<Callback> callbacks;
    Instant deadline;
  };

  absl::Status Admit(size_t count, size_t bytes, MutexLock& lock) REQUIRES(mu_);
  void Seal() REQUIRES(mu_);
  // Writes the next batch, opens a stream when there is none.
  void Advance() EXCLUDES(mu_);
  void ArmExpiry(Instant deadline) EXCLUDES(mu_);
  void Expire() EXCLUDES(mu_);
  void FailAll(const absl::Status& status) EXCLUDES(mu_);
  void Settle(const Batch& batch) REQUIRES(mu_);
  static void Answer(const Batch& batch, const absl::StatusOr<uint64_t>& first);

  const StreamFactory streams_;
  const std::string topic_;
  const PublisherOptions options_;
  const Clock& clock_;
  // Shared, since a stream may end after the publisher.
  const std::shared_ptr<TimerQueue> timers_;

  Mutex mu_;
  CondVar changed_;
  std::string scratch_ GUARDED_BY(mu_);
  // Being filled; sealed and waiting to be written; written and not answered, in the order of their ids.
  Batch open_ GUARDED_BY(mu_);
  std::deque<Batch> sealed_ GUARDED_BY(mu_);
  std::deque<Batch> in_flight_ GUARDED_BY(mu_);
  size_t messages_ GUARDED_BY(mu_) = 0;
  size_t bytes_ GUARDED_BY(mu_) = 0;
  uint64_t next_id_ GUARDED_BY(mu_) = 1;
  std::shared_ptr<Stream> stream_ GUARDED_BY(mu_);
  bool opening_ GUARDED_BY(mu_) = false;
  bool closed_while_opening_ GUARDED_BY(mu_) = false;
  bool writing_ GUARDED_BY(mu_) = false;
  bool waiting_to_reconnect_ GUARDED_BY(mu_) = false;
  bool expiry_armed_ GUARDED_BY(mu_) = false;
  bool named_topic_ GUARDED_BY(mu_) = false;
  bool closed_ GUARDED_BY(mu_) = false;
  Backoff backoff_ GUARDED_BY(mu_);
};

absl::Status Publisher::Impl::Admit(size_t count, size_t bytes, MutexLock& lock) {
  // One that is larger than the limit passes when nothing else is under way.
  const auto full = [&]() REQUIRES(mu_) {
    return messages_ > 0 && (messages_ + count > options_.max_messages || bytes_ + bytes > options_.max_bytes);
  };
  if (full() && options_.when_full == PublisherOptions::WhenFull::kReject) {
    return Error(Reason::kTooMuchInFlight,
                 fmt::format("{} messages with {} bytes are not answered yet", messages_, bytes_));
  }
  while (full() && !closed_) changed_.Wait(lock);
  return closed_ ? absl::CancelledError("the publisher is closed") : absl::OkStatus();
}

void Publisher::Impl::Add(const std::vector<const Message*>& messages, bool whole, Done done) {
  size_t bytes = 0;
  for (const Message* message : messages) bytes += message->data.size();
  absl::Status status;
  bool sealed = false;
  bool first = false;
  Instant deadline;
  {
    MutexLock lock(mu_);
    status = Admit(messages.size(), bytes, lock);
    if (status.ok()) {
      if (whole || open_.messages.size() + bytes > options_.batch_bytes) Seal();
      first = open_.count == 0;
      if (first) open_.deadline = clock_.Now() + options_.deadline;
      deadline = open_.deadline;
      open_.callbacks.push_back({open_.count, std::move(done)});
      const size_t before = open_.messages.size();
      for (const Message* message : messages) AppendMessage(*message, &scratch_, &open_.messages);
      open_.count += static_cast<uint32_t>(messages.size());
      messages_ += messages.size();
      bytes_ += open_.messages.size() - before;
      if (whole || open_.count >= options_.batch_messages || open_.messages.size() >= options_.batch_bytes) Seal();
      sealed = !sealed_.empty();
    }
  }
  if (!status.ok()) return done(status);
  if (first) ArmExpiry(deadline);
  if (sealed) return Advance();
  if (!first) return;
  timers_->At(clock_.Now() + options_.batch_delay, [weak = weak_from_this()] {
    if (auto self = weak.lock()) self->Flush();
  });
}

void Publisher::Impl::Seal() {
  if (open_.count == 0) return;
  open_.id = next_id_++;
  sealed_.push_back(std::exchange(open_, {}));
}

void Publisher::Impl::Flush() {
  {
    MutexLock lock(mu_);
    Seal();
  }
  Advance();
}

void Publisher::Impl::Advance() {
  bool open = false;
  std::shared_ptr<Stream> stream;
  std::string request;
  {
    MutexLock lock(mu_);
    if (sealed_.empty() || writing_ || waiting_to_reconnect_ || opening_) return;
    if (stream_ == nullptr) {
      opening_ = open = true;
    } else {
      stream = stream_;
      writing_ = true;
      in_flight_.push_back(std::move(sealed_.front()));
      sealed_.pop_front();
      const Batch& batch = in_flight_.back();
      if (!named_topic_) AppendBytesField(&request, kTopicField, topic_);
      named_topic_ = true;
      AppendVarintField(&request, kBatchIdField, batch.id);
      request += batch.messages;
    }
  }
  if (!open) return stream->Write(request);
  std::shared_ptr<Stream> opened = streams_(shared_from_this());
  {
    MutexLock lock(mu_);
    opening_ = false;
    // It may have ended before it was here.
    if (!std::exchange(closed_while_opening_, false)) stream_ = std::move(opened);
    named_topic_ = false;
  }
  Advance();
}

void Publisher::Impl::OnWritten() {
  {
    MutexLock lock(mu_);
    writing_ = false;
  }
  Advance();
}

void Publisher::Impl::Settle(const Batch& batch) {
  messages_ -= batch.count;
  bytes_ -= batch.messages.size();
  changed_.NotifyAll();
}

void Publisher::Impl::Answer(const Batch& batch, const absl::StatusOr<uint64_t>& first) {
  for (const Callback& callback : batch.callbacks) {
    if (callback.done) callback.done(first.ok() ? absl::StatusOr<uint64_t>(*first + callback.index) : first);
  }
}

void Publisher::Impl::OnMessage(const grpc::ByteBuffer& message) {
  v1::PublishResponse response;
  grpc::ByteBuffer copy = message;
  grpc::ProtoBufferReader reader(&copy);
  if (!response.ParseFromZeroCopyStream(&reader)) return;
  std::vector<std::pair<Batch, absl::StatusOr<uint64_t>>> answered;
  {
    MutexLock lock(mu_);
    backoff_.Reset();
    for (const v1::PublishResult& result : response.results()) {
      // Results come in the order of the requests; one that expired meanwhile is gone from here.
      if (in_flight_.empty() || in_flight_.front().id != result.batch_id()) continue;
      answered.emplace_back(std::move(in_flight_.front()), result.has_error()
                                                               ? absl::StatusOr<uint64_t>(FromError(result.error()))
                                                               : result.first_message_id());
      in_flight_.pop_front();
      Settle(answered.back().first);
    }
  }
  for (const auto& [batch, first] : answered) Answer(batch, first);
}

void Publisher::Impl::OnClosed(absl::Status status) {
  bool permanent = false;
  absl::Duration wait;
  {
    MutexLock lock(mu_);
    stream_ = nullptr;
    closed_while_opening_ = opening_;
    writing_ = false;
    // What was not answered goes again, before what was never sent.
    while (!in_flight_.empty()) {
      sealed_.push_front(std::move(in_flight_.back()));
      in_flight_.pop_back();
    }
    permanent = closed_ || (!status.ok() && !IsTransient(status));
    waiting_to_reconnect_ = !permanent;
    wait = backoff_.Next();
    changed_.NotifyAll();
  }
  if (permanent) return FailAll(status.ok() ? absl::CancelledError("the publisher is closed") : status);
  timers_->At(clock_.Now() + wait, [weak = weak_from_this()] {
    auto self = weak.lock();
    if (self == nullptr) return;
    {
      MutexLock lock(self->mu_);
      self->waiting_to_reconnect_ = false;
    }
    self->Advance();
  });
}

void Publisher::Impl::FailAll(const absl::Status& status) {
  std::deque<Batch> failed;
  {
    MutexLock lock(mu_);
    Seal();
    failed.swap(sealed_);
    for (const Batch& batch : failed) Settle(batch);
  }
  for (const Batch& batch : failed) Answer(batch, status);
}

// One timer for the batch that is the first to expire.
void Publisher::Impl::ArmExpiry(Instant deadline) {
  {
    MutexLock lock(mu_);
    if (std::exchange(expiry_armed_, true)) return;
  }
  timers_->At(deadline, [weak = weak_from_this()] {
    if (auto self = weak.lock()) self->Expire();
  });
}

void Publisher::Impl::Expire() {
  std::vector<Batch> expired;
  Instant next = Instant::Never();
  {
    MutexLock lock(mu_);
    expiry_armed_ = false;
    const Instant now = clock_.Now();
    if (open_.count > 0 && open_.deadline <= now) Seal();
    for (std::deque<Batch>* queue : {&in_flight_, &sealed_}) {
      while (!queue->empty() && queue->front().deadline <= now) {
        expired.push_back(std::move(queue->front()));
        queue->pop_front();
        Settle(expired.back());
      }
      if (!queue->empty()) next = std::min(next, queue->front().deadline);
    }
    if (open_.count > 0) next = std::min(next, open_.deadline);
  }
  for (const Batch& batch : expired) {
    Answer(batch, Error(Reason::kDeadlineExceeded,
                        fmt::format("not stored within {}", absl::FormatDuration(options_.deadline))));
  }
  if (next != Instant::Never()) ArmExpiry(next);
}

absl::Status Publisher::Impl::Close(absl::Duration timeout) {
  Flush();
  const absl::Time end = absl::Now() + timeout;
  std::shared_ptr<Stream> stream;
  bool answered = true;
  {
    MutexLock lock(mu_);
    while (messages_ > 0 && answered) answered = changed_.WaitFor(lock, end - absl::Now()) || messages_ == 0;
    closed_ = true;
    stream = stream_;
    changed_.NotifyAll();
  }
  if (stream != nullptr) answered ? stream->CloseWrites() : stream->Cancel();
  if (answered) return absl::OkStatus();
  FailAll(absl::CancelledError("the publisher was closed"));
  return Error(Reason::kDeadlineExceeded, "closed before everything was answered");
}

void Publisher::Impl::Abandon() {
  std::shared_ptr<Stream> stream;
  {
    MutexLock lock(mu_);
    if (!closed_ || messages_ > 0) stream = stream_;
    closed_ = true;
    changed_.NotifyAll();
  }
  if (stream != nullptr) stream->Cancel();
  FailAll(absl::CancelledError("the publisher was destroyed"));
}

Publisher::Publisher(std::shared_ptr<Connection> connection, std::string topic, PublisherOptions options)
    : Publisher(GrpcStreams(std::move(connection), "/sluice.v1.PubSub/Publish"), std::move(topic), options, kSystemClock,
                nullptr) {}

Publisher::Publisher(StreamFactory streams, std::string topic, PublisherOptions options, const Clock& clock,
                     TimerQueue* timers) {
  if (timers == nullptr) {
    own_timers_ = std::make_shared<TimerQueue>(clock);
    own_timers_->Start();
  }
  std::shared_ptr<TimerQueue> used = own_timers_ != nullptr
                                         ? own_timers_
                                         : std::shared_ptr<TimerQueue>(std::shared_ptr<TimerQueue>(), timers);
  impl_ = std::make_shared<Impl>(std::move(streams), std::move(topic), options, clock, std::move(used));
}

Publisher::~Publisher() {
  impl_->Abandon();
  if (own_timers_ != nullptr) own_timers_->Stop();
}

void Publisher::Publish(const Message& message, Done done) { impl_->Add({&message}, false, std::move(done)); }

std::future<absl::StatusOr<uint64_t>> Publisher::Publish(const Message& message) {
  auto promise = std::make_shared<std::promise<absl::StatusOr<uint64_t>>>();
  auto future = promise->get_future();
  Publish(message, [promise](absl::StatusOr<uint64_t> id) { promise->set_value(std::move(id)); });
  return future;
}

void Publisher::PublishBatch(const std::vector<Message>& messages, Done done) {
  if (messages.empty() || messages.size() > kMaxMessagesPerBatch) {
    return done(Error(Reason::kTooManyMessages, fmt::format("{} messages in one batch; it may have 1 to {}",
                                                            messages.size(), kMaxMessagesPerBatch)));
  }
  std::vector<const Message*> pointers;
  pointers.reserve(messages.size());
  for (const Message& message : messages) pointers.push_back(&message);
  impl_->Add(pointers, true, std::move(done));
}

void Publisher::Flush() { impl_->Flush(); }
absl::Status Publisher::Close(absl::Duration timeout) { return impl_->Close(timeout); }

}  // namespace sluice::client
