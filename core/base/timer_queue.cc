#include "core/base/timer_queue.h"

#include <algorithm>

#include "core/base/thread_name.h"

namespace sluice {
namespace {

constexpr absl::Duration kLookAtWallClock = absl::Milliseconds(500);

}  // namespace

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

void TimerQueue::AtWall(int64_t when_us, std::function<void()> fn) {
  MutexLock lock(mu_);
  if (stopping_) return;
  const auto added = wall_timers_.emplace(when_us, std::move(fn));
  if (added == wall_timers_.begin()) wake_.NotifyOne();
}

bool TimerQueue::RunOne() {
  std::function<void()> fn;
  {
    MutexLock lock(mu_);
    if (!timers_.empty() && timers_.begin()->first.at <= clock_.Now()) {
      fn = std::move(timers_.begin()->second);
      timers_.erase(timers_.begin());
    } else if (!wall_timers_.empty() &&
               wall_timers_.begin()->first <= absl::ToUnixMicros(clock_.WallNow())) {
      fn = std::move(wall_timers_.begin()->second);
      wall_timers_.erase(wall_timers_.begin());
    } else {
      return false;
    }
  }
  fn();
  return true;
}

int TimerQueue::RunDue() {
  int ran = 0;
  while (RunOne()) ++ran;
  return ran;
}

absl::Duration TimerQueue::Wait() const {
  absl::Duration wait = absl::InfiniteDuration();
  if (!timers_.empty()) wait = timers_.begin()->first.at - clock_.Now();
  if (!wall_timers_.empty()) {
    wait = std::min(wait, absl::FromUnixMicros(wall_timers_.begin()->first) - clock_.WallNow());
  }
  return std::max(wait, absl::ZeroDuration());
}

Instant TimerQueue::NextDue() const {
  MutexLock lock(mu_);
  const absl::Duration wait = Wait();
  return wait == absl::InfiniteDuration() ? Instant::Never() : clock_.Now() + wait;
}

void TimerQueue::Start() {
  thread_ = std::thread([this] { ThreadMain(); });
}

void TimerQueue::Stop() {
  std::map<TimerId, std::function<void()>> dropped;
  std::multimap<int64_t, std::function<void()>> wall_dropped;
  {
    MutexLock lock(mu_);
    stopping_ = true;
    dropped.swap(timers_);
    wall_dropped.swap(wall_timers_);
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
      absl::Duration wait = Wait();
      // The wall clock may be set meanwhile.
      if (!wall_timers_.empty()) wait = std::min(wait, kLookAtWallClock);
      if (wait == absl::InfiniteDuration()) {
        wake_.Wait(lock);
        continue;
      }
      if (wait > absl::ZeroDuration()) {
        wake_.WaitFor(lock, wait);
        continue;
      }
    }
    RunOne();
  }
}

}  // namespace sluice
