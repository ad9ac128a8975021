// One queue of timers for everything that happens later: leases, delays, retention.
//
//   TimerQueue timers(clock);
//   timers.Start();                                   // a thread runs what is due; tests call RunDue() instead
//   TimerId id = timers.At(clock.Now() + absl::Seconds(10), [] {...});
//   timers.Cancel(id);
//
// Thread rule: every member may be called from any thread, also from inside a timer's function.
// Functions run one at a time and without any lock of this class held. Stop() waits for the one
// that is running (unless called from it).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <thread>
#include <utility>

#include "core/base/clock.h"
#include "core/base/mutex.h"

namespace sluice {

class TimerQueue {
 public:
  // Names a scheduled function; a default one names nothing.
  struct TimerId {
    Instant at;
    uint64_t sequence = 0;
    auto operator<=>(const TimerId&) const = default;
  };

  explicit TimerQueue(const Clock& clock) : clock_(clock) {}
  ~TimerQueue() { Stop(); }

  TimerId At(Instant when, std::function<void()> fn) EXCLUDES(mu_);

  // At a time of day, in microseconds since 1970. A wall clock that is set ahead is noticed within
  // a second.
  void AtWall(int64_t when_us, std::function<void()> fn) EXCLUDES(mu_);

  // False when it has run, is running, or never was.
  bool Cancel(TimerId id) EXCLUDES(mu_);

  // Runs everything due by the clock, also what that schedules anew. Returns how many ran.
  int RunDue() EXCLUDES(mu_);

  // When the next one is due, should the wall clock go on evenly; Never() when there is none.
  Instant NextDue() const EXCLUDES(mu_);

  void Start() EXCLUDES(mu_);
  // Drops what has not run, and from now on what comes.
  void Stop() EXCLUDES(mu_);

 private:
  bool RunOne() EXCLUDES(mu_);
  void ThreadMain() EXCLUDES(mu_);
  // How long until the next one is due; InfiniteDuration() when there is none.
  absl::Duration Wait() const REQUIRES(mu_);

  const Clock& clock_;
  std::thread thread_;

  mutable Mutex mu_;
  CondVar wake_;
  std::map<TimerId, std::function<void()>> timers_ GUARDED_BY(mu_);
  // By time of day; those for the same time in the order in which they came.
  std::multimap<int64_t, std::function<void()>> wall_timers_ GUARDED_BY(mu_);
  uint64_t next_sequence_ GUARDED_BY(mu_) = 1;
  bool stopping_ GUARDED_BY(mu_) = false;
};

}  // namespace sluice
