#include "core/base/timer_queue.h"

#include "core/base/thread_name.h"

namespace sluice {

TimerQueue::TimerId TimerQueue::At(Instant when, std::function<void()> fn) {
  MutexLock lock(mu_);
  if (stopping_) return {};
  TimerId id{when, next_sequence_++};
  const bool earliest = timers_.empty() || id < timers_.begin()->first;
  timers_.emplace(id, std::move(fn));
  if (earliest) wake_.NotifyOne();
  return id;
}

bool TimerQueue::Cancel(TimerId id) {
  // The function is destroyed outside the lock: it may own things that call back.
  std::function<void()> dropped;
  MutexLock lock(mu_);
  auto it = timers_.find(id);
  if (it == timers_.end()) return false;
  dropped = std::move(it->second);
  timers_.erase(it);
  lock.Unlock();
  return true;
}

bool TimerQueue::RunOne() {
  std::function<void()> fn;
  {
    MutexLock lock(mu_);
    if (timers_.empty() || timers_.begin()->first.at > clock_.Now()) return false;
    fn = std::move(timers_.begin()->second);
    timers_.erase(timers_.begin());
  }
  fn();
  return true;
}

int TimerQueue::RunDue() {
  int ran = 0;
  while (RunOne()) ++ran;
  return ran;
}

Instant TimerQueue::NextDue() const {
  MutexLock lock(mu_);
  return timers_.empty() ? Instant::Never() : timers_.begin()->first.at;
}

void TimerQueue::Start() {
  thread_ = std::thread([this] { ThreadMain(); });
}

void TimerQueue::Stop() {
  std::map<TimerId, std::function<void()>> dropped;
  {
    MutexLock lock(mu_);
    stopping_ = true;
    dropped.swap(timers_);
    wake_.NotifyAll();
  }
  if (thread_.joinable() && thread_.get_id() != std::this_thread::get_id()) thread_.join();
}

void TimerQueue::ThreadMain() {
  NameThisThread("timers");
  for (;;) {
    {
      MutexLock lock(mu_);
      if (stopping_) return;
      if (timers_.empty()) {
        wake_.Wait(lock);
        continue;
      }
      const absl::Duration wait = timers_.begin()->first.at - clock_.Now();
      if (wait > absl::ZeroDuration()) {
        wake_.WaitFor(lock, wait);
        continue;
      }
    }
    RunOne();
  }
}

}  // namespace sluice
