// Calls a program's handler for messages, on a bounded pool of threads, and answers for it whatever
// it does.
//
//   auto pool = std::make_shared<HandlerPool<Run>>(clock, timers, options);
//   pool->Start(1, handler, owner);           // owner->OnHandled(run, event, verdict) says what became of a run
//   pool->Add(run);
//   pool->Close();  pool->DropQueue();  pool->WaitIdle(timeout);  pool->GiveUp();  pool->Shutdown(timeout);
//
// A handler that throws, whatever it throws, has said Nack(failure_delay). So has one that takes
// longer than `timeout`: from then on its run is settled, and what it returns later counts as late
// and for nothing else; until then it keeps its thread. A handler that never returns keeps it for
// ever: the others go on without, and Shutdown leaves it behind (worker_pool.h), with this pool and
// the handler kept alive.
//
// A Run is some messages in a row, for one call: it has `size_t count() const` and `Run
// TakeFront(size_t n)`, which cuts off and returns the first n.
//
// The queue is bounded by who fills it: a subscriber gives credit for no more than it wants to
// hold.
//
// Thread rule: every member may be called from any thread; the last two waits not from a handler.
// The owner is called without any lock held. After Shutdown nothing of clock and timers is touched.
#pragma once

#include <algorithm>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "core/base/alarm.h"
#include "core/base/clock.h"
#include "core/base/mutex.h"
#include "core/base/timer_queue.h"
#include "core/flow/verdict.h"
#include "core/flow/worker_pool.h"

namespace sluice {

struct HandlerOptions {
  // Calls at once.
  size_t concurrency = 4;
  absl::Duration timeout = absl::Minutes(10);
  // How long a message waits after its handler threw or took too long.
  absl::Duration failure_delay = absl::Seconds(1);
};

enum class HandlerEvent {
  kReturned,
  kThrew,
  // The run is settled, its thread is not free yet.
  kTimedOut,
  // After kTimedOut.
  kReturnedLate,
};

// Counted in messages, each when its owner has been told: who sees a verdict here finds it carried
// out.
struct HandlerCounters {
  uint64_t acked = 0;
  // Those that threw or timed out included.
  uint64_t nacked = 0;
  uint64_t threw = 0;
  uint64_t timed_out = 0;
  uint64_t returned_late = 0;
};

template <class Run>
class HandlerPool : public std::enable_shared_from_this<HandlerPool<Run>> {
 public:
  // Nothing: the run is let go without a verdict.
  using Handler = std::function<std::optional<Verdict>(const Run&)>;

  class Owner {
   public:
    virtual ~Owner() = default;
    // `verdict` is there when the run is to be settled now. With every event but kTimedOut its
    // thread is free again.
    virtual void OnHandled(const Run& run, HandlerEvent event,
                           const std::optional<Verdict>& verdict) = 0;
  };

  HandlerPool(const Clock& clock, TimerQueue& timers, HandlerOptions options)
      : clock_(clock),
        options_(options),
        alarm_(timers),
        concurrency_(std::max<size_t>(options.concurrency, 1)) {}
  ~HandlerPool() { Shutdown(absl::ZeroDuration()); }

  // Once. One call gets `messages_per_call` at the most. What comes from handlers after `owner` is
  // gone is counted only.
  void Start(size_t messages_per_call, Handler handler, std::weak_ptr<Owner> owner) EXCLUDES(mu_) {
    const size_t threads = std::max<size_t>(options_.concurrency, 1);
    auto workers =
        std::make_unique<WorkerPool>(WorkerPoolOptions{.threads = threads, .max_queued = threads});
    MutexLock lock(mu_);
    messages_per_call_ = messages_per_call;
    handler_ = std::make_shared<const Handler>(std::move(handler));
    owner_ = std::move(owner);
    workers_ = std::move(workers);
  }

  // From now on one call at a time, whatever the options say: where the order of messages counts.
  // REQUIRES: no call has begun.
  void HandleInOrder() EXCLUDES(mu_) {
    MutexLock lock(mu_);
    concurrency_ = 1;
  }

  // False, and the run is not taken, when the pool is closed or was not started.
  bool Add(Run run) EXCLUDES(mu_) {
    MutexLock lock(mu_);
    if (closed_ || workers_ == nullptr) return false;
    size_t calls = (run.count() - 1) / messages_per_call_ + 1;
    queue_.push_back(std::move(run));
    for (; calls > 0 && working_ < concurrency_; --calls) {
      ++working_;
      workers_->Submit(
          [self = this->shared_from_this(), handler = handler_] { self->Work(*handler); });
    }
    return true;
  }

  // Takes no more, and begins no more calls.
  void Close() EXCLUDES(mu_) {
    MutexLock lock(mu_);
    closed_ = true;
  }

  // What has not begun; it is forgotten here.
  std::vector<Run> DropQueue() EXCLUDES(mu_) {
    MutexLock lock(mu_);
    std::vector<Run> dropped(std::make_move_iterator(queue_.begin()),
                             std::make_move_iterator(queue_.end()));
    queue_.clear();
    return dropped;
  }

  // Whether every call has returned. REQUIRES: Close.
  bool WaitIdle(absl::Duration timeout) EXCLUDES(mu_) {
    const SystemClock clock;
    const Instant end = clock.Now() + timeout;
    MutexLock lock(mu_);
    while (working_ > 0 && clock.Now() < end) idle_.WaitFor(lock, end - clock.Now());
    return working_ == 0;
  }

  // Every call that has not returned has timed out.
  void GiveUp() EXCLUDES(mu_) { TimeOut(Instant::Never()); }

  // Ends the threads. Returns how many were left behind.
  size_t Shutdown(absl::Duration timeout) EXCLUDES(mu_) {
    std::unique_ptr<WorkerPool> workers;
    std::shared_ptr<const Handler> handler;
    {
      MutexLock lock(mu_);
      closed_ = true;
      if (workers_ != nullptr) alarm_.Off();
      owner_.reset();
      workers.swap(workers_);
      handler.swap(handler_);
    }
    return workers == nullptr ? 0 : workers->Shutdown(timeout).left_behind;
  }

  // Calls fn(run) for every run whose message it is worth to hold on to: waiting or being handled,
  // in time so far. With no thread left to come back, what waits is better off elsewhere.
  template <class Fn>
  void ForEachAlive(Fn fn) EXCLUDES(mu_) {
    MutexLock lock(mu_);
    for (auto& call : calls_) {
      if (!call->late) fn(call->run);
    }
    if (AllLate()) return;
    for (Run& run : queue_) fn(run);
  }

  // Calls fn(run) for every run whose handler has not returned, late or not.
  template <class Fn>
  void ForEachCall(Fn fn) const EXCLUDES(mu_) {
    MutexLock lock(mu_);
    for (const auto& call : calls_) {
      if (!call->returned) fn(call->run);
    }
  }

  // Whether every thread is in a call that has timed out.
  bool stuck() const EXCLUDES(mu_) {
    MutexLock lock(mu_);
    return AllLate();
  }

  HandlerCounters counters() const EXCLUDES(mu_) {
    MutexLock lock(mu_);
    return counters_;
  }

  // From `alarm_`.
  void OnAlarm() EXCLUDES(mu_) {
    Instant now;
    {
      MutexLock lock(mu_);
      if (workers_ == nullptr) return;
      now = clock_.Now();
      alarm_.Rang(now);
    }
    TimeOut(now);
    MutexLock lock(mu_);
    if (workers_ == nullptr) return;
    for (const auto& call : calls_) {
      if (!call->late && !call->returned) alarm_.RingBy(call->deadline, *this);
    }
  }

 private:
  struct Call {
    // Its thread has a copy: fn of ForEachAlive may change this one meanwhile.
    Run run;
    Instant deadline;
    // Settled already; its verdict does not count.
    bool late = false;
    // Being settled, as this.
    bool returned = false;
    HandlerEvent event = HandlerEvent::kReturned;
    std::optional<Verdict> verdict;
  };

  // A thread's turn: handles what waits until nothing does.
  void Work(const Handler& handler) EXCLUDES(mu_) {
    std::shared_ptr<Call> call;
    for (;;) {
      Run run;
      {
        MutexLock lock(mu_);
        if (call != nullptr) {
          std::erase(calls_, call);
          Count(call->run, call->event, call->verdict);
        }
        call = closed_ ? nullptr : TakeCall();
        if (call == nullptr) {
          if (--working_ == 0) idle_.NotifyAll();
          return;
        }
        run = call->run;
      }
      HandlerEvent event = HandlerEvent::kReturned;
      std::optional<Verdict> verdict;
      try {
        verdict = handler(run);
      } catch (...) {
        // Whatever it was, the message is not done with, and the process must not end for it.
        event = HandlerEvent::kThrew;
        verdict = Verdict::Nack(options_.failure_delay);
      }
      Returned(*call, run, event, verdict);
    }
  }

  bool AllLate() const REQUIRES(mu_) {
    return calls_.size() == concurrency_ &&
           std::all_of(calls_.begin(), calls_.end(), [](const auto& call) { return call->late; });
  }

  std::shared_ptr<Call> TakeCall() REQUIRES(mu_) {
    if (queue_.empty()) return nullptr;
    Run& front = queue_.front();
    auto call = std::make_shared<Call>();
    if (front.count() > messages_per_call_) {
      call->run = front.TakeFront(messages_per_call_);
    } else {
      call->run = std::move(front);
      queue_.pop_front();
    }
    call->deadline = clock_.Now() + options_.timeout;
    alarm_.RingBy(call->deadline, *this);
    calls_.push_back(call);
    return call;
  }

  void Returned(Call& call, const Run& run, HandlerEvent event, std::optional<Verdict> verdict)
      EXCLUDES(mu_) {
    std::weak_ptr<Owner> owner;
    {
      MutexLock lock(mu_);
      call.returned = true;
      if (call.late) {
        event = HandlerEvent::kReturnedLate;
        verdict.reset();
      }
      call.event = event;
      call.verdict = verdict;
      owner = owner_;
    }
    if (auto o = owner.lock()) o->OnHandled(run, event, verdict);
  }

  // Settles the calls that should have returned by `now`.
  void TimeOut(Instant now) EXCLUDES(mu_) {
    std::vector<Run> late;
    std::weak_ptr<Owner> owner;
    const std::optional<Verdict> verdict = Verdict::Nack(options_.failure_delay);
    {
      MutexLock lock(mu_);
      for (auto& call : calls_) {
        if (call->late || call->returned || call->deadline > now) continue;
        call->late = true;
        late.push_back(call->run);
      }
      owner = owner_;
    }
    if (auto o = owner.lock()) {
      for (const Run& run : late) o->OnHandled(run, HandlerEvent::kTimedOut, verdict);
    }
    MutexLock lock(mu_);
    for (const Run& run : late) Count(run, HandlerEvent::kTimedOut, verdict);
  }

  void Count(const Run& run, HandlerEvent event, const std::optional<Verdict>& verdict)
      REQUIRES(mu_) {
    if (verdict) (verdict->acked() ? counters_.acked : counters_.nacked) += run.count();
    if (event == HandlerEvent::kThrew) counters_.threw += run.count();
    if (event == HandlerEvent::kTimedOut) counters_.timed_out += run.count();
    if (event == HandlerEvent::kReturnedLate) counters_.returned_late += run.count();
  }

  const Clock& clock_;
  const HandlerOptions options_;

  mutable Mutex mu_;
  // No call is under way any more.
  CondVar idle_;
  Alarm alarm_ GUARDED_BY(mu_);
  // Of the pool and of the threads that are in it.
  std::shared_ptr<const Handler> handler_ GUARDED_BY(mu_);
  size_t messages_per_call_ GUARDED_BY(mu_) = 1;
  std::weak_ptr<Owner> owner_ GUARDED_BY(mu_);
  // From Start to Shutdown.
  std::unique_ptr<WorkerPool> workers_ GUARDED_BY(mu_);
  size_t concurrency_ GUARDED_BY(mu_);
  std::deque<Run> queue_ GUARDED_BY(mu_);
  std::vector<std::shared_ptr<Call>> calls_ GUARDED_BY(mu_);
  // Threads that have a call, or look for one.
  size_t working_ GUARDED_BY(mu_) = 0;
  bool closed_ GUARDED_BY(mu_) = false;
  HandlerCounters counters_ GUARDED_BY(mu_);
};

}  // namespace sluice
