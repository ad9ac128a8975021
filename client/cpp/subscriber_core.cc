#include "client/cpp/subscriber_core.h"

#include <algorithm>
#include <utility>

#include "client/cpp/status.h"
#include "core/base/error.h"

namespace sluice::client {
namespace {

// A server that takes the stream but says nothing is as good as none.
constexpr absl::Duration kOpenTimeout = absl::Seconds(10);
// Leases are prolonged this many times before they would end, so that a lost moment costs none.
constexpr int kExtensionsPerLease = 3;

Credit CreditOf(std::span<const ReceivedMessage> messages) {
  Credit credit;
  for (const ReceivedMessage& message : messages) credit += {1, static_cast<int64_t>(message.credit_bytes)};
  return credit;
}

}  // namespace

SubscriberCore::SubscriberCore(StreamFactory streams, const Clock& clock, TimerQueue& timers, SubscriberTarget target,
                               SubscriberOptions options)
    : streams_(std::move(streams)),
      clock_(clock),
      target_(std::move(target)),
      options_(std::move(options)),
      alarm_(timers),
      tasks_(std::max<size_t>(options_.concurrency, 1)),
      window_({options_.max_outstanding_messages, options_.max_outstanding_bytes}) {}

void SubscriberCore::Start(size_t messages_per_call, Subscriber::BatchHandler handler) {
  messages_per_call_ = messages_per_call;
  handler_ = std::move(handler);
  size_t workers = 0;
  {
    MutexLock lock(mu_);
    state_ = State::kReceiving;
    workers = tasks_.size();
  }
  for (size_t i = 0; i < workers; ++i) workers_.emplace_back([this, i] { WorkerMain(i); });
  OpenStream();
}

void SubscriberCore::OpenStream() {
  std::shared_ptr<Stream> stream;
  {
    MutexLock lock(mu_);
    if (state_ != State::kReceiving) return;
    ++counters_.connections;
    opened_ = named_target_ = false;
    stream_event_at_ = clock_.Now() + kOpenTimeout;
    alarm_.RingBy(stream_event_at_, *this);
    stream = stream_ = streams_(shared_from_this());
  }
  stream->Start();
  Speak();
}

void SubscriberCore::SetTarget(v1::SubscribeRequest* request) const {
  request->set_client_id(options_.client_id);
  if (!target_.subscription.empty()) {
    request->set_subscription(target_.subscription);
    return;
  }
  request->mutable_ephemeral()->set_topic(target_.topic);
  *request->mutable_ephemeral()->mutable_start() = target_.start;
  request->mutable_ephemeral()->set_filter(target_.filter);
  if (resume_at_id_ != 0) request->mutable_ephemeral()->mutable_start()->set_message_id(resume_at_id_);
}

void SubscriberCore::Speak() {
  std::shared_ptr<Stream> stream;
  v1::SubscribeRequest request;
  {
    MutexLock lock(mu_);
    if (stream_ == nullptr || writing_) return;
    if (!std::exchange(named_target_, true)) SetTarget(&request);
    settlements_.MoveTo(&request);
    for (const DeliveryIds& ids : extensions_) {
      v1::Extension* extension = request.add_extensions();
      extension->mutable_range()->set_first(ids.first);
      extension->mutable_range()->set_last(ids.last);
      extension->set_ack_deadline_seconds(static_cast<int32_t>(absl::ToInt64Seconds(ack_deadline_)));
    }
    extensions_.clear();
    if (const auto grant = state_ == State::kReceiving ? window_.TakeGrant() : std::nullopt) {
      request.mutable_credit()->set_messages(grant->messages);
      request.mutable_credit()->set_bytes(grant->bytes);
    }
    if (request.ByteSizeLong() == 0) return;
    writing_ = true;
    stream = stream_;
  }
  const grpc::Slice slice(request.SerializeAsString());
  stream->Write(grpc::ByteBuffer(&slice, 1));
}

void SubscriberCore::OnWritten() {
  {
    MutexLock lock(mu_);
    writing_ = false;
    if (state_ != State::kReceiving) quiet_.NotifyAll();
  }
  Speak();
}

void SubscriberCore::OnMessage(const grpc::ByteBuffer& message) {
  auto received = ParseResponse(message, likely_count_);
  std::shared_ptr<Stream> broken;
  {
    MutexLock lock(mu_);
    // What comes now goes back when the stream ends.
    if (state_ != State::kReceiving) return;
    if (received == nullptr) {
      broken = stream_;
    } else {
      if (received->opened) Opened(*received->opened);
      if (!received->messages.empty()) Enqueue(std::move(received));
    }
  }
  if (broken != nullptr) broken->Cancel();
}

void SubscriberCore::Opened(const v1::Opened& opened) {
  opened_ = true;
  backoff_.Reset();
  ack_deadline_ = absl::Seconds(std::max(opened.ack_deadline_seconds(), 1));
  stream_event_at_ = clock_.Now() + ack_deadline_ / kExtensionsPerLease;
  alarm_.RingBy(stream_event_at_, *this);
}

void SubscriberCore::Enqueue(std::shared_ptr<const Received> received) {
  const size_t count = received->messages.size();
  likely_count_ = count;
  counters_.received += count;
  window_.Received(CreditOf(received->messages));
  resume_at_id_ = std::max(resume_at_id_, received->messages.back().id + 1);
  queue_.push_back({std::move(received), 0, count});
  count > messages_per_call_ ? work_.NotifyAll() : work_.NotifyOne();
}

void SubscriberCore::WorkerMain(size_t worker) {
  for (;;) {
    Run run;
    {
      MutexLock lock(mu_);
      while (!TakeTask(worker)) {
        if (state_ != State::kReceiving) return;
        work_.Wait(lock);
      }
      run = tasks_[worker]->run;
    }
    const std::optional<Verdict> verdict = Call(run.messages());
    {
      MutexLock lock(mu_);
      FinishTask(worker, verdict);
    }
    Speak();
  }
}

bool SubscriberCore::TakeTask(size_t worker) {
  if (queue_.empty()) return false;
  Run& front = queue_.front();
  Task& task = tasks_[worker].emplace();
  task.run = front;
  task.run.end = front.begin + std::min(messages_per_call_, front.end - front.begin);
  task.stream_number = stream_number_;
  task.deadline = clock_.Now() + options_.handler_timeout;
  alarm_.RingBy(task.deadline, *this);
  front.begin = task.run.end;
  if (front.begin == front.end) queue_.pop_front();
  return true;
}

std::optional<Verdict> SubscriberCore::Call(std::span<const ReceivedMessage> messages) {
  try {
    return handler_(messages);
  } catch (...) {
    // Whatever it was, the message is not done with, and the process must not end for it.
    return std::nullopt;
  }
}

void SubscriberCore::FinishTask(size_t worker, std::optional<Verdict> verdict) {
  const Task task = *std::exchange(tasks_[worker], std::nullopt);
  if (!task.timed_out) {
    if (!verdict) counters_.threw += task.run.messages().size();
    Settle(task, verdict.value_or(Verdict::Nack(options_.failure_delay)));
  }
  // Only now, when it takes neither memory nor a worker.
  window_.Settled(CreditOf(task.run.messages()));
  if (state_ != State::kReceiving) quiet_.NotifyAll();
}

void SubscriberCore::Settle(const Task& task, const Verdict& verdict) {
  (verdict.acked() ? counters_.acked : counters_.nacked) += task.run.messages().size();
  // Later streams do not know these ids.
  if (task.stream_number != stream_number_) return;
  verdict.acked() ? settlements_.Ack(task.run.ids()) : settlements_.Nack(task.run.ids(), verdict.delay());
}

void SubscriberCore::DropQueue() {
  for (const Run& run : queue_) {
    window_.Settled(CreditOf(run.messages()));
    resume_at_id_ = std::min(resume_at_id_, run.messages().front().id);
  }
  queue_.clear();
}

bool SubscriberCore::AnyTask() const {
  return std::any_of(tasks_.begin(), tasks_.end(), [](const auto& task) { return task.has_value(); });
}

void SubscriberCore::OnClosed(const absl::Status& status) {
  {
    MutexLock lock(mu_);
    stream_ = nullptr;
    ++stream_number_;
    writing_ = false;
    settlements_.Clear();
    extensions_.clear();
    DropQueue();
    for (const auto& task : tasks_) {
      if (task) resume_at_id_ = std::min(resume_at_id_, task->run.messages().front().id);
    }
    window_.StreamEnded();
    quiet_.NotifyAll();
    if (state_ != State::kReceiving) return;
    if (MayReopen(status)) {
      stream_event_at_ = clock_.Now() + backoff_.Next(status);
      alarm_.RingBy(stream_event_at_, *this);
      return;
    }
    state_ = State::kEnded;
    finishing_ = true;
    work_.NotifyAll();
  }
  if (options_.finished) options_.finished(status);
  MutexLock lock(mu_);
  finishing_ = false;
  quiet_.NotifyAll();
}

void SubscriberCore::OnAlarm() {
  std::shared_ptr<Stream> late;
  bool open = false;
  {
    MutexLock lock(mu_);
    if (state_ == State::kEnded) return;
    const Instant now = clock_.Now();
    alarm_.Rang(now);
    GiveUpOnSlow(now);
    if (stream_event_at_ <= now) {
      stream_event_at_ = Instant::Never();
      if (stream_ == nullptr) {
        open = true;
      } else if (!opened_) {
        late = stream_;
      } else {
        ExtendLeases();
        stream_event_at_ = now + ack_deadline_ / kExtensionsPerLease;
      }
    }
    alarm_.RingBy(NextEvent(), *this);
  }
  if (late != nullptr) late->Cancel();
  if (open) OpenStream();
  Speak();
}

void SubscriberCore::GiveUpOnSlow(Instant now) {
  for (auto& task : tasks_) {
    if (!task || task->timed_out || task->deadline > now) continue;
    task->timed_out = true;
    counters_.timed_out += task->run.messages().size();
    Settle(*task, Verdict::Nack(options_.failure_delay));
  }
}

void SubscriberCore::ExtendLeases() {
  bool stuck = true;
  for (const auto& task : tasks_) {
    if (!task || !task->timed_out) stuck = false;
    if (task && !task->timed_out && task->stream_number == stream_number_) extensions_.push_back(task->run.ids());
  }
  // With no worker left to come back, what waits is better off elsewhere.
  if (stuck) return;
  for (const Run& run : queue_) extensions_.push_back(run.ids());
}

Instant SubscriberCore::NextEvent() const {
  Instant next = stream_event_at_;
  for (const auto& task : tasks_) {
    if (task && !task->timed_out) next = std::min(next, task->deadline);
  }
  return next;
}

absl::Status SubscriberCore::Stop(absl::Duration timeout) {
  const SystemClock system_clock;
  const Instant end = system_clock.Now() + timeout;
  bool done = false;
  {
    MutexLock lock(mu_);
    if (state_ == State::kReceiving) state_ = State::kStopping;
    DropQueue();
    work_.NotifyAll();
    while (AnyTask() && system_clock.Now() < end) quiet_.WaitFor(lock, end - system_clock.Now());
    done = !AnyTask();
  }
  Speak();
  std::shared_ptr<Stream> stream;
  {
    MutexLock lock(mu_);
    while (stream_ != nullptr && (writing_ || !settlements_.empty()) && system_clock.Now() < end) {
      quiet_.WaitFor(lock, end - system_clock.Now());
    }
    stream = stream_;
  }
  if (stream != nullptr) stream->CloseWrites();
  {
    MutexLock lock(mu_);
    // The server ends the stream once it has read everything.
    while (stream_ != nullptr && system_clock.Now() < end) quiet_.WaitFor(lock, end - system_clock.Now());
    done = done && stream_ == nullptr;
    stream = stream_;
    state_ = State::kEnded;
  }
  if (stream != nullptr) stream->Cancel();
  return done ? absl::OkStatus() : Error(Reason::kDeadlineExceeded, "not everything was settled in time");
}

void SubscriberCore::Abandon() {
  std::shared_ptr<Stream> stream;
  {
    MutexLock lock(mu_);
    state_ = State::kEnded;
    DropQueue();
    work_.NotifyAll();
    stream = std::move(stream_);
  }
  if (stream != nullptr) stream->Cancel();
  for (std::thread& worker : workers_) worker.join();
  // What it owns goes now, not when the stream has ended.
  handler_ = nullptr;
  MutexLock lock(mu_);
  while (finishing_) quiet_.Wait(lock);
}

SubscriberCounters SubscriberCore::counters() const {
  MutexLock lock(mu_);
  return counters_;
}

}  // namespace sluice::client
