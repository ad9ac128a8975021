#include "core/embedded/subscriber_core.h"

#include <algorithm>
#include <utility>

#include "core/base/error.h"
#include "fmt/format.h"

namespace sluice::embedded {
namespace {

// Leases are prolonged this many times before they would end.
constexpr int kExtensionsPerLease = 3;
// For threads that have nothing to do any more but to end; and the same beside one that does not
// return.
constexpr absl::Duration kThreadsEnd = absl::Seconds(5);
constexpr absl::Duration kOtherThreadsEnd = absl::Milliseconds(10);

}  // namespace

SubscriberCore::SubscriberCore(std::shared_ptr<Foundation> foundation, TimerQueue& timers,
                               std::shared_ptr<Subscription> subscription,
                               SubscriberOptions options)
    : foundation_(std::move(foundation)),
      options_(std::move(options)),
      pool_(std::make_shared<HandlerPool<Run>>(
          foundation_->clock, timers,
          HandlerOptions{options_.concurrency, options_.handler_timeout, options_.failure_delay})),
      subscription_(std::move(subscription)),
      alarm_(timers),
      window_({options_.max_outstanding_messages, options_.max_outstanding_bytes}) {}

absl::Status SubscriberCore::Start(size_t messages_per_call, Subscriber::BatchHandler handler) {
  std::shared_ptr<Subscription> subscription;
  {
    MutexLock lock(mu_);
    subscription = subscription_;
  }
  const auto id = subscription->Attach(shared_from_this(), {.client_id = "embedded"});
  if (!id.ok()) return id.status();
  const SubscriptionConfig config = subscription->config();
  const absl::Duration ack_deadline = config.ack_deadline;
  if (config.ordered) pool_->HandleInOrder();
  // The pool keeps us until it is shut down, and a thread that is left behind until it ends.
  pool_->Start(
      messages_per_call,
      [self = shared_from_this(), handler = std::move(handler)](const Run& run) {
        return self->Call(run, handler);
      },
      weak_from_this());
  std::optional<Credit> grant;
  {
    MutexLock lock(mu_);
    state_ = State::kReceiving;
    id_ = *id;
    ack_deadline_ = ack_deadline;
    grant = window_.TakeGrant();
  }
  subscription->Grant(*id, grant->messages, grant->bytes);
  return absl::OkStatus();
}

void SubscriberCore::Deliver(std::vector<Delivery>& deliveries) {
  std::shared_ptr<Subscription> subscription;
  std::vector<Delivery> refused;
  ConsumerId id;
  {
    MutexLock lock(mu_);
    const Instant now = foundation_->clock.Now();
    subscription = subscription_;
    id = id_;
    for (Delivery& delivery : deliveries) {
      const Run run{std::move(delivery), now + ack_deadline_, now + options_.max_lease};
      if (state_ != State::kReceiving || !pool_->Add(run)) {
        refused.push_back(run.delivery);
        counters_.not_started += run.count();
        continue;
      }
      counters_.received += run.count();
      window_.Received(run.credit());
    }
    if (state_ == State::kReceiving)
      alarm_.RingBy(now + ack_deadline_ / kExtensionsPerLease, *this);
  }
  if (subscription != nullptr && !refused.empty()) subscription->Return(refused);
}

std::optional<Verdict> SubscriberCore::Call(const Run& run,
                                            const Subscriber::BatchHandler& handler) {
  if (run.leased_until <= foundation_->clock.Now()) {
    // It is someone else's by now.
    MutexLock lock(mu_);
    counters_.lost += run.count();
    return std::nullopt;
  }
  const Delivery& delivery = run.delivery;
  if (delivery.count() == 1) {
    const Message message(*delivery.batch, delivery.begin, delivery.attempt);
    return handler({&message, 1});
  }
  std::vector<Message> messages;
  messages.reserve(delivery.count());
  for (uint32_t i = delivery.begin; i < delivery.end; ++i)
    messages.emplace_back(*delivery.batch, i, delivery.attempt);
  return handler(messages);
}

void SubscriberCore::OnHandled(const Run& run, HandlerEvent event,
                               const std::optional<Verdict>& verdict) {
  Count(run, event);
  std::shared_ptr<Subscription> subscription;
  ConsumerId id;
  std::optional<Credit> grant;
  {
    MutexLock lock(mu_);
    subscription = subscription_;
    id = id_;
    // Only when it takes neither memory nor a thread any more.
    if (event != HandlerEvent::kTimedOut) {
      window_.Settled(run.credit());
      if (state_ == State::kReceiving) grant = window_.TakeGrant();
    }
  }
  if (subscription == nullptr) return;
  if (event == HandlerEvent::kTimedOut && pool_->stuck()) GiveBack(*subscription, id);
  if (verdict && verdict->acked()) subscription->Ack(id, {run.leases()});
  if (verdict && !verdict->acked()) subscription->Nack(id, run.leases(), verdict->delay());
  if (grant) subscription->Grant(id, grant->messages, grant->bytes);
}

void SubscriberCore::Count(const Run& run, HandlerEvent event) {
  HandlerMetrics& metrics = foundation_->metrics.handlers;
  switch (event) {
    case HandlerEvent::kReturned:
      break;
    case HandlerEvent::kThrew:
      metrics.threw.Add(run.count());
      break;
    case HandlerEvent::kTimedOut:
      metrics.timed_out.Add(run.count());
      break;
    case HandlerEvent::kReturnedLate:
      metrics.returned_late.Add(run.count());
      break;
  }
}

void SubscriberCore::OnAlarm() {
  std::shared_ptr<Subscription> subscription;
  ConsumerId id;
  const Instant now = foundation_->clock.Now();
  {
    MutexLock lock(mu_);
    alarm_.Rang(now);
    subscription = subscription_;
    id = id_;
  }
  if (subscription == nullptr) return;
  const absl::Duration ack_deadline = subscription->config().ack_deadline;
  std::vector<std::pair<LeaseRange, Instant>> extensions;
  pool_->ForEachAlive([&](Run& run) {
    const Instant until = std::min(now + ack_deadline, run.lease_limit);
    if (run.leased_until <= now || until <= run.leased_until) return;
    run.leased_until = until;
    extensions.emplace_back(run.leases(), until);
  });
  for (const auto& [leases, until] : extensions) subscription->Extend(id, leases, until - now);
  MutexLock lock(mu_);
  ack_deadline_ = ack_deadline;
  if (!extensions.empty() && state_ != State::kEnded) {
    alarm_.RingBy(now + ack_deadline / kExtensionsPerLease, *this);
  }
}

// Its leases are over: nothing that waits here is ours any more.
void SubscriberCore::Ended(absl::Status why) {
  pool_->Close();
  pool_->DropQueue();
  if (!options_.ended) return;
  try {
    options_.ended(why);
  } catch (...) {
    foundation_->metrics.handlers.callbacks_threw.Add();
  }
}

bool SubscriberCore::Stop() {
  std::shared_ptr<Subscription> subscription;
  ConsumerId id;
  {
    MutexLock lock(mu_);
    if (state_ != State::kReceiving) return false;
    state_ = State::kStopping;
    subscription = subscription_;
    id = id_;
  }
  pool_->Close();
  GiveBack(*subscription, id);
  MutexLock lock(mu_);
  state_ = State::kStopped;
  ended_.NotifyAll();
  return true;
}

void SubscriberCore::GiveBack(Subscription& subscription, ConsumerId id) {
  Credit unused;
  std::vector<Delivery> not_started;
  {
    MutexLock lock(mu_);
    unused = window_.TakeBack();
    for (const Run& run : pool_->DropQueue()) {
      window_.Settled(run.credit());
      counters_.not_started += run.count();
      not_started.push_back(run.delivery);
    }
  }
  // Credit first, or what is returned would come back here.
  subscription.Grant(id, -unused.messages, 0);
  if (!not_started.empty()) subscription.Return(not_started);
}

absl::Status SubscriberCore::Finish(absl::Duration timeout) {
  const SystemClock system_clock;
  const Instant end = system_clock.Now() + timeout;
  std::shared_ptr<Subscription> subscription;
  ConsumerId id;
  {
    MutexLock lock(mu_);
    if (state_ == State::kIdle) return absl::OkStatus();
    // Two may close at once; one does.
    while (state_ != State::kStopped && state_ != State::kEnded) {
      if (system_clock.Now() >= end)
        return Error(Reason::kDeadlineExceeded, "another call is still closing it");
      ended_.WaitFor(lock, end - system_clock.Now());
    }
    if (state_ == State::kEnded) return result_;
    state_ = State::kFinishing;
    subscription = subscription_;
    id = id_;
  }
  const bool idle = pool_->WaitIdle(timeout);
  if (!idle) pool_->GiveUp();
  const size_t left_behind = pool_->Shutdown(idle ? kThreadsEnd : kOtherThreadsEnd);
  subscription->Detach(id);
  foundation_->metrics.handlers.threads_left_behind.Add(left_behind);
  MutexLock lock(mu_);
  state_ = State::kEnded;
  alarm_.Off();
  subscription_ = nullptr;
  counters_.threads_left_behind += left_behind;
  if (!idle) {
    result_ = Error(
        Reason::kDeadlineExceeded,
        fmt::format("handlers did not return in time; {} threads are left behind", left_behind));
  }
  ended_.NotifyAll();
  return result_;
}

SubscriberCounters SubscriberCore::counters() const {
  const HandlerCounters handled = pool_->counters();
  MutexLock lock(mu_);
  SubscriberCounters counters = counters_;
  static_cast<HandlerCounters&>(counters) = handled;
  return counters;
}

}  // namespace sluice::embedded
