#include "client/cpp/subscriber_core.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "client/cpp/status.h"
#include "core/base/error.h"

namespace sluice::client {
namespace {

// A server that takes the stream but says nothing is as good as none.
constexpr absl::Duration kOpenTimeout = absl::Seconds(10);
// Leases are prolonged this many times before they would end, so that a lost moment costs none.
constexpr int kExtensionsPerLease = 3;
// An acknowledgement whose earlier ones are not in is sent again: after a restart the server may
// not have looked at them yet.
constexpr absl::Duration kAckAgainAfter = absl::Milliseconds(200);

void Append(std::vector<Confirmation> more, std::vector<Confirmation>* all) {
  std::move(more.begin(), more.end(), std::back_inserter(*all));
}

Credit CreditOf(std::span<const ReceivedMessage> messages) {
  Credit credit;
  for (const ReceivedMessage& message : messages)
    credit += {1, static_cast<int64_t>(message.credit_bytes)};
  return credit;
}

}  // namespace

SubscriberCore::SubscriberCore(StreamFactory streams, const Clock& clock, TimerQueue& timers,
                               SubscriberTarget target, SubscriberOptions options)
    : streams_(std::move(streams)),
      clock_(clock),
      target_(std::move(target)),
      options_(std::move(options)),
      pool_(std::make_shared<HandlerPool<Run>>(
          clock, timers,
          HandlerOptions{options_.concurrency, options_.handler_timeout, options_.failure_delay})),
      alarm_(timers),
      window_({options_.max_outstanding_messages, options_.max_outstanding_bytes}) {}

void SubscriberCore::Start(size_t messages_per_call, Subscriber::BatchHandler handler) {
  pool_->Start(
      messages_per_call,
      [handler = std::move(handler)](const Run& run) { return handler(run.messages()); },
      weak_from_this());
  {
    MutexLock lock(mu_);
    state_ = State::kReceiving;
  }
  OpenStream();
}

void SubscriberCore::OpenStream() {
  std::shared_ptr<Stream> stream;
  {
    MutexLock lock(mu_);
    if (state_ != State::kReceiving) return;
    ++connections_;
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
    v1::TakeUp* const take_up = request->mutable_take_up();
    if (!held_.possible()) return;
    std::vector<HeldId> held = confirmations_.waiting();
    pool_->ForEachAlive([&](const Run& run) {
      mu_.AssertHeld();
      held_.ForEachId(run, [&](HeldId id) { held.push_back(id); });
    });
    held_.AddTo(std::move(held), take_up);
    return;
  }
  request->mutable_ephemeral()->set_topic(target_.topic);
  *request->mutable_ephemeral()->mutable_start() = target_.start;
  request->mutable_ephemeral()->set_filter(target_.filter);
  if (resume_at_id_ != 0)
    request->mutable_ephemeral()->mutable_start()->set_message_id(resume_at_id_);
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
      extension->set_ack_deadline_seconds(
          static_cast<int32_t>(absl::ToInt64Seconds(ack_deadline_)));
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
  bool opened = false;
  std::vector<Confirmation> told;
  {
    MutexLock lock(mu_);
    if (received != nullptr) told = confirmations_.Settle(received->ack_results, &too_early_);
    if (state_ == State::kReceiving && !too_early_.empty() && again_at_ == Instant::Never()) {
      again_at_ = clock_.Now() + kAckAgainAfter;
      alarm_.RingBy(again_at_, *this);
    }
    // Messages that come later go back when the stream ends.
    if (state_ == State::kReceiving && received == nullptr) broken = stream_;
    // Who stops has verdicts to tell, perhaps.
    opened = received != nullptr && received->opened &&
             (state_ == State::kReceiving || state_ == State::kStopping);
    if (opened) Append(Opened(*received), &told);
    if (opened && state_ == State::kStopping) quiet_.NotifyAll();
    if (state_ == State::kReceiving && received != nullptr && !received->messages.empty())
      Enqueue(std::move(received));
    told = TakeTold(std::move(told));
  }
  if (broken != nullptr) broken->Cancel();
  Tell(told);
  if (opened) Speak();
}

std::vector<Confirmation> SubscriberCore::TakeTold(std::vector<Confirmation> told) {
  // After the end there may be nobody any more to be told.
  if (state_ == State::kEnded || !options_.confirmed) told.clear();
  if (!told.empty()) ++calling_;
  return told;
}

void SubscriberCore::Tell(const std::vector<Confirmation>& told) {
  if (told.empty()) return;
  for (const Confirmation& one : told) options_.confirmed(one.message_id, one.status);
  MutexLock lock(mu_);
  --calling_;
  quiet_.NotifyAll();
}

std::vector<Confirmation> SubscriberCore::Opened(const Received& received) {
  const v1::Opened& opened = *received.opened;
  opened_ = true;
  backoff_.Reset();
  ack_deadline_ = absl::Seconds(std::max(opened.ack_deadline_seconds(), 1));
  if (opened.message_ordering()) pool_->HandleInOrder();
  exactly_once_ = opened.exactly_once_delivery();
  stream_event_at_ = clock_.Now() + ack_deadline_ / kExtensionsPerLease;
  alarm_.RingBy(stream_event_at_, *this);
  return TakeUp(received);
}

std::vector<Confirmation> SubscriberCore::TakeUp(const Received& received) {
  std::vector<Run> running;
  pool_->ForEachAlive([&](const Run& run) { running.push_back(run); });
  const uint32_t incarnation = exactly_once_ ? received.opened->incarnation() : 0;
  const auto resumed = held_.Take(received.taken_up, running, stream_number_, incarnation);
  for (const Run& run : resumed.lost) window_.Settled(CreditOf(run.messages()));
  for (const Run& run : resumed.runs) pool_->Add(run);
  std::vector<Confirmation> unknown;
  for (const auto& [delivery_id, message_id] : confirmations_.TakeWaiting()) {
    if (const auto now = NewIdOf(received.taken_up, delivery_id)) {
      SettleOne({*now, message_id}, Verdict::Ack());
    } else {
      unknown.push_back(Confirmations::Unknown(message_id));
    }
  }
  for (const HeldDeliveries::Decided& one : resumed.decided) SettleOne(one.id, one.verdict);
  for (const uint64_t id : resumed.lost_acks) unknown.push_back(Confirmations::Unknown(id));
  // Some of their time has passed.
  if (!received.taken_up.empty()) ExtendLeases();
  return unknown;
}

void SubscriberCore::SettleOne(HeldId id, const Verdict& verdict) {
  const DeliveryIds ids{id.delivery_id, id.delivery_id};
  verdict.acked() ? settlements_.Ack(ids) : settlements_.Nack(ids, verdict.delay());
  if (verdict.acked() && exactly_once_) confirmations_.Expect(id);
}

std::vector<Confirmation> SubscriberCore::Settle(const Run& run, const Verdict& verdict) {
  std::vector<Confirmation> unknown;
  if (run.stream_number == stream_number_) {
    verdict.acked() ? settlements_.Ack(run.ids()) : settlements_.Nack(run.ids(), verdict.delay());
    if (verdict.acked() && exactly_once_) confirmations_.Expect(run.messages());
    return unknown;
  }
  if (!opened_) held_.Decide(run, verdict);
  // Other streams do not know its ids, unless they took it up.
  held_.ForEachId(
      run,
      [&](HeldId id) {
        mu_.AssertHeld();
        if (opened_) SettleOne(id, verdict);
      },
      [&](uint64_t message_id) {
        mu_.AssertHeld();
        if (verdict.acked() && exactly_once_) unknown.push_back(Confirmations::Unknown(message_id));
      });
  return unknown;
}

std::vector<Confirmation> SubscriberCore::GiveUp() {
  std::vector<Confirmation> unknown = confirmations_.GiveUp();
  for (const uint64_t id : held_.GiveUpDecided()) unknown.push_back(Confirmations::Unknown(id));
  return unknown;
}

void SubscriberCore::Enqueue(std::shared_ptr<const Received> received) {
  const size_t count = received->messages.size();
  likely_count_ = count;
  received_ += count;
  window_.Received(CreditOf(received->messages));
  resume_at_id_ = std::max(resume_at_id_, received->messages.back().id + 1);
  pool_->Add({std::move(received), 0, count, stream_number_});
}

void SubscriberCore::OnHandled(const Run& run, HandlerEvent event,
                               const std::optional<Verdict>& verdict) {
  std::vector<Confirmation> told;
  {
    MutexLock lock(mu_);
    if (verdict) told = TakeTold(Settle(run, *verdict));
    // Only when it takes neither memory nor a thread any more.
    if (event != HandlerEvent::kTimedOut) window_.Settled(CreditOf(run.messages()));
  }
  Tell(told);
  Speak();
}

void SubscriberCore::DropQueue() {
  for (const Run& run : pool_->DropQueue()) {
    window_.Settled(CreditOf(run.messages()));
    resume_at_id_ = std::min(resume_at_id_, run.messages().front().id);
  }
  for (const Run& run : held_.DropParked()) window_.Settled(CreditOf(run.messages()));
}

bool SubscriberCore::Keeps(const absl::Status& closed) const {
  return state_ == State::kReceiving && MayReopen(closed) && held_.possible();
}

void SubscriberCore::OnClosed(const absl::Status& status) {
  std::vector<Confirmation> told;
  {
    MutexLock lock(mu_);
    if (!Keeps(status)) told = TakeTold(GiveUp());
  }
  Tell(told);
  {
    MutexLock lock(mu_);
    stream_ = nullptr;
    ++stream_number_;
    opened_ = writing_ = false;
    // What was acknowledged waits for its confirmation, and is acknowledged again; what was nacked
    // comes when its lease ends.
    settlements_.Clear();
    extensions_.clear();
    too_early_.clear();
    if (Keeps(status)) {
      held_.Park(pool_->DropQueue());
    } else {
      DropQueue();
      held_.Begin(stream_number_, 0);
    }
    pool_->ForEachCall([this](const Run& run) {
      mu_.AssertHeld();
      resume_at_id_ = std::min(resume_at_id_, run.messages().front().id);
    });
    window_.StreamEnded();
    quiet_.NotifyAll();
    if (state_ != State::kReceiving) return;
    if (MayReopen(status)) {
      stream_event_at_ = clock_.Now() + backoff_.Next(status);
      alarm_.RingBy(stream_event_at_, *this);
      return;
    }
    state_ = State::kEnded;
    ++calling_;
  }
  if (options_.finished) options_.finished(status);
  MutexLock lock(mu_);
  --calling_;
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
    if (again_at_ <= now) {
      again_at_ = Instant::Never();
      for (const uint64_t id : std::exchange(too_early_, {})) settlements_.Ack({id, id});
    }
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
    alarm_.RingBy(std::min(stream_event_at_, again_at_), *this);
  }
  if (late != nullptr) late->Cancel();
  if (open) OpenStream();
  Speak();
}

void SubscriberCore::ExtendLeases() {
  pool_->ForEachAlive([this](const Run& run) {
    mu_.AssertHeld();
    if (run.stream_number == stream_number_) {
      extensions_.push_back(run.ids());
    } else {
      held_.ForEachId(run, [&](HeldId id) {
        mu_.AssertHeld();
        const DeliveryIds ids{id.delivery_id, id.delivery_id};
        if (extensions_.empty() || !extensions_.back().Join(ids)) extensions_.push_back(ids);
      });
    }
  });
}

absl::Status SubscriberCore::Stop(absl::Duration timeout) {
  const SystemClock system_clock;
  const Instant end = system_clock.Now() + timeout;
  pool_->Close();
  {
    MutexLock lock(mu_);
    if (state_ == State::kReceiving) state_ = State::kStopping;
    DropQueue();
  }
  bool done = pool_->WaitIdle(timeout);
  Speak();
  std::shared_ptr<Stream> stream;
  std::vector<Confirmation> told;
  {
    MutexLock lock(mu_);
    while (stream_ != nullptr && (writing_ || !settlements_.empty() || held_.any_decided()) &&
           system_clock.Now() < end) {
      quiet_.WaitFor(lock, end - system_clock.Now());
    }
    stream = stream_;
  }
  if (stream != nullptr) stream->CloseWrites();
  {
    MutexLock lock(mu_);
    // The server ends the stream once it has read everything.
    while (stream_ != nullptr && system_clock.Now() < end)
      quiet_.WaitFor(lock, end - system_clock.Now());
    done = done && stream_ == nullptr && !held_.any_decided();
    stream = stream_;
    told = TakeTold(GiveUp());
    state_ = State::kEnded;
  }
  if (stream != nullptr) stream->Cancel();
  Tell(told);
  return done ? absl::OkStatus()
              : Error(Reason::kDeadlineExceeded, "not everything was settled in time");
}

void SubscriberCore::Abandon() {
  std::shared_ptr<Stream> stream;
  std::vector<Confirmation> told;
  {
    MutexLock lock(mu_);
    told = TakeTold(GiveUp());
    state_ = State::kEnded;
    DropQueue();
    stream = std::move(stream_);
  }
  if (stream != nullptr) stream->Cancel();
  Tell(told);
  pool_->Shutdown(absl::InfiniteDuration());
  MutexLock lock(mu_);
  while (calling_ > 0) quiet_.Wait(lock);
}

SubscriberCounters SubscriberCore::counters() const {
  const HandlerCounters handled = pool_->counters();
  MutexLock lock(mu_);
  return {.received = received_,
          .acked = handled.acked,
          .nacked = handled.nacked,
          .threw = handled.threw,
          .timed_out = handled.timed_out,
          .connections = connections_};
}

}  // namespace sluice::client
