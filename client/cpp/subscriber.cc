#include "client/cpp/subscriber.h"

#include <deque>
#include <exception>
#include <map>
#include <thread>

#include "client/cpp/backoff.h"
#include "core/base/error.h"
#include "core/base/mutex.h"
#include "fmt/format.h"
#include "sluice/v1/pubsub.pb.h"

namespace sluice::client {
namespace {

const SystemClock kSystemClock;

constexpr absl::Duration kShortestExtension = absl::Seconds(1);

}  // namespace

class Subscriber::Impl final : public StreamEvents, public std::enable_shared_from_this<Impl> {
 public:
  Impl(StreamFactory streams, SubscriberTarget target, SubscriberOptions options, const Clock& clock,
       std::shared_ptr<TimerQueue> timers)
      : streams_(std::move(streams)),
        target_(std::move(target)),
        options_(std::move(options)),
        clock_(clock),
        timers_(std::move(timers)) {}

  void Start(BatchHandler handler, bool one_by_one) EXCLUDES(mu_);
  absl::Status Stop(absl::Duration timeout) EXCLUDES(mu_);
  Counters counters() const EXCLUDES(mu_) {
    MutexLock lock(mu_);
    return counters_;
  }

  void OnMessage(const grpc::ByteBuffer& message) override;
  void OnWritten() override;
  void OnClosed(absl::Status status) override;

 private:
  // Messages [begin, end) of a response, for one worker.
  struct Work {
    std::shared_ptr<Received> received;
    size_t begin = 0;
    size_t end = 0;
    // Which stream they came on: later ones do not know their ids.
    uint64_t stream = 0;
  };
  // A handler that is running, or is waited for no more.
  struct Running {
    uint64_t first_id = 0;
    uint64_t last_id = 0;
    size_t count = 0;
    int64_t bytes = 0;
    uint64_t stream = 0;
    Instant deadline;
  };

  void Open() EXCLUDES(mu_);
  void WorkerMain() EXCLUDES(mu_);
  void Handle(const Work& work) EXCLUDES(mu_);
  Verdict Call(const Work& work, size_t begin, size_t end) EXCLUDES(mu_);
  void HandleRun(const Work& work, size_t begin, size_t end) EXCLUDES(mu_);
  void Settle(const Running& run, const Verdict& verdict) REQUIRES(mu_);
  void Flush() EXCLUDES(mu_);
  bool AnythingToSay() const REQUIRES(mu_);
  void Tick() EXCLUDES(mu_);
  void ScheduleTick() EXCLUDES(mu_);
  void End(const absl::Status& status) EXCLUDES(mu_);

  const StreamFactory streams_;
  const SubscriberTarget target_;
  const SubscriberOptions options_;
  const Clock& clock_;
  const std::shared_ptr<TimerQueue> timers_;
  // Set by Start.
  BatchHandler handler_;
  bool one_by_one_ = false;
  std::vector<std::thread> workers_;

  mutable Mutex mu_;
  CondVar work_ready_;
  CondVar quiet_;
  std::shared_ptr<Stream> stream_ GUARDED_BY(mu_);
  uint64_t stream_number_ GUARDED_BY(mu_) = 0;
  bool opening_ GUARDED_BY(mu_) = false;
  bool closed_while_opening_ GUARDED_BY(mu_) = false;
  bool writing_ GUARDED_BY(mu_) = false;
  bool stopping_ GUARDED_BY(mu_) = false;
  bool workers_stop_ GUARDED_BY(mu_) = false;
  std::deque<Work> queue_ GUARDED_BY(mu_);
  std::map<uint64_t, Running> running_ GUARDED_BY(mu_);
  uint64_t next_run_ GUARDED_BY(mu_) = 1;
  // Said with the next write.
  v1::SubscribeRequest next_ GUARDED_BY(mu_);
  int64_t credit_messages_ GUARDED_BY(mu_) = 0;
  int64_t credit_bytes_ GUARDED_BY(mu_) = 0;
  // Received on this stream and not settled, as ranges: first id -> last id.
  std::map<uint64_t, uint64_t> unsettled_ GUARDED_BY(mu_);
  absl::Duration ack_deadline_ GUARDED_BY(mu_) = absl::Seconds(10);
  Counters counters_ GUARDED_BY(mu_);
  Backoff backoff_ GUARDED_BY(mu_);
};

void Subscriber::Impl::Start(BatchHandler handler, bool one_by_one) {
  handler_ = std::move(handler);
  one_by_one_ = one_by_one;
  for (size_t i = 0; i < std::max<size_t>(options_.concurrency, 1); ++i) {
    workers_.emplace_back([self = shared_from_this()] { self->WorkerMain(); });
  }
  Open();
  ScheduleTick();
}

void Subscriber::Impl::Open() {
  {
    MutexLock lock(mu_);
    if (stopping_) return;
    ++counters_.connections;
    opening_ = true;
  }
  std::shared_ptr<Stream> stream = streams_(shared_from_this());
  {
    MutexLock lock(mu_);
    opening_ = false;
    // It may have ended before it was here.
    if (std::exchange(closed_while_opening_, false)) return;
    stream_ = std::move(stream);
    ++stream_number_;
    writing_ = false;
    unsettled_.clear();
    next_.Clear();
    if (target_.subscription.empty()) {
      next_.mutable_ephemeral()->set_topic(target_.topic);
      *next_.mutable_ephemeral()->mutable_start() = target_.start;
    } else {
      next_.set_subscription(target_.subscription);
    }
    next_.set_client_id(options_.client_id);
    // What is being handled from before still takes its share of memory, but not of the new stream's credit.
    credit_messages_ = options_.max_outstanding_messages;
    credit_bytes_ = options_.max_outstanding_bytes;
  }
  Flush();
}

bool Subscriber::Impl::AnythingToSay() const {
  return next_.target_case() != v1::SubscribeRequest::TARGET_NOT_SET || next_.acks_size() > 0 || next_.nacks_size() > 0 || next_.extensions_size() > 0 ||
         credit_messages_ > 0;
}

void Subscriber::Impl::Flush() {
  std::shared_ptr<Stream> stream;
  std::string bytes;
  {
    MutexLock lock(mu_);
    if (stream_ == nullptr || writing_ || !AnythingToSay()) return;
    if (credit_messages_ > 0 && !stopping_) {
      next_.mutable_credit()->set_messages(credit_messages_);
      next_.mutable_credit()->set_bytes(credit_bytes_);
    }
    credit_messages_ = 0;
    credit_bytes_ = 0;
    bytes = next_.SerializeAsString();
    next_.Clear();
    if (bytes.empty()) return;
    writing_ = true;
    stream = stream_;
  }
  stream->Write(bytes);
}

void Subscriber::Impl::OnWritten() {
  {
    MutexLock lock(mu_);
    writing_ = false;
    if (!AnythingToSay()) quiet_.NotifyAll();
  }
  Flush();
}

void Subscriber::Impl::OnMessage(const grpc::ByteBuffer& message) {
  auto received = ParseResponse(message);
  if (received == nullptr) return;
  MutexLock lock(mu_);
  backoff_.Reset();
  if (received->opened) ack_deadline_ = absl::Seconds(received->ack_deadline_seconds);
  const std::vector<ReceivedMessage>& messages = received->messages;
  if (messages.empty() || stopping_) return;
  counters_.received += messages.size();
  // A batch handler takes consecutive ids at once; others get the messages spread over the workers.
  const size_t share = (messages.size() + options_.concurrency - 1) / options_.concurrency;
  for (size_t begin = 0; begin < messages.size();) {
    size_t end = begin + 1;
    while (end < messages.size() && messages[end].delivery_id == messages[end - 1].delivery_id + 1 &&
           (!one_by_one_ || end - begin < share)) {
      ++end;
    }
    unsettled_[messages[begin].delivery_id] = messages[end - 1].delivery_id;
    queue_.push_back({received, begin, end, stream_number_});
    begin = end;
  }
  work_ready_.NotifyAll();
}

void Subscriber::Impl::WorkerMain() {
  for (;;) {
    Work work;
    {
      MutexLock lock(mu_);
      while (queue_.empty() && !workers_stop_) work_ready_.Wait(lock);
      if (workers_stop_) return;
      work = std::move(queue_.front());
      queue_.pop_front();
    }
    Handle(work);
    Flush();
  }
}

void Subscriber::Impl::Handle(const Work& work) {
  if (!one_by_one_) return HandleRun(work, work.begin, work.end);
  for (size_t i = work.begin; i < work.end; ++i) HandleRun(work, i, i + 1);
}

Verdict Subscriber::Impl::Call(const Work& work, size_t begin, size_t end) {
  const std::vector<ReceivedMessage>& all = work.received->messages;
  try {
    if (begin == 0 && end == all.size()) return handler_(all);
    return handler_({all.begin() + static_cast<std::ptrdiff_t>(begin), all.begin() + static_cast<std::ptrdiff_t>(end)});
  } catch (...) {
    // Whatever was thrown, the message is not done with, and the process must not end for it.
    MutexLock lock(mu_);
    ++counters_.threw;
    return Verdict::Nack();
  }
}

void Subscriber::Impl::HandleRun(const Work& work, size_t begin, size_t end) {
  const std::vector<ReceivedMessage>& all = work.received->messages;
  Running run{all[begin].delivery_id, all[end - 1].delivery_id, end - begin, 0, work.stream,
              clock_.Now() + options_.handler_timeout};
  for (size_t i = begin; i < end; ++i) run.bytes += static_cast<int64_t>(all[i].bytes.size());
  uint64_t number = 0;
  {
    MutexLock lock(mu_);
    if (work.stream != stream_number_) return;  // it comes again on the new stream
    number = next_run_++;
    running_.emplace(number, run);
  }
  const Verdict verdict = Call(work, begin, end);
  MutexLock lock(mu_);
  // Gone when it took too long: then it was nacked already.
  if (running_.erase(number) > 0) Settle(run, verdict);
  if (queue_.empty() && running_.empty()) quiet_.NotifyAll();
}

void Subscriber::Impl::Settle(const Running& run, const Verdict& verdict) {
  (verdict.acked() ? counters_.acked : counters_.nacked) += run.count;
  if (run.stream != stream_number_) return;
  // Cut the run out of the unsettled ranges.
  if (auto it = unsettled_.upper_bound(run.first_id); it != unsettled_.begin()) {
    --it;
    const auto [first, last] = *it;
    unsettled_.erase(it);
    if (first < run.first_id) unsettled_[first] = run.first_id - 1;
    if (run.last_id < last) unsettled_[run.last_id + 1] = last;
  }
  if (verdict.acked()) {
    const int acks = next_.acks_size();
    v1::DeliveryRange* previous = acks > 0 ? next_.mutable_acks(acks - 1) : nullptr;
    if (previous != nullptr && previous->last() + 1 == run.first_id) {
      previous->set_last(run.last_id);
    } else {
      v1::DeliveryRange* range = next_.add_acks();
      range->set_first(run.first_id);
      range->set_last(run.last_id);
    }
  } else {
    v1::Nack* nack = next_.add_nacks();
    nack->mutable_range()->set_first(run.first_id);
    nack->mutable_range()->set_last(run.last_id);
    absl::Duration delay = verdict.delay();
    nack->mutable_delay()->set_seconds(absl::IDivDuration(delay, absl::Seconds(1), &delay));
    nack->mutable_delay()->set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(delay)));
  }
  credit_messages_ += static_cast<int64_t>(run.count);
  credit_bytes_ += run.bytes;
}

void Subscriber::Impl::ScheduleTick() {
  absl::Duration interval;
  {
    MutexLock lock(mu_);
    if (stopping_ && running_.empty()) return;
    interval = std::max(std::min(ack_deadline_ / 3, options_.handler_timeout / 4), absl::Milliseconds(10));
  }
  timers_->At(clock_.Now() + interval, [weak = weak_from_this()] {
    if (auto self = weak.lock()) self->Tick();
  });
}

// Prolongs what is not settled, gives up on handlers that take too long.
void Subscriber::Impl::Tick() {
  {
    MutexLock lock(mu_);
    const Instant now = clock_.Now();
    for (auto it = running_.begin(); it != running_.end();) {
      if (it->second.deadline > now) {
        ++it;
        continue;
      }
      ++counters_.timed_out;
      Settle(it->second, Verdict::Nack());
      it = running_.erase(it);
    }
    const auto seconds = static_cast<int32_t>(absl::ToInt64Seconds(std::max(ack_deadline_, kShortestExtension)));
    for (const auto& [first, last] : unsettled_) {
      v1::Extension* extension = next_.add_extensions();
      extension->mutable_range()->set_first(first);
      extension->mutable_range()->set_last(last);
      extension->set_ack_deadline_seconds(seconds);
    }
  }
  Flush();
  ScheduleTick();
}

void Subscriber::Impl::OnClosed(absl::Status status) {
  absl::Duration wait;
  {
    MutexLock lock(mu_);
    stream_ = nullptr;
    closed_while_opening_ = opening_;
    // Nothing of the old stream can be settled any more.
    ++stream_number_;
    queue_.clear();
    unsettled_.clear();
    next_.Clear();
    credit_messages_ = 0;
    writing_ = false;
    quiet_.NotifyAll();
    if (stopping_) return;
    wait = backoff_.Next();
  }
  if (!status.ok() && !IsTransient(status)) return End(status);
  timers_->At(clock_.Now() + wait, [weak = weak_from_this()] {
    if (auto self = weak.lock()) self->Open();
  });
}

void Subscriber::Impl::End(const absl::Status& status) {
  {
    MutexLock lock(mu_);
    if (std::exchange(stopping_, true)) return;
  }
  if (options_.finished) options_.finished(status);
}

absl::Status Subscriber::Impl::Stop(absl::Duration timeout) {
  const absl::Time end = absl::Now() + timeout;
  std::shared_ptr<Stream> stream;
  bool in_time = true;
  {
    MutexLock lock(mu_);
    stopping_ = true;
    // What no handler has begun goes back with the stream.
    queue_.clear();
    const auto wait_while = [&](auto condition) REQUIRES(mu_) {
      while (condition() && in_time) in_time = quiet_.WaitFor(lock, end - absl::Now()) || !condition();
    };
    wait_while([this]() REQUIRES(mu_) { return !running_.empty(); });
    lock.Unlock();
    Flush();
    lock.Lock();
    // The last verdicts are on their way when their write is done.
    wait_while([this]() REQUIRES(mu_) { return stream_ != nullptr && writing_; });
    workers_stop_ = true;
    work_ready_.NotifyAll();
    stream = stream_;
  }
  if (stream != nullptr) in_time ? stream->CloseWrites() : stream->Cancel();
  for (std::thread& worker : workers_) {
    if (!worker.joinable()) continue;
    in_time ? worker.join() : worker.detach();
  }
  return in_time ? absl::OkStatus() : Error(Reason::kDeadlineExceeded, "handlers were still running");
}

Subscriber::Subscriber(std::shared_ptr<Connection> connection, SubscriberTarget target, SubscriberOptions options)
    : Subscriber(GrpcStreams(std::move(connection), "/sluice.v1.PubSub/Subscribe"), std::move(target),
                 std::move(options), kSystemClock, nullptr) {}

Subscriber::Subscriber(StreamFactory streams, SubscriberTarget target, SubscriberOptions options, const Clock& clock,
                       TimerQueue* timers) {
  if (timers == nullptr) {
    own_timers_ = std::make_shared<TimerQueue>(clock);
    own_timers_->Start();
  }
  std::shared_ptr<TimerQueue> used = own_timers_ != nullptr
                                         ? own_timers_
                                         : std::shared_ptr<TimerQueue>(std::shared_ptr<TimerQueue>(), timers);
  impl_ = std::make_shared<Impl>(std::move(streams), std::move(target), std::move(options), clock, std::move(used));
}

Subscriber::~Subscriber() {
  impl_->Stop(absl::ZeroDuration()).IgnoreError();
  if (own_timers_ != nullptr) own_timers_->Stop();
}

void Subscriber::Start(Handler handler) {
  impl_->Start([handler = std::move(handler)](const std::vector<ReceivedMessage>& messages) {
    return handler(messages.front());
  }, true);
}

void Subscriber::StartBatches(BatchHandler handler) { impl_->Start(std::move(handler), false); }

absl::Status Subscriber::Stop(absl::Duration timeout) { return impl_->Stop(timeout); }

Subscriber::Counters Subscriber::counters() const { return impl_->counters(); }

}  // namespace sluice::client
