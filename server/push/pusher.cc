#include "server/push/pusher.h"

#include <algorithm>

#include "core/base/error.h"
#include "fmt/format.h"
#include "server/push/push_service.h"
#include "server/tracing/messaging_spans.h"

namespace sluice::server {
namespace {

// The request is to end before its lease does.
constexpr absl::Duration kLeaseMargin = absl::Seconds(2);
constexpr absl::Duration kShortestPause = absl::Milliseconds(50);
// Where nothing is left to push but damaged messages.
constexpr absl::Duration kDamagePause = absl::Seconds(10);
// An endpoint that acknowledged something within this time is well.
constexpr absl::Duration kLately = absl::Seconds(60);

void Count(const HttpOutcome& outcome, bool acked, absl::Duration took, PushMetrics* metrics) {
  Counter& counter = acked               ? metrics->acked
                     : outcome.code != 0 ? metrics->refused
                     : outcome.timed_out ? metrics->timed_out
                                         : metrics->unreachable;
  counter.Add();
  metrics->seconds.Observe(took);
}

// The endpoint goes on with the trace. Where an attribute of the message is such a header already,
// with that one.
void CarryTrace(const std::shared_ptr<ActiveSpan>& span, HttpRequest* push) {
  if (span == nullptr || push->HasHeader("traceparent")) return;
  push->headers.push_back(fmt::format("traceparent: {}", FormatTraceparent(span->context())));
}

absl::Status StatusOf(const HttpOutcome& outcome) {
  if (Acknowledges(outcome.code)) return absl::OkStatus();
  if (outcome.code != 0)
    return absl::UnavailableError(fmt::format("the endpoint answered {}", outcome.code));
  return outcome.timed_out ? absl::DeadlineExceededError(outcome.error)
                           : absl::UnavailableError(outcome.error);
}

}  // namespace

void Pusher::Configure(const SubscriptionConfig& config) {
  auto breaker = service_.BreakerOf(config.push->endpoint);
  auto target = std::make_shared<const Target>(Target{config, std::move(breaker)});
  bool attached = false;
  {
    MutexLock lock(mu_);
    target_ = std::move(target);
    // Another endpoint, another breaker.
    paused_ = false;
    acked_at_ = Instant();
    attached = consumer_.has_value();
  }
  if (!attached) return Attach();
  Advance();
}

void Pusher::Attach() {
  {
    MutexLock lock(mu_);
    if (stopped_ || consumer_ || std::exchange(attaching_, true)) return;
  }
  auto consumer = subscription_->Attach(
      shared_from_this(), {.client_id = "push", .leases_outlive_it = true, .pushes = true});
  // Its topic is gone, or it is detached: nothing comes any more.
  if (!consumer.ok()) return service_.Forget(subscription_->id(), this);
  bool stopped = false;
  {
    MutexLock lock(mu_);
    consumer_ = *consumer;
    attaching_ = false;
    stopped = stopped_;
  }
  if (stopped) return subscription_->Detach(*consumer);
  Advance();
}

void Pusher::Stop() {
  std::vector<Delivery> unused;
  std::optional<ConsumerId> consumer;
  {
    MutexLock lock(mu_);
    stopped_ = true;
    unused = TakeWaiting();
    consumer = consumer_;
  }
  if (!unused.empty()) subscription_->Return(unused);
  if (consumer) subscription_->Detach(*consumer);
}

void Pusher::Ended(absl::Status why) {
  {
    MutexLock lock(mu_);
    if (absl::IsDataLoss(why)) return AttachLater();
    stopped_ = true;
    TakeWaiting();
  }
  service_.Forget(subscription_->id(), this);
}

void Pusher::Deliver(std::vector<Delivery>& deliveries) {
  std::vector<Delivery> unused;
  {
    MutexLock lock(mu_);
    for (const Delivery& delivery : deliveries) {
      granted_ -= delivery.count();
      for (uint32_t i = 0; i < delivery.count(); ++i) {
        Job job{{delivery.batch, delivery.begin + i, delivery.attempt},
                delivery.first_lease + i,
                {},
                0};
        if (target_->config.ordered) job.key = job.message.view().ordering_key();
        job.bytes = static_cast<int64_t>(
            delivery.batch->body_bytes(delivery.begin + i, delivery.begin + i + 1));
        service_.engine().memory().Force(MemoryPart::kOutgoing, static_cast<size_t>(job.bytes));
        waiting_.push_back(std::move(job));
      }
    }
    // They came while their credit was taken back.
    if (stopped_ || paused_) unused = TakeWaiting();
  }
  if (!unused.empty()) return subscription_->Return(unused);
  Advance();
}

std::vector<Delivery> Pusher::TakeWaiting() {
  std::vector<Delivery> unused;
  for (const Job& job : waiting_) {
    unused.push_back(job.delivery());
    bytes_left_ += job.bytes;
    service_.engine().memory().Give(MemoryPart::kOutgoing, static_cast<size_t>(job.bytes));
  }
  waiting_.clear();
  return unused;
}

void Pusher::Advance() {
  GivenBack back;
  while (auto request = Next(&back)) Send(*std::move(request));
  GiveBack(back);
  Grant();
}

// The credit first: what is returned would come at once again.
void Pusher::GiveBack(const GivenBack& back) {
  if (back.credit != 0) subscription_->Grant(back.consumer, -back.credit, 0);
  if (!back.unused.empty()) subscription_->Return(back.unused);
}

std::optional<Pusher::Request> Pusher::Next(GivenBack* back) {
  MutexLock lock(mu_);
  if (stopped_ || paused_) return std::nullopt;
  const auto next = std::find_if(waiting_.begin(), waiting_.end(), [&](const Job& job) {
    mu_.AssertHeld();
    return job.key.empty() || !busy_keys_.contains(job.key);
  });
  if (next == waiting_.end()) return std::nullopt;
  if (!service_.TakeSlot(shared_from_this(), under_way_, /*wait=*/!waits_for_slot_)) {
    waits_for_slot_ = true;
    return std::nullopt;
  }
  auto call = target_->breaker->Admit();
  if (!call.ok()) {
    service_.GiveSlot();
    service_.metrics().breakers.rejections.Add();
    Pause(RetryDelayOf(call.status()).value_or(kShortestPause), back);
    return std::nullopt;
  }
  Request request{std::move(*next), target_, *call};
  waiting_.erase(next);
  if (!request.job.key.empty()) busy_keys_.insert(request.job.key);
  ++under_way_;
  return request;
}

void Pusher::Pause(absl::Duration delay, GivenBack* back) {
  paused_ = true;
  // There is one: what is waiting came through it.
  back->consumer = *consumer_;
  back->credit = std::exchange(granted_, 0);
  back->unused = TakeWaiting();
  const Instant until = service_.engine().clock().Now() + std::max(delay, kShortestPause);
  service_.engine().timers().At(until, [weak = weak_from_this()] {
    if (auto self = weak.lock()) self->Resume();
  });
}

// It held nothing. Which messages are damaged the engine has told.
void Pusher::AttachLater() {
  consumer_.reset();
  granted_ = 0;
  bytes_left_ = kMaxBytes;
  const Instant until = service_.engine().clock().Now() + kDamagePause;
  service_.engine().timers().At(until, [weak = weak_from_this()] {
    if (auto self = weak.lock()) self->Attach();
  });
}

void Pusher::OnSlot() {
  {
    MutexLock lock(mu_);
    waits_for_slot_ = false;
  }
  Advance();
}

void Pusher::Resume() {
  {
    MutexLock lock(mu_);
    paused_ = false;
  }
  Advance();
}

void Pusher::Send(Request request) {
  service_.metrics().under_way.Add(1);
  auto shared = std::make_shared<Request>(std::move(request));
  auto send = [self = shared_from_this(), shared] {
    const Instant began = self->service_.engine().clock().Now();
    const SubscriptionConfig& config = shared->target->config;
    if (self->subscription_->Extend(kAnyone, shared->job.leases(),
                                    config.ack_deadline + kLeaseMargin) == 0) {
      return self->Answered(*shared, began, std::nullopt);
    }
    if (Tracer* const tracer = self->service_.tracer()) {
      shared->span = BeginDeliver(tracer, self->subscription_, {shared->job.delivery()});
    }
    HttpRequest push = MakePushRequest(config, shared->job.message);
    CarryTrace(shared->span, &push);
    MemoryLedger& memory = self->service_.engine().memory();
    const size_t size = push.body.size();
    memory.Force(MemoryPart::kOutgoing, size);
    self->service_.http().Post(std::move(push),
                               [self, shared, began, &memory, size](const HttpOutcome& outcome) {
                                 memory.Give(MemoryPart::kOutgoing, size);
                                 self->Answered(*shared, began, outcome);
                               });
  };
  // There is room for as many as there are slots; only a pool that is shut down takes none.
  if (!service_.workers().Submit(std::move(send))) Answered(*shared, Instant(), std::nullopt);
}

bool Pusher::RefusesAgain(const Job& job, const HttpOutcome& outcome, Instant now) const {
  return outcome.code != 0 && job.message.attempt > 1 && acked_at_ != Instant() &&
         now - acked_at_ < kLately;
}

void Pusher::Answered(const Request& request, Instant began,
                      const std::optional<HttpOutcome>& outcome) {
  const Job& job = request.job;
  const bool acked = outcome && Acknowledges(outcome->code);
  const Instant now = service_.engine().clock().Now();
  if (outcome) {
    Count(*outcome, acked, now - began, &service_.metrics());
    EndSpan(request.span, StatusOf(*outcome));
    acked ? subscription_->Ack(kAnyone, {job.leases()})
          : subscription_->Nack(kAnyone, job.leases(), absl::ZeroDuration());
  }
  bool says_something = outcome.has_value();
  {
    MutexLock lock(mu_);
    if (acked) acked_at_ = now;
    if (outcome && !acked) says_something = !RefusesAgain(job, *outcome, now);
  }
  request.target->breaker->Record(request.call, !says_something ? CallOutcome::kIgnored
                                                : acked         ? CallOutcome::kSuccess
                                                                : CallOutcome::kFailure);
  {
    MutexLock lock(mu_);
    --under_way_;
    busy_keys_.erase(job.key);
    bytes_left_ += job.bytes;
    if (says_something)
      window_ = acked ? std::min(window_ + 1, kMaxWindow) : std::max(window_ / 2, 1u);
  }
  service_.engine().memory().Give(MemoryPart::kOutgoing, static_cast<size_t>(job.bytes));
  service_.metrics().under_way.Add(-1);
  service_.GiveSlot();
  Advance();
  service_.AdvanceWaiting();
}

void Pusher::Grant() {
  ConsumerId consumer;
  int64_t messages = 0;
  int64_t bytes = 0;
  {
    MutexLock lock(mu_);
    if (!consumer_ || stopped_ || paused_) return;
    // One at a time while the breaker tries whether the endpoint is back.
    const bool one =
        target_->breaker->state() != BreakerState::kClosed || service_.engine().memory().tight();
    const int64_t window = one ? 1 : window_;
    const int64_t held = granted_ + under_way_ + static_cast<int64_t>(waiting_.size());
    messages = std::max<int64_t>(window - held, 0);
    bytes = std::exchange(bytes_left_, 0);
    if (messages == 0 && bytes == 0) return;
    granted_ += messages;
    consumer = *consumer_;
  }
  subscription_->Grant(consumer, messages, bytes);
}

}  // namespace sluice::server
