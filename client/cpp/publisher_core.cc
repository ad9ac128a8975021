#include "client/cpp/publisher_core.h"

#include <algorithm>
#include <iterator>

#include "client/cpp/bytes.h"
#include "client/cpp/status.h"
#include "core/base/error.h"
#include "core/message/limits.h"
#include "fmt/format.h"

namespace sluice::client {
namespace {

absl::Status Closed() { return absl::CancelledError("the publisher is closed"); }

void Refuse(const PublishDone& done, const absl::Status& status) {
  if (done) done(status);
}

// The server counts messages alone, this counts what is around them as well.
PublisherOptions Bounded(PublisherOptions options) {
  options.batch_messages = std::clamp<size_t>(options.batch_messages, 1, kMaxMessagesPerBatch);
  options.batch_bytes = std::min(options.batch_bytes, kMaxRequestBytes);
  return options;
}

}  // namespace

PublisherCore::PublisherCore(StreamFactory streams, const Clock& clock, TimerQueue& timers,
                             std::string topic, PublisherOptions options)
    : streams_(std::move(streams)),
      clock_(clock),
      topic_(std::move(topic)),
      options_(Bounded(std::move(options))),
      producer_{options_.producer_id, static_cast<uint64_t>(absl::ToUnixMicros(clock.WallNow()))},
      alarm_(timers) {}

void PublisherCore::Publish(std::span<const Message> messages, Company company, PublishDone done) {
  auto encoded = EncodeMessages(messages);
  if (!encoded.ok()) return Refuse(done, encoded.status());
  bool advance = false;
  {
    MutexLock lock(mu_);
    if (!HasRoom(messages.size(), encoded->size())) {
      // What would fill the open batch cannot come in before that has gone.
      Seal();
      lock.Unlock();
      Advance();
      lock.Lock();
    }
    if (const absl::Status status = Admit(messages.size(), encoded->size(), lock); !status.ok()) {
      lock.Unlock();
      return Refuse(done, status);
    }
    Add(*std::move(encoded), static_cast<uint32_t>(messages.size()), company, std::move(done));
    advance = !waiting_.empty() || open_->due <= clock_.Now();
  }
  if (advance) Advance();
}

bool PublisherCore::HasRoom(size_t count, size_t bytes) const {
  return messages_ == 0 ||
         (messages_ + count <= options_.max_messages && bytes_ + bytes <= options_.max_bytes);
}

absl::Status PublisherCore::Admit(size_t count, size_t bytes, MutexLock& lock) {
  if (closed_) return Closed();
  if (HasRoom(count, bytes)) return absl::OkStatus();
  if (options_.when_full == PublisherOptions::WhenFull::kReject) {
    return Error(Reason::kTooMuchInFlight,
                 fmt::format("{} messages with {} bytes are not answered yet", messages_, bytes_));
  }
  const Instant deadline = clock_.Now() + options_.deadline;
  while (!closed_ && !HasRoom(count, bytes)) {
    const absl::Duration left = deadline - clock_.Now();
    if (left <= absl::ZeroDuration()) {
      return Error(Reason::kDeadlineExceeded, fmt::format("no room to publish within {}",
                                                          absl::FormatDuration(options_.deadline)));
    }
    changed_.WaitFor(lock, left);
  }
  return closed_ ? Closed() : absl::OkStatus();
}

void PublisherCore::Add(std::string encoded, uint32_t count, Company company, PublishDone done) {
  messages_ += count;
  bytes_ += encoded.size();
  if (open_ &&
      (company == Company::kNone || open_->messages.size() + encoded.size() > options_.batch_bytes))
    Seal();
  if (!open_) {
    const Instant now = clock_.Now();
    open_ = MakeRef<PublishBatch>();
    open_->due = now + options_.batch_delay;
    open_->deadline = now + options_.deadline;
    alarm_.RingBy(
        std::min(options_.batch_delay > absl::ZeroDuration() ? open_->due : Instant::Never(),
                 open_->deadline),
        *this);
  }
  open_->waiters.push_back({open_->count, std::move(done)});
  open_->count += count;
  if (open_->messages.empty()) {
    open_->messages = std::move(encoded);
  } else {
    open_->messages += encoded;
  }
  if (company == Company::kNone || open_->count >= options_.batch_messages ||
      open_->messages.size() >= options_.batch_bytes) {
    Seal();
  }
}

void PublisherCore::Seal() {
  if (!open_) return;
  open_->id = next_id_++;
  waiting_.push_back(std::exchange(open_, nullptr));
}

void PublisherCore::Flush() {
  {
    MutexLock lock(mu_);
    Seal();
  }
  Advance();
}

void PublisherCore::Advance() {
  std::shared_ptr<Stream> stream;
  bool start = false;
  grpc::ByteBuffer request;
  {
    MutexLock lock(mu_);
    if (abandoned_ || writing_) return;
    const Instant now = clock_.Now();
    if (waiting_.empty() && open_ && open_->due <= now) Seal();
    if (waiting_.empty() || now < resume_at_) return;
    if (stream_ == nullptr) {
      stream_ = streams_(shared_from_this());
      first_write_ = start = true;
    }
    stream = stream_;
    writing_ = true;
    Ref<PublishBatch> batch = std::move(waiting_.front());
    waiting_.pop_front();
    const bool first = std::exchange(first_write_, false);
    request = EncodeRequest(batch, first ? topic_ : "", producer_);
    in_flight_.push_back(std::move(batch));
  }
  if (start) stream->Start();
  stream->Write(request);
}

void PublisherCore::OnWritten() {
  {
    MutexLock lock(mu_);
    writing_ = false;
  }
  Advance();
}

void PublisherCore::OnMessage(const grpc::ByteBuffer& message) {
  const ContiguousBytes bytes(message);
  const auto results = ParseResults(bytes.view());
  Told told;
  std::shared_ptr<Stream> broken;
  {
    MutexLock lock(mu_);
    if (abandoned_) return;
    if (results) {
      for (const BatchResult& result : *results) {
        // Results come in the order of the requests, or the stream is of no use.
        if (in_flight_.empty() || in_flight_.front()->id != result.batch_id) {
          broken = stream_;
          break;
        }
        Take(result, &told);
      }
    } else {
      broken = stream_;
    }
  }
  Tell(told);
  if (broken != nullptr) broken->Cancel();
}

void PublisherCore::Take(const BatchResult& result, Told* told) {
  Ref<PublishBatch> batch = std::move(in_flight_.front());
  in_flight_.pop_front();
  if (batch->waiters.empty()) return;  // expired
  if (const absl::Status status = result.first_id.status(); IsTransient(status)) {
    Pause(status);
    PutBack(std::move(batch));
    return;
  }
  if (result.first_id.ok()) backoff_.Reset();
  Settle(*batch);
  told->emplace_back(std::move(batch), result.first_id);
}

void PublisherCore::PutBack(Ref<PublishBatch> batch) {
  const auto place =
      std::upper_bound(waiting_.begin(), waiting_.end(), batch->id,
                       [](uint64_t id, const auto& other) { return id < other->id; });
  waiting_.insert(place, std::move(batch));
}

void PublisherCore::Pause(const absl::Status& why) {
  resume_at_ = clock_.Now() + backoff_.Next(why);
  alarm_.RingBy(resume_at_, *this);
}

void PublisherCore::OnClosed(const absl::Status& status) {
  Told told;
  {
    MutexLock lock(mu_);
    stream_ = nullptr;
    writing_ = false;
    changed_.NotifyAll();
    if (abandoned_) return;
    for (Ref<PublishBatch>& batch : in_flight_) {
      if (!batch->waiters.empty()) PutBack(std::move(batch));
    }
    in_flight_.clear();
    if (MayReopen(status)) {
      Pause(status);
    } else {
      FailAll(status, &told);
    }
  }
  Tell(told);
}

void PublisherCore::OnAlarm() {
  Told told;
  {
    MutexLock lock(mu_);
    if (abandoned_) return;
    const Instant now = clock_.Now();
    alarm_.Rang(now);
    Expire(now, &told);
    if (open_ && open_->due <= now) Seal();
    alarm_.RingBy(NextEvent(), *this);
  }
  Tell(told);
  Advance();
}

void PublisherCore::Expire(Instant now, Told* told) {
  if (open_ && open_->deadline <= now) Seal();
  const absl::Status status =
      Error(Reason::kDeadlineExceeded,
            fmt::format("not stored within {}", absl::FormatDuration(options_.deadline)));
  const auto expire = [&](PublishBatch& batch) REQUIRES(mu_) {
    Settle(batch);
    auto expired = MakeRef<PublishBatch>();
    expired->waiters.swap(batch.waiters);
    told->emplace_back(std::move(expired), status);
  };
  // The result of one in flight may still come: it keeps its place.
  for (const auto& batch : in_flight_) {
    if (batch->deadline > now) break;
    if (!batch->waiters.empty()) expire(*batch);
  }
  while (!waiting_.empty() && waiting_.front()->deadline <= now) {
    expire(*waiting_.front());
    waiting_.pop_front();
  }
}

Instant PublisherCore::NextEvent() const {
  Instant next = Instant::Never();
  if (open_) next = std::min(open_->due, open_->deadline);
  if (!waiting_.empty()) next = std::min(next, waiting_.front()->deadline);
  if (!waiting_.empty() && resume_at_ > clock_.Now()) next = std::min(next, resume_at_);
  const auto waited_for = std::find_if(in_flight_.begin(), in_flight_.end(),
                                       [](const auto& batch) { return !batch->waiters.empty(); });
  if (waited_for != in_flight_.end()) next = std::min(next, (*waited_for)->deadline);
  return next;
}

void PublisherCore::Settle(const PublishBatch& batch) {
  messages_ -= batch.count;
  bytes_ -= batch.messages.size();
  ++telling_;
  changed_.NotifyAll();
}

void PublisherCore::FailAll(const absl::Status& status, Told* told) {
  Seal();
  for (auto* queue : {&in_flight_, &waiting_}) {
    for (auto& batch : *queue) {
      if (batch->waiters.empty()) continue;
      Settle(*batch);
      told->emplace_back(std::move(batch), status);
    }
    queue->clear();
  }
}

void PublisherCore::Tell(const Told& told) {
  if (told.empty()) return;
  for (const auto& [batch, first_id] : told) batch->Complete(first_id);
  MutexLock lock(mu_);
  telling_ -= told.size();
  if (telling_ == 0) changed_.NotifyAll();
}

absl::Status PublisherCore::Close(absl::Duration timeout) {
  const SystemClock system_clock;
  const Instant end = system_clock.Now() + timeout;
  Told told;
  absl::Status status;
  std::shared_ptr<Stream> stream;
  {
    MutexLock lock(mu_);
    closed_ = true;
    changed_.NotifyAll();
  }
  Flush();
  {
    MutexLock lock(mu_);
    while (messages_ > 0 && system_clock.Now() < end)
      changed_.WaitFor(lock, end - system_clock.Now());
    if (messages_ > 0) {
      status = Error(Reason::kDeadlineExceeded,
                     fmt::format("{} messages were not answered in time", messages_));
      FailAll(status, &told);
    }
    stream = stream_;
  }
  Tell(told);
  if (stream != nullptr) status.ok() ? stream->CloseWrites() : stream->Cancel();
  MutexLock lock(mu_);
  while ((stream_ != nullptr || telling_ > 0) && system_clock.Now() < end) {
    changed_.WaitFor(lock, end - system_clock.Now());
  }
  return status;
}

void PublisherCore::Abandon() {
  Told told;
  std::shared_ptr<Stream> stream;
  {
    MutexLock lock(mu_);
    closed_ = abandoned_ = true;
    changed_.NotifyAll();
    FailAll(absl::CancelledError("the publisher was destroyed before the answer came"), &told);
    stream = std::move(stream_);
  }
  Tell(told);
  if (stream != nullptr) stream->Cancel();
  MutexLock lock(mu_);
  while (telling_ > 0) changed_.Wait(lock);
}

}  // namespace sluice::client
